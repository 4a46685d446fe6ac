"""consecutive_similarity: how much one model's carry turns from step to step. For reading, not for relying on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from fidelity_gate.errors import NotMeasured
from fidelity_gate.lazy import Postponed
from fidelity_gate.metrics.series import Series, chosen_streams, values
from fidelity_gate.records import Depth, Direction, Evidence, Measured

if TYPE_CHECKING:
    import numpy as np

    from fidelity_gate.metrics.series import Numbers
    from fidelity_gate.protocols import Pair, Side
else:
    np = Postponed("numpy")


@dataclass(frozen=True, slots=True)
class ConsecutiveSimilarity:
    """Mean over tokens of cos(z_t[token], z_t+1[token]) of the candidate alone, one value a probe.

    Nearly blind to precision: report it, and never let a release depend on it.

    Attributes:
        stream: a stream's name, "first" (z_H for TRM and HRM), or "all": the mean of all streams.
        at: "mean" over the steps, or "last": the candidate's last step.
    """

    stream: str = "first"
    at: Literal["mean", "last"] = "mean"

    unit: ClassVar[str] = ""
    direction: ClassVar[Direction] = Direction.BOTH
    evidence: ClassVar[Evidence] = Evidence.FREE
    per_probe: ClassVar[bool] = True
    floored: ClassVar[bool] = False  # it compares nothing with the reference
    limits: ClassVar[tuple[float | None, float | None]] = (-1.0, 1.0)
    dead: ClassVar[float | None] = None

    def accumulator(self, depth: Depth) -> _Turns:
        """Return a fresh accumulator for one candidate."""
        return _Turns(self, depth)


class _Turns:
    def __init__(self, metric: ConsecutiveSimilarity, depth: Depth) -> None:
        self._metric = metric
        self._depth = depth
        self._candidate, self._reference = Series(), Series()

    def observe(self, pair: Pair) -> None:
        names = chosen_streams(pair, self._metric.stream)
        if pair.candidate.before is not None:
            self._candidate.add(pair, _turned(pair.candidate, names))
        if pair.reference.before is not None:
            self._reference.add(pair, _turned(pair.reference, names))

    def finish(self) -> Measured:
        if not self._candidate.steps:
            raise NotMeasured(f"two consecutive steps are needed, and the models share one ({self._depth})")
        found = self._candidate.last() if self._metric.at == "last" else self._candidate.mean()
        own = float(self._reference.mean().mean())
        told = f"candidate {self._candidate.mean().mean():.4f}, reference {own:.4f} (mean over probes and steps)"
        return Measured(values(found), self._candidate.curve(self._metric.direction), told)


def _turned(side: Side, names: tuple[str, ...]) -> Numbers:
    return np.asarray(np.mean(np.stack([side.turned(name) for name in names]), axis=0))
