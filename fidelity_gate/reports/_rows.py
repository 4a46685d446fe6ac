"""What every table of checks shows, in the order in which a reader must see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fidelity_gate.bounds import mean
from fidelity_gate.records import MeasureStatus, Outcome
from fidelity_gate.text import printable
from fidelity_gate.units import format_against, format_value
from fidelity_gate.wording import figure, requirement, subject, worst_probe_of

if TYPE_CHECKING:
    from fidelity_gate.records import CheckResult, Measurement, MeasurementSet, NoiseFloor, Policy, Report

# What a reader must see first.
ORDER = (
    Outcome.INTERNAL,
    Outcome.REFUSED,
    Outcome.FAIL,
    Outcome.NOT_MEASURED,
    Outcome.INCONCLUSIVE,
    Outcome.WARN,
    Outcome.WAIVED,
    Outcome.PASS,
)
# worst: row of the probe with the least margin
COLUMNS = ("check", "candidate", "observed", "required", "margin", "worst")
NAME_LIMIT = 60
CURVE_METRIC = "carry_fidelity"
PARTS = "-_.@/:"  # where a name is broken first


def shown(report: Report) -> list[CheckResult]:
    """Return the results that a table shows, what blocks first; checks that are off are left out."""
    return sorted((one for one in report.verdict.results if one.outcome is not Outcome.OFF), key=_rank)


def cells(report: Report, result: CheckResult) -> tuple[str, ...]:
    """Return the texts of a check's row, one for each of `COLUMNS`."""
    worst = worst_probe_of(report, result)
    observed = margin = "-"
    if result.observed is not None:
        observed = figure(result.observed, result.bound, result.unit, exact=result.compared is None)
    if result.margin is not None:
        sign = "-" if result.margin < 0 else "+"
        margin = sign + format_value(abs(result.margin), result.unit).partition(" (")[0]
    return (
        printable(result.check.id, NAME_LIMIT),
        printable(subject(result.candidate, result.check.target), NAME_LIMIT),
        observed,
        _required(result),
        margin,
        "" if worst is None else f"#{worst}",
    )


def _required(result: CheckResult) -> str:
    """Return the requirement; where nothing was measured the unit is not known, but the author's words are."""
    bound = result.bound
    if result.observed is None and not result.unit and bound.text:
        return printable(bound.text, NAME_LIMIT)
    return requirement(bound, result.unit, beside=result.observed if result.compared else None)


def broken(name: str, width: int) -> str:
    """Return a name in lines of at most so many characters, broken where its parts end."""
    lines: list[str] = []
    while len(name) > width:
        ends = [at + 1 for at, character in enumerate(name[:width]) if character in PARTS]
        cut = ends[-1] if ends else width
        lines.append(name[:cut])
        name = name[cut:]
    return "\n".join([*lines, name])


def floor_line(floor: NoiseFloor | None, policy: Policy | None) -> str:
    """Return how far the reference keeps to itself, and the limit."""
    if floor is None or not floor.values:
        return "noise floor: not measured"
    limit = policy.noise_floor.limit if policy else floor.limit
    kept, needed = format_against(mean(floor.values), limit, "")
    return (
        f"noise floor: the reference against itself, its carry perturbed by {floor.perturbation:g}: "
        f"mean fidelity {kept}, worst {format_value(min(floor.values), '')}, limit {needed}"
    )


def fidelity_curves(measured: MeasurementSet) -> dict[str, Measurement]:
    """Return the first measured carry fidelity with a curve of every candidate that has one, by its name."""
    return {one.candidate: one for one in reversed(measured.measurements) if _has_fidelity_curve(one)}


def _has_fidelity_curve(measurement: Measurement) -> bool:
    return (
        measurement.metric == CURVE_METRIC
        and measurement.status is MeasureStatus.MEASURED
        and len(measurement.curve) > 0
    )


def _rank(result: CheckResult) -> int:
    return ORDER.index(result.outcome) if result.outcome in ORDER else 0
