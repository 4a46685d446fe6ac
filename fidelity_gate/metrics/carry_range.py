"""carry_range: how large the carry's values get, which is what a fixed-point format for it must hold."""

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

Against = Literal["reference", "first-step"]
_STEPS_TOLD = 8


@dataclass(frozen=True, slots=True)
class CarryRange:
    """Largest absolute value of the candidate's carry over all steps, as a ratio, one value a probe.

    Attributes:
        stream: a stream's name, "first" (z_H for TRM and HRM), or "all": the largest over all streams.
        against: "reference": over the reference's largest absolute value; "first-step": over the candidate's own at
            step 1, which says how much a range fixed there is outgrown.
    """

    stream: str = "first"
    against: Against = "reference"

    unit: ClassVar[str] = ""
    direction: ClassVar[Direction] = Direction.BOTH
    evidence: ClassVar[Evidence] = Evidence.FREE
    per_probe: ClassVar[bool] = True
    floored: ClassVar[bool] = True
    limits: ClassVar[tuple[float | None, float | None]] = (0.0, None)
    dead: ClassVar[float | None] = None

    def accumulator(self, depth: Depth) -> _Ranges:
        """Return a fresh accumulator for one candidate."""
        return _Ranges(self)


class _Ranges:
    def __init__(self, metric: CarryRange) -> None:
        self._metric = metric
        self._names: tuple[str, ...] = ()
        self._candidate, self._reference, self._ratios = Series(), Series(), Series()
        self._first: Numbers | None = None  # (B,), of the present batch

    def observe(self, pair: Pair) -> None:
        self._names = chosen_streams(pair, self._metric.stream)
        theirs, ours = _largest(pair.candidate, self._names), _largest(pair.reference, self._names)
        self._candidate.add(pair, theirs)
        self._reference.add(pair, ours)
        self._ratios.add(pair, theirs / self._base(pair, theirs, ours))

    def finish(self) -> Measured:
        theirs, ours = self._over_steps(self._candidate), self._over_steps(self._reference)
        base = ours if self._metric.against == "reference" else self._candidate.at(1)
        return Measured(values(theirs / base), self._ratios.curve(self._metric.direction), self._told())

    def _base(self, pair: Pair, theirs: Numbers, ours: Numbers) -> Numbers:
        if self._metric.against == "reference":
            return ours  # never zero: a dead reference never comes this far
        if pair.step == 1:
            self._first = theirs
            if not theirs.all():
                probe = pair.first_probe + int(np.argmin(theirs))
                raise NotMeasured(f"the carry is all zero after step 1 for probe {probe}, so nothing is its multiple")
        return self._first if self._first is not None else theirs

    @staticmethod
    def _over_steps(series: Series) -> Numbers:
        return np.asarray(np.max(np.stack([*series.every(), series.last()]), axis=0))

    def _told(self) -> str:
        steps = self._candidate.steps
        if len(steps) > _STEPS_TOLD:
            steps = tuple(sorted({steps[round(at)] for at in np.linspace(0, len(steps) - 1, _STEPS_TOLD)}))
        each = (f"{step}: {self._candidate.at(step).max():.4g}/{self._reference.at(step).max():.4g}" for step in steps)
        return f"largest |{', '.join(self._names)}| by step, candidate/reference: {'  '.join(each)}"


def _largest(side: Side, names: tuple[str, ...]) -> Numbers:
    return np.asarray(np.max(np.stack([side.largest(name) for name in names]), axis=0))
