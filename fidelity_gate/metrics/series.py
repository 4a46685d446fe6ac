"""What trace metrics keep: one number a probe and step, and the ways to make a probe's value of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from fidelity_gate import bounds, registry
from fidelity_gate.errors import NotMeasured, PolicyError
from fidelity_gate.lazy import Postponed
from fidelity_gate.records import Aggregate, CurvePoint, Direction, Measured

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from fidelity_gate.protocols import Pair

    Numbers: TypeAlias = NDArray[np.float64]
else:
    np = Postponed("numpy")

When: TypeAlias = Literal["last", "worst"] | int
FIRST, ALL = "first", "all"


def check_when(at: object) -> None:
    """Raise PolicyError for a step that no recursion has."""
    if isinstance(at, int) and at < 1:
        raise PolicyError(f"there is no step {at}", field="at", hint="steps count from 1; or last, or worst")


def chosen_streams(pair: Pair, stream: str) -> tuple[str, ...]:
    """Return the streams that an option names.

    Args:
        pair: any pair of the trace.
        stream: a stream's name, "first" (z_H for TRM and HRM) or "all".

    Raises:
        PolicyError: the models have no such stream.
    """
    if stream in pair.streams:
        return (stream,)
    if stream in (FIRST, ALL):
        return pair.streams[:1] if stream == FIRST else pair.streams
    known = (*pair.streams, FIRST, ALL)
    raise registry.unknown(stream, known, what="the models have no stream", field="stream")


def streams_told(pair: Pair, stream: str) -> str:
    """Return which streams were compared, for people."""
    names = chosen_streams(pair, stream)
    return f"{'stream' if len(names) == 1 else 'streams'} {', '.join(names)}"


def lowest(numbers: list[Numbers]) -> Numbers:
    """Return the lowest number of every probe: a list of (B,) -> (B,)."""
    return np.asarray(np.min(np.stack(numbers), axis=0))


def furthest_from_one(numbers: list[Numbers]) -> Numbers:
    """Return, of every probe's ratios, the one furthest from 1 by factor: a list of (B,) -> (B,)."""
    stacked = np.stack(numbers)
    with np.errstate(divide="ignore"):  # a ratio of zero is infinitely far
        away = np.abs(np.log(stacked)).argmax(axis=0)
    return np.asarray(np.take_along_axis(stacked, away[None], axis=0)[0])


class Series:
    """The numbers of every probe, by step, in the order of the probes."""

    def __init__(self) -> None:
        self._steps: dict[int, list[Numbers]] = {}
        self._last: list[Numbers] = []

    def add(self, pair: Pair, numbers: Numbers) -> None:
        """Take one batch's numbers (B,) of one step."""
        if pair.aligned:
            self._steps.setdefault(pair.step, []).append(numbers)
        if pair.last:
            self._last.append(numbers)

    @property
    def steps(self) -> tuple[int, ...]:
        """Return the aligned steps that were seen."""
        return tuple(sorted(self._steps))

    def at(self, step: int) -> Numbers:
        """Return all probes' numbers of one aligned step: (N,). Raises NotMeasured where both models do not make it."""
        if step not in self._steps:
            seen = f"the steps that can be compared are {self.steps[0]} to {self.steps[-1]}" if self.steps else "none"
            raise NotMeasured(f"there is nothing to compare at step {step} ({seen})")
        return np.concatenate(self._steps[step])

    def last(self) -> Numbers:
        """Return all probes' numbers with both models at their own last step: (N,)."""
        if not self._last:
            raise NotMeasured("the models never came to their last step")
        return np.concatenate(self._last)

    def every(self) -> list[Numbers]:
        """Return all probes' numbers of every aligned step."""
        numbers = [self.at(step) for step in self.steps]
        if not numbers:
            raise NotMeasured("no step of the two models can be compared")
        return numbers

    def mean(self) -> Numbers:
        """Return every probe's mean over the aligned steps: (N,)."""
        return np.asarray(np.mean(np.stack(self.every()), axis=0))

    def curve(self, direction: Direction) -> tuple[CurvePoint, ...]:
        """Return one point an aligned step."""
        return tuple(_point(step, self.at(step), direction) for step in self.steps)


def values(numbers: Numbers) -> tuple[float, ...]:
    """Return numbers (N,) as plain floats."""
    return tuple(numbers.tolist())


@dataclass(slots=True, eq=False)
class SeriesAccumulator:
    """The accumulator of every metric that has one number a probe and step.

    Attributes:
        number: a pair -> (B,), or None where this step has none (a model with logits after its last step only).
        at: which step's numbers are the values; "mean" is the mean over the aligned steps.
        direction: of the metric; says which probe is worst.
        worst: how to choose between a probe's steps for `at: worst`.
        told: a pair -> what was compared, for people.
        absent: why there is nothing when no pair had a number.
    """

    number: Callable[[Pair], Numbers | None]
    at: When | Literal["mean"]
    direction: Direction
    worst: Callable[[list[Numbers]], Numbers] = lowest
    told: Callable[[Pair], str] | None = None
    absent: str = "no pair of states was seen"
    series: Series | None = None
    detail: str = ""

    def observe(self, pair: Pair) -> None:
        """Take the numbers of one pair."""
        numbers = self.number(pair)
        if numbers is None:
            return
        if self.series is None:
            self.series = Series()
            self.detail = self.told(pair) if self.told else ""
        self.series.add(pair, numbers)

    def finish(self) -> Measured:
        """Return the values; raises NotMeasured when there are none."""
        if self.series is None:
            raise NotMeasured(self.absent)
        return Measured(values(self._selected(self.series)), self.series.curve(self.direction), self.detail)

    def _selected(self, series: Series) -> Numbers:
        if isinstance(self.at, int):
            return series.at(self.at)
        if self.at == "last":
            return series.last()
        if self.at == "mean":
            return series.mean()
        return self.worst([*series.every(), series.last()])


def _point(step: int, numbers: Numbers, direction: Direction) -> CurvePoint:
    """Return the mean over probes, the fifth percentile from the bad end, and the worst probe (furthest from 1)."""
    observed = values(numbers)
    tail = Aggregate.P95 if direction is Direction.LOWER else Aggregate.P05
    bad = min if direction is not Direction.LOWER else max
    (fifth,) = bounds.observations(observed, tail, Direction.LOWER if tail is Aggregate.P95 else Direction.HIGHER)
    worst = max(observed, key=lambda value: abs(value - 1)) if direction is Direction.BOTH else bad(observed)
    return CurvePoint(step, bounds.mean(observed), fifth, worst)
