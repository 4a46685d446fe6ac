"""FG102: a quantized file whose block is mostly float."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.analysis.rules._common import NARROW_BITS, counted, tensor_place
from fidelity_gate.analysis.rules._matrices import matrices
from fidelity_gate.records import Found, Need, Role, Severity
from fidelity_gate.units import format_value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject


@dataclass(frozen=True, slots=True)
class FloatMatmulShare:
    """Looks for block weights left in 16 bit or more by a file that does quantize something.

    The share is of values, not of tensors, over the matrices of the recursive block; norms, biases, tables and products
    of two activations are not counted. Heads and embeddings count only as "something quantized". A model of mixed
    precision by design is a reason to raise `share`.

    Attributes:
        share: of the block's weight values; a larger share left in float is a finding.
    """

    share: float = 0.1

    code: ClassVar[str] = "FG102"
    title: ClassVar[str] = "float-matmul-share"
    severity: ClassVar[Severity] = Severity.WARN
    why: ClassVar[str] = (
        "Quantizers skip what they cannot follow, silently: onnxruntime's quantize_dynamic converted 10 of 58 products "
        "of a step exported through TorchScript, and MatMulNBits 1 of 57 of a torch.export one, whose weights go "
        "through a Transpose; the file keeps its size and a fidelity near 1."
    )
    fix: ClassVar[str] = (
        "Run quant_pre_process before onnxruntime's quantizers, match the layers by the type that the model uses "
        "(CastedLinear in TRM and HRM), or raise share for a mix that is meant."
    )
    needs: ClassVar[tuple[Need, ...]] = (Need.TENSORS,)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding at most, at the largest matrix that was left."""
        block = matrices(subject, Role.BLOCK)
        left = [tensor for tensor in block if tensor.bits >= NARROW_BITS]
        some = any(tensor.bits < NARROW_BITS for tensor in matrices(subject, Role.BLOCK, Role.HEAD, Role.EMBEDDING))
        if not (left and some):
            return
        share = sum(tensor.values for tensor in left) / max(1, sum(tensor.values for tensor in block))
        if share > self.share:
            largest = max(left, key=lambda tensor: tensor.values)
            matrices_left = f"{len(left)} of {counted(len(block), 'block matrix', 'block matrices')}"
            message = f"{format_value(share, 'fraction')} of the block's weights are left in float ({matrices_left})"
            figures = (("left", len(left)), ("matrices", len(block)), ("share", share))
            yield Found(tensor_place(largest), f"{message}; this is the largest", figures)
