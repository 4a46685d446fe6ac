"""FG307: a division by something that was rounded to a few bits, and so may be zero."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.analysis.rules._carry import Flow, input_of
from fidelity_gate.analysis.rules._common import counted, node_place
from fidelity_gate.records import Found, Need, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject
    from fidelity_gate.records import GraphNode

_DIVISOR = {"Div": 1, "Reciprocal": 0}  # operator -> the input that it divides by
_KEEPS_ZERO = frozenset(
    {
        "Cast",
        "DequantizeLinear",
        "Expand",
        "Flatten",
        "Identity",
        "Reshape",
        "Sqrt",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
    }
)


@dataclass(frozen=True, slots=True)
class QuantizedDivisor:
    """Looks for divisions by an activation that was rounded to 8 bits or fewer with nothing added after the rounding.

    That is the norm whose mean square, epsilon included, is quantized between the sum and the root: whatever is less
    than half a scale becomes zero, and the epsilon that should prevent it is lost in the same rounding. A sum, a
    maximum or a clip after the rounding mends it. Where the quotient itself is quantized, infinity becomes the largest
    value of its range, and nothing is found: the zoo's models survive that (quantize_static on all operators).

    One finding for the graph. Measured on step graphs of the zoo: with only the mean squares quantized by onnxruntime's
    quantize_static, trm-mlp-sudoku and trm-addition give NaN, hrm-sudoku and trm-attention-sudoku do not; with all Adds
    quantized, trm-addition falls from 100 % to 52 % exact (with the epsilon's Adds left out: 99.6 %).

    Attributes:
        bits: a divisor rounded to more bits than these is fine.
    """

    code: ClassVar[str] = "FG307"
    title: ClassVar[str] = "quantized-divisor"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = (
        "Small values are rounded to zero and the quotient is infinite: with their norms' mean squares in INT8, two of "
        "four zoo models give NaN; with all their Adds in INT8, one falls from 100 % to 52 % exact."
    )
    fix: ClassVar[str] = (
        "Leave the operators of the norms in float32 (nodes_to_exclude), from the square to the division."
    )
    needs: ClassVar[tuple[Need, ...]] = (Need.GRAPH,)

    bits: int = 8

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding for the graph."""
        if subject.graph is None:
            return
        flow = Flow.of(subject.graph)
        small = self._may_be_zero(flow)
        found = [node for node in subject.graph.nodes if _divisor(node) in small and not _rounded_again(flow, node)]
        if found:
            message = f"{counted(len(found), 'division')} by what was rounded to {self.bits} bits or fewer"
            yield Found(node_place(flow.wiring, found[0]), message, (("divisions", len(found)),))

    def _may_be_zero(self, flow: Flow) -> frozenset[str]:
        """Return the values that were rounded, and since then only moved, widened or rooted."""
        found: set[str] = set()
        for node in flow.graph.nodes:
            rounds = (flow.rounding_bits(node) or self.bits + 1) <= self.bits
            if rounds or (node.op in _KEEPS_ZERO and input_of(node, 0) in found):
                found.update(node.outputs)
        return frozenset(found)


def _divisor(node: GraphNode) -> str | None:
    return input_of(node, _DIVISOR[node.op]) if node.op in _DIVISOR else None


def _rounded_again(flow: Flow, node: GraphNode) -> bool:
    """Return whether only quantizers read the quotient, so that what is infinite becomes the largest value."""
    readers = [reader for name in node.outputs for reader in flow.wiring.readers.get(name, ())]
    return bool(readers) and all(reader.op == "QuantizeLinear" for reader in readers)
