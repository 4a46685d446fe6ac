"""FG404: INT8 on sequences so short that it is slower than float."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.analysis.rules._common import STATIC_QUANTIZERS, tensors_of, tokens_of
from fidelity_gate.records import Found, Granularity, Location, Need, Role, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject

_INT8 = 8


@dataclass(frozen=True, slots=True)
class Int8BelowCrossover:
    """Looks for INT8 in a model whose sequence is shorter than the length from which INT8 pays on the target.

    A step graph counts when it quantizes activations statically; a file of tensors counts when the block's matrices
    are stored as INT8, because that is how such a target would run them. Models that only store narrow weights and
    compute in float (MatMulNBits) are not concerned.

    Source: the paper's Table 11 and appendix H: static INT8 on the S24's NPU speeds L = 900 up and slows L = 97 down.
    """

    code: ClassVar[str] = "FG404"
    title: ClassVar[str] = "int8-below-crossover"
    severity: ClassVar[Severity] = Severity.WARN
    why: ClassVar[str] = (
        "Q/DQ and dispatch cost more than short matrices save: 11.4 -> 27.2 ms a step on the S24 for Sudoku's 97 "
        "tokens, while 900 tokens got faster."
    )
    fix: ClassVar[str] = "Measure both on the device, and ship float16 there unless INT8 is needed for memory."
    needs: ClassVar[tuple[Need, ...]] = (Need.TENSORS, Need.TARGET)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding for every target that states such a length."""
        tokens = tokens_of(subject)
        if tokens is None or not _computes_in_int8(subject):
            return
        for target in subject.targets:
            if target.int8_min_tokens is not None and tokens < target.int8_min_tokens:
                message = f"INT8 on {tokens} tokens; on this target it pays from {target.int8_min_tokens}"
                yield Found(Location(), message, (("tokens", tokens),), target.name)


def _computes_in_int8(subject: Subject) -> bool:
    if subject.graph is not None:
        return any(node.op in STATIC_QUANTIZERS for node in subject.graph.nodes)
    block = tensors_of(subject, Role.BLOCK)
    return any(tensor.bits == _INT8 and tensor.granularity is not Granularity.NONE for tensor in block)
