"""FG201: one scale for a whole matrix in few bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.analysis.rules._common import tensor_place
from fidelity_gate.analysis.rules._matrices import matrices
from fidelity_gate.records import Found, Granularity, Need, Role, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject

LOW_BITS = 4


@dataclass(frozen=True, slots=True)
class PerTensorLowBits:
    """Looks for per-tensor scales at 4 bits or fewer in the recursive block.

    One scale serves every row of the matrix, so the largest weight of all decides the step for the smallest row. Only
    matrices that are applied at every step count; a head or a table is read once. A model far above its task can
    survive it: a TRM that solved all of a 6x6 sudoku with room to spare did, at a fidelity of 0.984; where the gate
    measured that of your model, ignore the rule.

    Attributes:
        bits: this many or fewer are a finding.
    """

    bits: float = LOW_BITS

    code: ClassVar[str] = "FG201"
    title: ClassVar[str] = "per-tensor-low-bits"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = (
        "INT4 with one scale a matrix lost 4 to 97 points of exact accuracy on all four zoo models and left 4 to 28 % "
        "on five other small TRMs; with a scale and zero point a channel the zoo loses 1.4 points at most."
    )
    fix: ClassVar[str] = "Give every output channel a scale of its own (--recipe int4-calibrated), or use 8 bits."
    needs: ClassVar[tuple[Need, ...]] = (Need.TENSORS,)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding a matrix."""
        for tensor in matrices(subject, Role.BLOCK):
            if tensor.granularity is Granularity.TENSOR and tensor.bits <= self.bits and min(tensor.shape) > 1:
                message = f"one scale for all {tensor.values:,} weights at {tensor.bits:g} bits"
                yield Found(tensor_place(tensor), message, (("bits", tensor.bits), ("values", tensor.values)))
