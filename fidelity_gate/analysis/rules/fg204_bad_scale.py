"""FG204: scales that are none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from fidelity_gate.analysis.grids import scale_faults
from fidelity_gate.analysis.rules._common import node_place, tensor_place
from fidelity_gate.analysis.rules._matrices import EVERY_ROLE, grids
from fidelity_gate.graphs.wiring import Wiring
from fidelity_gate.records import Found, Need, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fidelity_gate.protocols import Subject, Weights
    from fidelity_gate.records import GraphNode, Location, StepGraph

# Operator -> the scales of activations among its inputs, each with the place of what it scales (-1: its output).
_SCALES = {
    "DequantizeLinear": ((0, 1),),
    "QLinearConv": ((0, 1), (-1, 6)),
    "QLinearMatMul": ((0, 1), (3, 4), (-1, 6)),
    "QuantizeLinear": ((0, 1),),
}


@dataclass(frozen=True, slots=True)
class BadScale:
    """Looks for scales that are zero, negative, NaN, infinite or denormal.

    Every scale of every quantized weight is looked at, whatever its role, and in step graphs those of activations too.
    Denormal is below 1.2e-38, the smallest normal float32. A scale of zero under integers that are all the same is
    fine: so onnxruntime and bitsandbytes store a block of zeros. So are negative scales of MatMulNBits, whose
    symmetric quantizer gives the scale the sign of the block's largest weight. Our own artifacts refuse bad scales
    when they are opened, so the finding is one of ONNX files. Scales that lie in another file are not looked at.
    """

    code: ClassVar[str] = "FG204"
    title: ClassVar[str] = "bad-scale"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = (
        "A scale of zero erases its weights, NaN and infinity spread through the carry and stay there, a negative "
        "scale is refused or read as its opposite, and a denormal one is flushed to zero by many accelerators."
    )
    fix: ClassVar[str] = "Quantize the tensor again, with a scale of 1 for channels whose weights are all zero."
    needs: ClassVar[tuple[Need, ...]] = (Need.TENSORS, Need.WEIGHTS)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding a tensor, then one a node whose activations are scaled so."""
        signed = _read_by(subject.graph, "MatMulNBits") if subject.graph else frozenset()
        for tensor, grid in grids(subject, *EVERY_ROLE):
            meant = {"negative"} if tensor.name in signed else set()
            faults = {fault: count for fault, count in grid.scale_faults.items() if fault not in meant}
            if faults:
                yield _found(tensor_place(tensor), faults, grid.groups)
        if subject.graph is not None and subject.weights is not None:
            yield from _in_graph(subject.graph, subject.weights)


def _read_by(graph: StepGraph, operator: str) -> frozenset[str]:
    return frozenset(name for node in graph.nodes if node.op == operator for name in node.inputs)


def _in_graph(graph: StepGraph, weights: Weights) -> Iterator[Found]:
    wiring = Wiring(graph)
    for node in graph.nodes:
        for name in _activation_scales(graph, node):
            scale = weights.dense(name).astype(np.float64)
            faults = scale_faults(scale)
            if faults:
                yield _found(node_place(wiring, node), faults, scale.size, f" in {name}")


def _activation_scales(graph: StepGraph, node: GraphNode) -> Iterator[str]:
    """Yield the constants that scale what is no constant itself: the grids of weights have their own."""
    for scaled, place in _SCALES.get(node.op, ()) if not node.domain else ():
        name = node.inputs[place] if place < len(node.inputs) else ""
        known = graph.constants.get(name)
        if known is not None and known.external is None and (scaled < 0 or node.inputs[scaled] not in graph.constants):
            yield name


def _found(place: Location, faults: Mapping[str, int], scales: int, name: str = "") -> Found:
    told = ", ".join(f"{count:,} {fault}" for fault, count in faults.items())
    figures = (("bad_scales", sum(faults.values())), ("scales", scales))
    return Found(place, f"of {scales:,} scales{name}: {told}", figures)
