"""What a recipe makes of an ONNX step graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fidelity_gate.records.models import TensorFact


@dataclass(frozen=True, slots=True)
class StateRange:
    """The range of one state after every run of a step graph, over all calibration probes."""

    state: str  # the state input
    lows: tuple[float, ...]  # one a run
    highs: tuple[float, ...]

    @property
    def spans(self) -> tuple[float, ...]:
        """Return how wide every run's range is, with 0 in it: what an integer grid has to reach over."""
        return tuple(max(high, 0.0) - min(low, 0.0) for low, high in zip(self.lows, self.highs, strict=True))

    @property
    def ratio(self) -> float:
        """Return the widest run's range over the narrowest run's; infinite where one run has none."""
        narrow = min(self.spans)
        return max(self.spans) / narrow if narrow > 0 else float("inf")

    @property
    def share(self) -> float:
        """Return the share of one scale's levels, over all runs, that the narrowest run uses."""
        whole = max(*self.highs, 0.0) - min(*self.lows, 0.0)
        return min(self.spans) / whole if whole > 0 else 0.0


@dataclass(frozen=True, slots=True, eq=False)
class OnnxArtifact:
    """A compressed step graph, not written yet."""

    data: bytes  # the whole file
    tensors: tuple[TensorFact, ...]  # its constants as they are stored, counted after the recipe
    recipe: str  # with every option
    share: float  # of the values of the weights that the recipe is for: how many it narrowed
    excluded: tuple[str, ...] = ()  # weights that were to stay float
    calibration_rows: tuple[str, ...] = ()
    ranges: tuple[StateRange, ...] = ()  # where calibration ran
