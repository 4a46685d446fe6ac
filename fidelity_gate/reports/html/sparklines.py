"""A curve over the steps as one small line, and curves of very many steps as a few points."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fidelity_gate.reports.html.scales import Shape

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fidelity_gate.records import CurvePoint
    from fidelity_gate.reports.html.scales import Scale

MOST_STEPS = 48  # of a picture; of more, evenly chosen ones are shown


def sparkline(points: Iterable[CurvePoint], scale: Scale) -> Shape:
    """Return the mean over the steps as the points of a line in a box of 100 by 24."""
    found = thinned(tuple(points))
    across = max(1, len(found) - 1)
    return Shape(
        " ".join(
            f"{2 + 96 * place / across:.1f},{spark_y(scale.at(point.mean)):.1f}" for place, point in enumerate(found)
        )
    )


def spark_y(place: float) -> float:
    """Return the height of a place of a scale in the box of a sparkline, whose ends are at 22 and 2."""
    return 22 - 20 * place


def thinned(points: tuple[CurvePoint, ...]) -> tuple[CurvePoint, ...]:
    """Return at most `MOST_STEPS` of the points, the first and the last among them."""
    if len(points) <= MOST_STEPS:
        return points
    kept = sorted({round(place * (len(points) - 1) / (MOST_STEPS - 1)) for place in range(MOST_STEPS)})
    return tuple(points[place] for place in kept)
