"""The runs of a history -> one series for every number of a candidate in one place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fidelity_gate.bounds import middle
from fidelity_gate.records import PastPlace, PastPoint

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fidelity_gate.records import Aggregate, Depth, Options, PastFigure, PastRun, Standing


@dataclass(frozen=True, slots=True)
class Trend:
    """How one number of one candidate went in one place, oldest first."""

    policy: str
    candidate: str
    depth: Depth
    place: PastPlace
    metric: str
    options: Options
    aggregate: Aggregate | None
    unit: str
    points: tuple[PastPoint, ...]
    standing: Standing | None  # of the last one, as it was judged then

    def median(self, last: int) -> float:
        """Return the median of the last runs that were no regression; of the last ones where all were."""
        counted = [point.value for point in self.points if not point.regressed] or [one.value for one in self.points]
        return middle(tuple(counted[-last:]))


def trends(runs: Iterable[PastRun]) -> tuple[Trend, ...]:
    """Return the trends of runs that are in order, sorted by policy, candidate, device and metric."""
    series: dict[str, list[tuple[PastRun, PastFigure]]] = {}
    for run in runs:
        for figure in run.figures:
            whose = (run.policy_name, run.candidate, run.device, run.use, run.where, str(run.depth))
            key = repr((*whose, figure.metric, figure.options, figure.aggregate, figure.unit))
            series.setdefault(key, []).append((run, figure))
    return tuple(_trend(found) for _, found in sorted(series.items()))


def _trend(found: list[tuple[PastRun, PastFigure]]) -> Trend:
    run, figure = found[-1]
    return Trend(
        policy=run.policy_name,
        candidate=run.candidate,
        depth=run.depth,
        place=PastPlace(run.device, run.use, run.where),
        metric=figure.metric,
        options=figure.options,
        aggregate=figure.aggregate,
        unit=figure.unit,
        points=tuple(PastPoint(one.date, number.value, one.revision, number.regressed) for one, number in found),
        standing=figure.standing,
    )
