"""Every candidate on one line: what its checks say, its bytes, how its fidelity went; and all in a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fidelity_gate.records import Aggregate
from fidelity_gate.reports.html.figures import count_of, told
from fidelity_gate.reports.html.introductions import HEADLINE
from fidelity_gate.reports.html.scales import Shape, nines_scale
from fidelity_gate.reports.html.sparklines import spark_y, sparkline
from fidelity_gate.units import format_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fidelity_gate.records import Measurement, ModelRecord
    from fidelity_gate.reports.html.checks import Checks, Group
    from fidelity_gate.reports.html.figures import Index
    from fidelity_gate.reports.html.scales import Scale

MOST = 60
MOST_NAMED = 4  # candidates in a sentence
MOST_OPTIONS = 4  # of a recipe; the provenance has them all


@dataclass(frozen=True, slots=True)
class Line:
    """One candidate."""

    group: Group
    recipe: str
    size: str
    share: str
    spark: Shape
    dot: float | None  # y, where there is one step only
    ends: tuple[str, str]  # what the lines below and above the curve stand for
    fidelity: str


def overview(index: Index, checks: Checks) -> tuple[Line, ...]:
    """Return the candidates in the order of their checks."""
    measured = index.report.measured
    records = {record.name: record for record in measured.candidates} if measured else {}
    curves: dict[str, Measurement] = {}
    for one in measured.measurements if measured else ():
        if one.metric == HEADLINE and one.curve and (one.candidate not in curves or not one.options):
            curves[one.candidate] = one
    figures = [point.mean for one in curves.values() for point in one.curve]
    scale = nines_scale(figures) if figures else None
    reference = measured.reference if measured else None
    return tuple(
        _line(index, group, (records.get(group.name), reference), (curves.get(group.name), scale))
        for group in checks.groups[:MOST]
    )


def standing(checks: Checks) -> str:
    """Return which candidates are kept back and which are not, or "" where the verdict's own reason says it already."""
    blocked = [group for group in checks.groups if group.blocked]
    free = [group for group in checks.groups if not group.blocked]
    if not blocked or not checks.groups[0].rows:
        return ""
    many = [
        f"{group.name} ({count_of(group.blocking, 'check')}{' not decided' if group.undecided else ''})"
        for group in blocked
    ]
    said = f"Kept back: {_listed(many)}."
    return f"{said} Nothing keeps back {_listed([group.name for group in free])}." if free else said


def _listed(names: Sequence[str]) -> str:
    """Return `a, b and c`, of very many the first and how many more."""
    shown, more = list(names[:MOST_NAMED]), len(names) - MOST_NAMED
    if more > 0:
        return f"{', '.join(shown)} and {more} more"
    return " and ".join(part for part in (", ".join(shown[:-1]), shown[-1]) if part)


def _recipe(text: str) -> str:
    """Return a recipe with its first options, those without a value left out."""
    name, *options = text.split(",")
    said = [option for option in options if not option.endswith("=")]
    more = len(said) - MOST_OPTIONS
    return ", ".join([name, *said[:MOST_OPTIONS], *([f"{more} more options"] if more > 0 else [])])


def _line(
    index: Index,
    group: Group,
    models: tuple[ModelRecord | None, ModelRecord | None],
    drawn: tuple[Measurement | None, Scale | None],
) -> Line:
    record, reference = models
    curve, scale = drawn
    size = record.facts.size_bytes if record else 0
    whole = reference.facts.size_bytes if reference else 0
    return Line(
        group=group,
        recipe=_recipe(record.facts.recipe) if record else "",
        size=format_value(size, "bytes").partition(" (")[0] if size > 0 else "",
        share=f"{100 * size / whole:.0f} % of the reference" if size > 0 and whole > 0 else "",
        spark=sparkline(curve.curve, scale) if curve and scale else Shape(),
        dot=_dot(curve, scale),
        ends=_ends(scale),
        fidelity=_at_the_end(index, curve) if curve else "",
    )


def _at_the_end(index: Index, curve: Measurement) -> str:
    return told(curve.curve[-1].mean, curve.unit, index.bounds_of(curve, Aggregate.MEAN), cosine=True)


def _dot(curve: Measurement | None, scale: Scale | None) -> float | None:
    return spark_y(scale.at(curve.curve[0].mean)) if curve and scale and len(curve.curve) == 1 else None


def _ends(scale: Scale | None) -> tuple[str, str]:
    lines = [tick.text for tick in scale.ticks() if tick.at in (0.0, 1.0)] if scale else []
    return (lines[0], lines[-1]) if lines else ("", "")
