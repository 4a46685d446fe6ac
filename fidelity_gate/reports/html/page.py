"""The HTML report: one page that needs nothing but itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.errors import Internal
from fidelity_gate.reports.html.checks import checks
from fidelity_gate.reports.html.costs import costs
from fidelity_gate.reports.html.curves import curve_sets
from fidelity_gate.reports.html.environment import render
from fidelity_gate.reports.html.figures import indexed
from fidelity_gate.reports.html.findings import findings
from fidelity_gate.reports.html.memory import charts
from fidelity_gate.reports.html.next_steps import next_steps
from fidelity_gate.reports.html.overview import overview, standing
from fidelity_gate.reports.html.provenance import floor_line, provenance
from fidelity_gate.reports.html.puzzles import gallery
from fidelity_gate.reports.html.spreads import spread_sets
from fidelity_gate.reports.html.trends import trends
from fidelity_gate.reports.html.waivers import waivers
from fidelity_gate.wording import blocks, simulated_devices, simulated_note

if TYPE_CHECKING:
    from fidelity_gate.records import Report
    from fidelity_gate.reports.html.checks import Checks

TEMPLATE = "report.html.j2"
LIMIT_BYTES = 8 * 2**20  # far above what the limits of the parts come to


@dataclass(frozen=True, slots=True)
class Headline:
    """What a reader has to know if they read nothing else."""

    title: str
    blocked: bool
    word: str
    reason: str
    standing: str  # which candidates are kept back, where there is more to say
    exit_code: int
    marks: tuple[str, ...]  # what a reader of the word alone would miss
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Html:
    """One self-contained page: verdict, checks, fidelity over the steps, worst puzzles, memory, lint, provenance.

    No script, no font, no image from elsewhere; it reads the same without a network, printed, and in the dark.
    """

    suffix: ClassVar[str] = ".html"

    def render(self, report: Report) -> str:
        """Return the page; raises Internal where it grew out of every bound."""
        index = indexed(report)
        names = [record.name for record in report.measured.candidates] if report.measured else []
        plain = checks(index, {})
        shown = [group.name for group in plain.groups]
        order = (*shown, *(name for name in names if name not in shown))
        puzzles = gallery(report.measured, order)
        judged = checks(index, puzzles.anchors)
        page = render(
            TEMPLATE,
            headline=_headline(report, judged),
            lines=overview(index, judged),
            steps=next_steps(report, puzzles.anchors),
            checks=judged,
            waivers=waivers(report),
            curves=curve_sets(index, order),
            spreads=spread_sets(index, order),
            trends=trends(report),
            gallery=puzzles,
            charts=charts(report),
            findings=findings(report.measured),
            costs=costs(index),
            provenance=provenance(report),
            floor=_floor(report),
        )
        if len(page.encode("utf-8", "surrogatepass")) > LIMIT_BYTES:
            raise Internal("the page is larger than any reader opens", field="html")
        return page


def _headline(report: Report, judged: Checks) -> Headline:
    verdict, measured = report.verdict, report.measured
    blocked = blocks(report)
    facts: list[tuple[str, str]] = []
    if measured is not None:
        facts += [
            ("Candidates", str(len(measured.candidates))),
            ("Probes", f"{measured.provenance.probes:,}"),
            ("Depth", str(measured.reference.depth)),
        ]
    if verdict.required:
        facts.append(("Required checks met", f"{verdict.met:,} of {verdict.required:,}"))
    if verdict.waived:
        facts.append(("Waived", f"{verdict.waived:,}"))
    if report.created:
        facts.append(("Made", _time(report.created)))
    return Headline(
        title=verdict.policy_name or "a run without a policy",
        blocked=blocked,
        word="Blocked" if blocked else "Passed",
        reason=(report.error or verdict.reason or "no reason was given") + ("" if blocked else simulated_note(report)),
        standing="" if report.error else standing(judged),
        exit_code=verdict.exit_code,
        marks=_marks(report),
        facts=tuple(facts),
    )


def _marks(report: Report) -> tuple[str, ...]:
    waived = (f"{report.verdict.waived:,} waived",) if report.verdict.waived else ()
    return (*waived, "simulated devices") if simulated_devices(report) else waived


def _floor(report: Report) -> str:
    floor = report.measured.noise_floor if report.measured else None
    return floor_line(floor, report.policy.noise_floor.limit if report.policy else None)


def _time(created: str) -> str:
    """Return `2026-01-02 03:04 UTC`."""
    return created[:16].replace("T", " ") + (" UTC" if created.endswith("+00:00") else "")
