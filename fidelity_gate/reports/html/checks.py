"""The checks, candidate by candidate, what blocks first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fidelity_gate.energy import METRIC as ENERGY
from fidelity_gate.records import Severity
from fidelity_gate.reports.html.figures import device_named, margin_of, notable, observed_of, required_of
from fidelity_gate.reports.html.margins import bar_of
from fidelity_gate.reports.html.outcomes import MARKS, UNDECIDED, blocks, rank, tallies
from fidelity_gate.text import printable
from fidelity_gate.units import format_value
from fidelity_gate.wording import detail_with_device, finding_lines, findings_behind, simulated_devices, worst_probe_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fidelity_gate.records import CheckResult, Compared
    from fidelity_gate.reports.html.figures import Index
    from fidelity_gate.reports.html.margins import Bar
    from fidelity_gate.reports.html.outcomes import Mark, Tally

MOST_ROWS = 600
MOST_GROUPS = 60
MOST_OPEN = 4  # groups without anything to see are folded where there are more
MOST_FINDINGS = 3
TEXT = 400
DETAIL = 800  # what a device computed is told step by step
NO_CANDIDATE = "no candidate"


@dataclass(frozen=True, slots=True)
class Row:
    """One check of one candidate."""

    mark: Mark
    id: str
    about: str
    target: str
    advisory: bool
    observed: str
    required: str
    margin: str
    bar: Bar | None
    probe: int | None
    anchor: str  # of that probe's picture
    reason: str
    details: tuple[str, ...]
    place: str


@dataclass(frozen=True, slots=True)
class Group:
    """One candidate's checks."""

    name: str
    anchor: str
    blocking: int  # how many of its checks keep it back
    undecided: bool  # whether all of those could not be decided
    summary: str
    tallies: tuple[Tally, ...]
    rows: tuple[Row, ...]
    left_out: int
    open: bool

    @property
    def blocked(self) -> bool:
        """Return whether any check keeps this candidate back."""
        return self.blocking > 0


@dataclass(frozen=True, slots=True)
class Checks:
    """All that is shown of the checks, and how many are not."""

    groups: tuple[Group, ...] = ()
    tallies: tuple[Tally, ...] = ()
    left_out: int = 0
    folded: int = 0  # groups that are not shown at all


def checks(index: Index, pictures: Mapping[tuple[str, int], str]) -> Checks:
    """Return the checks, grouped, those that block first; of very many the least remarkable are left out.

    Args:
        index: the report.
        pictures: where the picture of a probe is, by candidate and row.
    """
    shown = [result for result in index.report.verdict.results if MARKS[result.outcome].kind != "off"]
    kept = {id(result) for result in sorted(shown, key=rank)[:MOST_ROWS]}
    by_name: dict[str, list[CheckResult]] = {}
    for result in shown:
        by_name.setdefault(result.candidate, []).append(result)
    names = ordered(by_name)
    quiet = len(names) > MOST_OPEN
    groups = tuple(
        _group(index, place, by_name[name], kept, (quiet, pictures)) for place, name in enumerate(names[:MOST_GROUPS])
    )
    left_out = len(shown) - sum(len(group.rows) for group in groups)
    return Checks(groups, tallies(shown), left_out, len(names) - len(groups))


def ordered(by_name: Mapping[str, list[CheckResult]]) -> list[str]:
    """Return candidates by their worst outcome, then by how many block, then as the policy has them."""
    return sorted(
        by_name,
        key=lambda name: (min(map(rank, by_name[name]), default=0), -sum(map(blocks, by_name[name]))),
    )


def _group(
    index: Index,
    place: int,
    results: list[CheckResult],
    kept: set[int],
    how: tuple[bool, Mapping[tuple[str, int], str]],
) -> Group:
    quiet, pictures = how
    rows = [_row(index, result, pictures) for result in sorted(results, key=rank) if id(result) in kept]
    blocked = sum(map(blocks, results))
    required = [result for result in results if result.check.severity is Severity.ERROR]
    met = sum(MARKS[result.outcome].kind == "pass" for result in required)
    waived = sum(MARKS[result.outcome].kind == "waived" for result in required)
    return Group(
        name=results[0].candidate or NO_CANDIDATE,
        anchor=f"c{place}",
        blocking=blocked,
        undecided=bool(blocked) and all(result.outcome in UNDECIDED for result in results if blocks(result)),
        summary=f"{met:,} of {len(required):,} required checks met" + (f", {waived:,} waived" if waived else ""),
        tallies=tallies(results),
        rows=tuple(rows),
        left_out=len(results) - len(rows),
        open=bool(rows) and (bool(blocked) or not quiet),
    )


def _row(index: Index, result: CheckResult, pictures: Mapping[tuple[str, int], str]) -> Row:
    check = result.check
    margin = margin_of(result)
    probe = worst_probe_of(index.report, result)
    return Row(
        mark=MARKS[result.outcome],
        id=check.id,
        about=_about(result, simulated_devices(index.report)),
        target=check.target,
        advisory=check.severity is not Severity.ERROR,
        observed=observed_of(result),
        required=required_of(result),
        margin=margin,
        bar=bar_of(result, margin),
        probe=probe,
        anchor=pictures.get((result.candidate, probe), "") if probe is not None else "",
        reason=printable(result.reason, TEXT),
        details=_details(index, result),
        place=str(check.place),
    )


def _about(result: CheckResult, simulated: tuple[str, ...]) -> str:
    """Return `mean of carry_fidelity, level puzzle`, or `latency, per step, on s24 (simulated)`."""
    check = result.check
    head = f"{check.aggregate.value} of {check.metric}" if check.aggregate else check.metric
    head += ", an estimate" if check.metric == ENERGY else ""
    device = device_named(check.options, simulated)
    there = f"on {device}" if device else ""
    return ", ".join(part for part in (head, notable(check.options), there) if part)


def _details(index: Index, result: CheckResult) -> tuple[str, ...]:
    measurement = index.behind(result)
    said = detail_with_device(measurement) if measurement is not None else ""
    detail = [printable(said, DETAIL)] if said else []
    findings = findings_behind(index.report, result)
    if findings:
        detail = [f"{len(findings):,} findings", *finding_lines(findings, MOST_FINDINGS)]
    return (*_past(result.compared, result.unit), *detail)


def _past(compared: Compared | None, unit: str) -> tuple[str, ...]:
    """Return what a relative check was held against."""
    if compared is None:
        return ()
    said = [f"held against the {compared.against.value}"]
    said += [f"of {compared.when}"] if compared.when else []
    said += [f"which was {format_value(compared.old, unit)}"] if compared.old is not None else []
    said += [f"{compared.standing.value}"] if compared.standing else []
    return (", ".join(said),)
