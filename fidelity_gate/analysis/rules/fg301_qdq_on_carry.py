"""FG301: the carry, or what updates it, is rounded with fixed scales."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.analysis.rules._carry import Flow
from fidelity_gate.analysis.rules._common import counted, node_place
from fidelity_gate.records import Found, Need, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject


@dataclass(frozen=True, slots=True)
class QdqOnCarry:
    """Looks for static quantization on the way from a state input to its state output.

    A state's update is whatever makes its output without a product in between: the residual path, the sums, the norm.
    `QuantizeLinear` and the QLinear operators that round an activation there are counted, those on the state itself
    apart from those on what is added to it. One finding for every state. Quantized weights are fine, and so is an
    activation that is quantized in front of a product only: there the state keeps its precision, and that is the cure.
    Dynamic quantization is not meant either. Note that onnxruntime's `quantize_static` puts the pair in front of every
    reader of a product's input, the residual sum too, also with `op_types_to_quantize=["MatMul"]`.

    The finding is a warning, because it depends on the model whether it breaks: the paper's naive static INT8 left
    Maze-Hard intact, cost ARC 10.5 points and took Sudoku to 5.3 %. The four models of the zoo, calibrated on carries
    of every step, lose 0.4 points at most, though they end 1.6 to 8 times as far from the reference's trajectory
    (1 - fidelity) as with rounding in front of the products alone. Calibrated on one puzzle's first step, hrm-sudoku
    loses 3.6 points.

    Source: arXiv 2606.26488, section 4.2.

    Attributes:
        bits: what rounds to more bits than these is fine; 16-bit activations changed nothing on the zoo.
    """

    code: ClassVar[str] = "FG301"
    title: ClassVar[str] = "qdq-on-carry"
    severity: ClassVar[Severity] = Severity.WARN
    why: ClassVar[str] = (
        "What is rounded into the carry comes back at every step: naive static INT8 takes Sudoku-Extreme to 5.3 % "
        "exact, and leaving activations and carry updates in float32 recovers it (arXiv 2606.26488)."
    )
    fix: ClassVar[str] = (
        "Quantize in front of products only, and let the residual sums, the norms and the state outputs read the float "
        "tensors. onnxruntime's quantize_static has no option for that, and op_types_to_quantize alone is not enough: "
        "there use 16-bit activations (activation_type=QuantType.QUInt16), or weight-only quantization."
    )
    needs: ClassVar[tuple[Need, ...]] = (Need.STATES,)

    bits: int = 8

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding for every state."""
        if subject.graph is None:
            return
        flow = Flow.of(subject.graph)
        for pair, found in zip(subject.graph.states, flow.rounded(self.bits), strict=True):
            if found.last is not None:
                parts = [f"{counted(found.state, 'place')} on the way to {pair.output}"] if found.state else []
                parts += [f"{counted(found.added, 'place')} on what is added to it"] if found.added else []
                message = f"{pair.input} is rounded to {self.bits} bits or fewer at {' and at '.join(parts)}"
                figures = (("added", found.added), ("state", found.state))
                yield Found(node_place(flow.wiring, found.last), message, figures)
