"""Pictures of how a number went over the runs of a history, the run of this report last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fidelity_gate.reports.html.scales import Shape
from fidelity_gate.units import format_value
from fidelity_gate.wording import device_of, headline, subject

if TYPE_CHECKING:
    from fidelity_gate.records import CheckResult, Compared, Report

MOST_TRENDS = 60
MOST_POINTS = 40  # runs in a picture, the latest of them
WIDTH, HEIGHT, EDGE = 320.0, 90.0, 8.0
ROOM = 0.1  # of the span, above and below


@dataclass(frozen=True, slots=True)
class Point:
    """One run."""

    x: float
    y: float
    kind: str  # "was", "worse" for a regression, "now" for this run
    text: str


@dataclass(frozen=True, slots=True)
class Trend:
    """One check's numbers, run by run.

    Attributes:
        title: the check, its candidate and the device.
        line: through all points.
        points: oldest first.
        limit: height of what the past allows; None where it is not known.
        ends: the highest and the lowest number in the picture.
        said: what became of the check, in words.
    """

    title: str
    line: Shape
    points: tuple[Point, ...]
    limit: float | None
    ends: tuple[str, str]
    said: str


@dataclass(frozen=True, slots=True)
class Trends:
    """All pictures, and how many are not shown."""

    shown: tuple[Trend, ...] = ()
    left_out: int = 0


def trends(report: Report) -> Trends:
    """Return a picture for every check that was held against a history."""
    held = [
        (result, result.compared)
        for result in report.verdict.results
        if result.compared is not None and result.compared.series and result.observed is not None
    ]
    return Trends(tuple(_trend(*one) for one in held[:MOST_TRENDS]), max(0, len(held) - MOST_TRENDS))


def _trend(result: CheckResult, compared: Compared) -> Trend:
    past = compared.series[-(MOST_POINTS - 1) :]
    now = float(result.observed or 0.0)
    end = _limit(compared)
    figures = [*(point.value for point in past), now, *([] if end is None else [end])]
    low, high = min(figures), max(figures)
    room = ROOM * (high - low) or abs(high) * ROOM or 1.0
    bottom, span = low - room, high - low + 2 * room

    def height(figure: float) -> float:
        return HEIGHT - EDGE - (HEIGHT - 2 * EDGE) * (figure - bottom) / span

    step = (WIDTH - 2 * EDGE) / len(past)
    told = [
        *((one.value, "worse" if one.regressed else "was", f"{one.date[:10]} {one.revision}".strip()) for one in past),
        (now, "now", "this run"),
    ]
    points = tuple(
        Point(
            round(EDGE + place * step, 1), round(height(value), 1), kind, f"{format_value(value, result.unit)}, {when}"
        )
        for place, (value, kind, when) in enumerate(told)
    )
    device = device_of(result)
    return Trend(
        title=f"{result.check.id} {subject(result.candidate, result.check.target)}"
        + (f" on {device}" if device else ""),
        line=Shape(" ".join(f"{point.x},{point.y}" for point in points)),
        points=points,
        limit=None if end is None else round(height(end), 1),
        ends=(format_value(high, result.unit), format_value(low, result.unit)),
        said=headline(result),
    )


def _limit(compared: Compared) -> float | None:
    """Return the one end that follows from the past."""
    if compared.limit is None:
        return None
    return compared.limit.maximum if compared.limit.minimum is None else compared.limit.minimum
