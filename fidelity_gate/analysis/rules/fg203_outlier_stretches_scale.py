"""FG203: one channel that decides the scale of all."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from fidelity_gate.analysis.grids import decibels
from fidelity_gate.analysis.rules._common import tensor_place
from fidelity_gate.analysis.rules._matrices import grids
from fidelity_gate.records import Found, Granularity, Need, Role, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject
    from fidelity_gate.records import Grid


@dataclass(frozen=True, slots=True)
class OutlierStretchesScale:
    """Looks for one channel far larger than the others under a per-tensor scale.

    Compared are the absolute maximum of the largest channel and that of the median channel, of the integers times their
    scale. The step that the largest one needs is then too coarse for the rest; how coarse is told by the
    signal-to-quantization-noise ratio that the scale foretells: the mean square of the weights over step**2 / 12. The
    finding needs both, a stretched scale and a ratio that is poor: in 8 bits a channel 4 times the median leaves 33 dB,
    which no zoo model notices.

    Attributes:
        ratio: largest channel to median channel, of absolute maxima; a larger one stretches.
        below_db: a matrix that keeps this many decibels is not a finding.
    """

    ratio: float = 2.5
    below_db: float = 24.0

    code: ClassVar[str] = "FG203"
    title: ClassVar[str] = "outlier-stretches-scale"
    severity: ClassVar[Severity] = Severity.WARN
    why: ClassVar[str] = (
        "Query and key rows 3 to 4 times the median are what leaves 2 to 3 % of the answers of the zoo's attention "
        "models under INT4 with one scale a matrix, where models of even rows keep 54 to 93 %; at 5 bits they lose 6 "
        "to 16 points, with a scale a channel 1 at most."
    )
    fix: ClassVar[str] = "Give every output channel a scale of its own, or keep this matrix in 8 bits."
    needs: ClassVar[tuple[Need, ...]] = (Need.TENSORS, Need.WEIGHTS)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding a matrix."""
        for tensor, grid in grids(subject, Role.BLOCK):
            if grid.granularity is not Granularity.TENSOR:
                continue
            ratio, kept = _stretch(grid), decibels(grid.power.mean(), grid.noise.mean())
            if ratio > self.ratio and kept < self.below_db:
                where = f"channel {int(grid.largest.argmax())} is {_far(ratio)} and stretches the one scale"
                message = f"{where}, which foretells a signal-to-quantization-noise ratio of {kept:.1f} dB"
                known = (("ratio", ratio),) if math.isfinite(ratio) else ()
                yield Found(tensor_place(tensor), message, (*known, ("sqnr_db", kept)))


def _far(ratio: float) -> str:
    return f"{ratio:.1f} times the median" if math.isfinite(ratio) else "large where the median rounds to zero"


def _stretch(grid: Grid) -> float:
    """Return largest channel to median channel; 1 where all are zero."""
    largest, median = float(grid.largest.max()), float(np.median(grid.largest))
    if not median:
        return math.inf if largest else 1.0
    return largest / median
