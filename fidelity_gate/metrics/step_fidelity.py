"""step_fidelity: how close the candidate stays when every step starts from the reference's own carry."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal

from fidelity_gate.metrics.carry_fidelity import Tokens, fidelities
from fidelity_gate.metrics.series import SeriesAccumulator, check_when, streams_told
from fidelity_gate.records import Depth, Direction, Evidence


@dataclass(frozen=True, slots=True)
class StepFidelity:
    """The fidelity of one step at a time: the candidate is given the reference's carry before each (teacher forcing).

    Separates the error that a step injects from what compounds over steps, and keeps its meaning on chaotic models.

    Attributes:
        stream: a stream's name, "first" (z_H for TRM and HRM), or "all": each probe's lowest stream.
        at: "mean" over the steps, "worst" (each probe's lowest step), "last", or a step, from 1.
        tokens: "mean" over tokens, or "worst": each probe's lowest token.
    """

    stream: str = "first"
    at: Literal["mean", "worst", "last"] | int = "mean"
    tokens: Tokens = "mean"

    unit: ClassVar[str] = ""
    direction: ClassVar[Direction] = Direction.HIGHER
    evidence: ClassVar[Evidence] = Evidence.FORCED
    per_probe: ClassVar[bool] = True
    floored: ClassVar[bool] = False  # one step of a chaotic model is not chaotic
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
