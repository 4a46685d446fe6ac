"""carry_fidelity: how close the candidate's carry stays to the reference's, both running freely."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

from fidelity_gate.metrics.series import (
    SeriesAccumulator,
    When,
    check_when,
    chosen_streams,
    lowest,
    streams_told,
)
from fidelity_gate.records import Depth, Direction, Evidence

if TYPE_CHECKING:
    from fidelity_gate.metrics.series import Numbers
    from fidelity_gate.protocols import Pair

Tokens = Literal["mean", "worst"]


@dataclass(frozen=True, slots=True)
class CarryFidelity:
    """Mean over tokens of cos(candidate z_t[token], reference z_t[token]), one value a probe.

    Attributes:
        stream: a stream's name, "first" (z_H for TRM and HRM), or "all": each probe's lowest stream.
        at: "last" (each model's own last step), "worst" (each probe's lowest step), or a step, from 1.
        tokens: "mean" over tokens, or "worst": each probe's lowest token, which a mean over a hundred hides.
    """

    stream: str = "first"
    at: When = "last"
    tokens: Tokens = "mean"

    unit: ClassVar[str] = ""
    direction: ClassVar[Direction] = Direction.HIGHER
    evidence: ClassVar[Evidence] = Evidence.FREE
    per_probe: ClassVar[bool] = True
    floored: ClassVar[bool] = True
    limits: ClassVar[tuple[float | None, float | None]] = (-1.0, 1.0)
    dead: ClassVar[float | None] = 0.0

    def __post_init__(self) -> None:
        """Refuse a step that no recursion has."""
        check_when(self.at)

    def accumulator(self, depth: Depth) -> SeriesAccumulator:
        """Return a fresh accumulator for one candidate."""
        number = partial(fidelities, stream=self.stream, tokens=self.tokens)
        told = partial(streams_told, stream=self.stream)
        return SeriesAccumulator(number, self.at, self.direction, told=told)


def fidelities(pair: Pair, *, stream: str, tokens: Tokens) -> Numbers:
    """Return every probe's fidelity, of its lowest stream where several are chosen: (B,)."""
    cosines = [pair.cosines(name) for name in chosen_streams(pair, stream)]  # (B, L) each
    return lowest([each.min(axis=1) if tokens == "worst" else each.mean(axis=1) for each in cosines])
