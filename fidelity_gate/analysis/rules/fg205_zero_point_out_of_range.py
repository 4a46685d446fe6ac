"""FG205: zero points that no integer can be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.analysis.rules._common import node_place, tensor_place
from fidelity_gate.analysis.rules._matrices import EVERY_ROLE, grids
from fidelity_gate.graphs.wiring import Wiring
from fidelity_gate.records import Found, Need, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject
    from fidelity_gate.records import GraphNode, StepGraph

# Operator -> (place of the integers, place of their zero point) in its inputs.
_ZERO_POINTS = {
    "ConvInteger": ((0, 2), (1, 3)),
    "DequantizeLinear": ((0, 2),),
    "MatMulInteger": ((0, 2), (1, 3)),
    "QLinearConv": ((0, 2), (3, 5)),
    "QLinearMatMul": ((0, 2), (3, 5)),
}


@dataclass(frozen=True, slots=True)
class ZeroPointOutOfRange:
    """Looks for zero points that lie outside the integers' range, or are of another type than the integers.

    The zero point is the integer that stands for 0. Outside the range no integer does, so that zeros, padding and
    pruned weights come back as something else. Zero points with a fraction, as some 4-bit formats keep them, are inside
    where both neighbours are. Types are compared in ONNX graphs, where onnxruntime refuses them to differ.
    """

    code: ClassVar[str] = "FG205"
    title: ClassVar[str] = "zero-point-out-of-range"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = (
        "Where no integer stands for 0, every zero weight comes back with the same offset, which adds up over a row "
        "and over every step of the recursion; a zero point of another type is refused when the model is loaded."
    )
    fix: ClassVar[str] = "Take the range so that it contains 0, and store the zero point in the type of the integers."
    needs: ClassVar[tuple[Need, ...]] = (Need.TENSORS, Need.WEIGHTS)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding a tensor, then one a node."""
        for tensor, grid in grids(subject, *EVERY_ROLE):
            if grid.zero_faults:
                message = f"{grid.zero_faults:,} of {grid.groups:,} zero points are outside the integers' range"
                figures = (("bad_zero_points", grid.zero_faults), ("zero_points", grid.groups))
                yield Found(tensor_place(tensor), message, figures)
        if subject.graph is not None:
            wiring = Wiring(subject.graph)
            for node in subject.graph.nodes:
                for told in _other_types(subject.graph, node):
                    yield Found(node_place(wiring, node), told)


def _other_types(graph: StepGraph, node: GraphNode) -> Iterator[str]:
    for integers, zero in _ZERO_POINTS.get(node.op, ()) if not node.domain else ():
        own, other = (
            _dtype(graph, node.inputs[place]) if place < len(node.inputs) else "" for place in (integers, zero)
        )
        if own and other and own != other:
            yield f"the zero point {node.inputs[zero]} is {other}, and its integers are {own}"


def _dtype(graph: StepGraph, name: str) -> str:
    known = graph.constants.get(name) or graph.values.get(name)
    return known.dtype if known else ""
