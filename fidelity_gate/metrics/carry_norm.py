"""carry_norm_ratio: whether the candidate's carry has the reference's length, which no cosine can see."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.metrics.series import (
    SeriesAccumulator,
    When,
    check_when,
    chosen_streams,
    furthest_from_one,
    streams_told,
)
from fidelity_gate.records import Depth, Direction, Evidence

if TYPE_CHECKING:
    from fidelity_gate.metrics.series import Numbers
    from fidelity_gate.protocols import Pair


@dataclass(frozen=True, slots=True)
class CarryNormRatio:
    """Norm of the candidate's carry over norm of the reference's, over all tokens of a stream, one value a probe.

    Attributes:
        stream: a stream's name, "first" (z_H for TRM and HRM), or "all": each probe's stream furthest from 1.
        at: "last" (each model's own last step), "worst" (each probe's step furthest from 1), or a step, from 1.
    """

    stream: str = "first"
    at: When = "last"

    unit: ClassVar[str] = ""
    direction: ClassVar[Direction] = Direction.BOTH
    evidence: ClassVar[Evidence] = Evidence.FREE
    per_probe: ClassVar[bool] = True
    floored: ClassVar[bool] = True
    limits: ClassVar[tuple[float | None, float | None]] = (0.0, None)
    dead: ClassVar[float | None] = None

    def __post_init__(self) -> None:
        """Refuse a step that no recursion has."""
        check_when(self.at)

    def accumulator(self, depth: Depth) -> SeriesAccumulator:
        """Return a fresh accumulator for one candidate."""
        number, told = partial(_ratios, stream=self.stream), partial(streams_told, stream=self.stream)
        return SeriesAccumulator(number, self.at, self.direction, furthest_from_one, told)


def _ratios(pair: Pair, *, stream: str) -> Numbers:
    # No reference norm is zero: a dead reference never comes this far.
    names = chosen_streams(pair, stream)
    return furthest_from_one([pair.candidate.norms(name) / pair.reference.norms(name) for name in names])
