"""FG506: heads or embeddings stored in few bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.analysis.rules._common import NARROW_BITS, tensor_place
from fidelity_gate.records import Found, Need, Role, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject

_NAMES = {Role.HEAD: "head", Role.EMBEDDING: "embedding"}


@dataclass(frozen=True, slots=True)
class QuantizedHead:
    """Looks for output heads and embedding tables stored below 16 bit whose reference has them in float.

    The carry says nothing about the heads: they come after it. Embeddings enter every step. Neither is wrong to
    quantize; both have to be watched by what sees them (answer agreement, accuracy).

    Attributes:
        bits: fewer bits than this a value are a finding.
    """

    bits: float = NARROW_BITS

    code: ClassVar[str] = "FG506"
    title: ClassVar[str] = "quantized-head-or-embedding"
    severity: ClassVar[Severity] = Severity.WARN
    why: ClassVar[str] = (
        "Carry fidelity cannot see the heads: a graph whose lm_head alone was INT4 had a fidelity of 1.0 and gave "
        "other answers in 2.5 % of the cells."
    )
    fix: ClassVar[str] = "Keep heads and embeddings in 16 bit, or require answer_agreement beside carry_fidelity."
    needs: ClassVar[tuple[Need, ...]] = (Need.TENSORS, Need.REFERENCE)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding a tensor."""
        if subject.reference is None:
            return
        wide = {
            tensor.role
            for tensor in subject.reference.facts.tensors
            if tensor.role in _NAMES and tensor.bits >= NARROW_BITS
        }
        for tensor in subject.facts.tensors:
            if tensor.role in wide and tensor.bits < self.bits:
                message = f"the {_NAMES[tensor.role]} is stored as {tensor.stored_as}; the reference has it in float"
                yield Found(tensor_place(tensor), message, (("bits", tensor.bits),))
