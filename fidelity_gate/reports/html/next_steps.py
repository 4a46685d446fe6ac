"""What a reader can do now: one line for each thing that keeps the release back, with where to look or what to run."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fidelity_gate.records import Outcome, Severity
from fidelity_gate.reports.html.figures import count_of
from fidelity_gate.wording import blocks, findings_from, headline, simulated_devices, subject

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fidelity_gate.records import CheckResult, Report

MOST = 7
MOST_CANDIDATES = 3  # whose mistakes and probes are named
TEXT = 300
STOPPED = {
    Outcome.REFUSED: "Mend what the line above names, and run it again: nothing was judged.",
    Outcome.NOT_MEASURED: "Nothing could be decided: mend what the line above names, and run it again.",
    Outcome.FAIL: "Files alone fail already; mend them, and run it again.",
}
BUG = (
    "This is a fault of the tool and says nothing of the candidates: run it again with --debug, and report what comes."
)
UNDECIDED = {Outcome.NOT_MEASURED: "not measured", Outcome.INCONCLUSIVE: "inconclusive"}


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do: `link` is where on the page to look, in words `see`; `command` is what to run."""

    text: str
    link: str = ""
    see: str = ""
    command: str = ""


def next_steps(report: Report, pictures: Mapping[tuple[str, int], str]) -> tuple[Step, ...]:
    """Return what can be done about a verdict, what matters most first.

    Args:
        report: the report.
        pictures: where the picture of a probe is, by candidate and row.
    """
    if report.error or report.error_kind:
        return (Step(STOPPED.get(report.error_kind or Outcome.INTERNAL, BUG)),)
    steps = _mending(report, pictures) if blocks(report) else _keeping(report)
    return tuple(steps)[:MOST]


def _mending(report: Report, pictures: Mapping[tuple[str, int], str]) -> Iterator[Step]:
    required = [one for one in report.verdict.results if one.check.severity is Severity.ERROR]
    failed = [one for one in required if one.outcome is Outcome.FAIL]
    if any(one.outcome is Outcome.INTERNAL for one in required):
        yield Step(BUG)
    yield from _mistakes(report, {one.candidate for one in failed})
    yield from _probes(failed, pictures)
    for outcome, word in UNDECIDED.items():
        found = [one for one in required if one.outcome is outcome]
        if found:
            first = f"{found[0].check.id} {subject(found[0].candidate, found[0].check.target)}"
            said = f"{count_of(len(found), 'required check')} {word}. First, {first}: {found[0].reason[:TEXT]}"
            yield Step(said, "#checks", "See the checks")
    yield from _by_themselves(report, required)
    if failed:
        yield from _about(report, failed)


def _mistakes(report: Report, candidates: set[str]) -> Iterator[Step]:
    """Yield how to mend the first kind of known mistakes of each candidate that failed."""
    records = [one for one in (report.measured.candidates if report.measured else ()) if one.name in candidates]
    for record in records[:MOST_CANDIDATES]:
        found = findings_from(record.linted, Severity.ERROR) if record.linted else ()
        if found:
            many = count_of(len(found), "known mistake")
            yield Step(
                f"{record.name} has {many} in its file. {found[0].code}: {found[0].fix[:TEXT]}", "#lint", "See where"
            )


def _probes(failed: list[CheckResult], pictures: Mapping[tuple[str, int], str]) -> Iterator[Step]:
    """Yield where to see what goes wrong, once for each candidate that failed."""
    seen: set[str] = set()
    for one in failed:
        anchor = "" if one.worst_probe is None else pictures.get((one.candidate, one.worst_probe), "")
        if anchor and one.candidate not in seen and len(seen) < MOST_CANDIDATES:
            seen.add(one.candidate)
            said = f"{one.check.id} of {one.candidate} is worst on probe {one.worst_probe}."
            yield Step(said, f"#{anchor}", "See both answers")


def _by_themselves(report: Report, required: list[CheckResult]) -> Iterator[Step]:
    kept_back = {one.candidate for one in required if one.outcome not in (Outcome.PASS, Outcome.WAIVED)}
    records = report.measured.candidates if report.measured else ()
    free = [one.name for one in records if one.name not in kept_back]
    if free and kept_back:
        names = ", ".join(free[:MOST])
        yield Step(f"Nothing keeps back {names}: a run without the other candidates judges them by themselves.")


def _about(report: Report, failed: list[CheckResult]) -> Iterator[Step]:
    policy = report.policy
    if policy is None or not policy.path:
        return
    first = failed[0]
    explain = f"fidelity-gate policy explain {shlex.quote(policy.path)} {shlex.quote(first.check.id)}"
    yield Step(f"What {first.check.id} measures, and what would fail it:", command=explain)
    never = policy.waiver_rules.never if policy.waiver_rules else ()
    if policy.waiver_rules and first.check.id not in never:
        waive = f"fidelity-gate waive verdict.json --check {shlex.quote(first.check.id)}"
        waive += f" --candidate {shlex.quote(first.candidate)} --owner NAME --ticket ID --reason TEXT"
        yield Step("If it has to ship all the same for a while, a stub of a waiver for review:", command=waive)


def _keeping(report: Report) -> Iterator[Step]:
    if report.verdict.waived:
        yield Step("What is waived has to be mended before its waiver expires.", "#waivers", "See the waivers")
    simulated = simulated_devices(report)
    if simulated:
        yield Step(
            f"No device ran anything for {', '.join(simulated)}: measure on the real ones before a release.",
            "#costs",
            "See what ran",
        )
    warned = [one for one in report.verdict.results if one.outcome is Outcome.WARN]
    if warned:
        many = count_of(len(warned), "warning")
        yield Step(
            f"{many} that {'keeps' if len(warned) == 1 else 'keep'} nothing back. First: {headline(warned[0])[:TEXT]}",
            "#checks",
            "See the checks",
        )
    yield Step(
        "A signed statement for the deploy step, from the JSON report:",
        command="fidelity-gate attest verdict.json --key gate.key -o statement.intoto.json",
    )
