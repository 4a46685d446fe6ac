"""Every candidate on one line: what its checks say, its bytes, and how its fidelity went."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fidelity_gate.records import Aggregate
from fidelity_gate.reports.html.curves import HEADLINE, sparkline
from fidelity_gate.reports.html.figures import told
from fidelity_gate.reports.html.scales import Shape, nines_scale
from fidelity_gate.units import format_value

if TYPE_CHECKING:
    from fidelity_gate.records import Measurement, ModelRecord
    from fidelity_gate.reports.html.checks import Checks, Group
    from fidelity_gate.reports.html.figures import Index
    from fidelity_gate.reports.html.scales import Scale

MOST = 60


@dataclass(frozen=True, slots=True)
class Line:
    """One candidate."""

    group: Group
    recipe: str
    size: str
    share: str
    spark: Shape
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
        recipe=record.facts.recipe if record else "",
        size=format_value(size, "bytes").partition(" (")[0] if size > 0 else "",
        share=f"{size / whole:.0%} of the reference" if size > 0 and whole > 0 else "",
        spark=sparkline(curve.curve, scale) if curve and scale else Shape(),
        fidelity=_at_the_end(index, curve) if curve else "",
    )


def _at_the_end(index: Index, curve: Measurement) -> str:
    return told(curve.curve[-1].mean, curve.unit, index.bounds_of(curve, Aggregate.MEAN), cosine=True)
