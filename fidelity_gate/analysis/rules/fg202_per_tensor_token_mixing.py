"""FG202: one scale for a matrix that mixes tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.analysis.rules._common import tensor_place
from fidelity_gate.analysis.rules._matrices import matrices
from fidelity_gate.analysis.rules._token_mixing import token_mixing
from fidelity_gate.records import Found, Granularity, Need, Role, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject


@dataclass(frozen=True, slots=True)
class PerTensorTokenMixing:
    """Looks for per-tensor scales on weights that mix tokens.

    Such weights are told by name (`mlp_t`, `token_mixing`) and, in a step graph, by the axis they are applied along:
    the activation was transposed, or the weight stands left of it. In 8 bits one scale is enough for them: on the zoo's
    MLP-mixing model it costs no puzzle, and onnxruntime's static INT8 is the same with and without a scale a channel.

    Attributes:
        bits: this many or fewer are a finding.
    """

    bits: float = 6

    code: ClassVar[str] = "FG202"
    title: ClassVar[str] = "per-tensor-token-mixing"
    severity: ClassVar[Severity] = Severity.WARN
    why: ClassVar[str] = (
        "A token-mixing weight moves whole cells into one another, and its error reaches every token at once. On the "
        "zoo's MLP-mixing model, one scale a matrix on these weights alone costs 3 points of exact accuracy at 4 bits "
        "and 13 at 3; on the channel-mixing weights alone 2 and 5."
    )
    fix: ClassVar[str] = "Give every output channel of these weights a scale of its own, or keep them in 8 bits."
    needs: ClassVar[tuple[Need, ...]] = (Need.TENSORS,)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding a matrix."""
        low = [
            tensor
            for tensor in matrices(subject, Role.BLOCK)
            if tensor.granularity is Granularity.TENSOR and tensor.bits <= self.bits
        ]
        mixing = token_mixing(subject) if low else frozenset()
        for tensor in low:
            if tensor.name in mixing:
                message = f"mixes tokens, and has one scale for all {tensor.values:,} weights at {tensor.bits:g} bits"
                yield Found(tensor_place(tensor), message, (("bits", tensor.bits), ("values", tensor.values)))
