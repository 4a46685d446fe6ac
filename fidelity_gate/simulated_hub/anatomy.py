"""What a latency model looks at in an ONNX file: its layers with FLOPs, bytes and precision, and its memory."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fidelity_gate.analysis.graph_shapes import shapes_of
from fidelity_gate.analysis.lifetimes import lifetimes
from fidelity_gate.analysis.operator_flops import node_flops
from fidelity_gate.analysis.operator_products import PRODUCTS, Call, key_of
from fidelity_gate.analysis.placement import alive_bytes
from fidelity_gate.errors import GateError, NotMeasured
from fidelity_gate.graphs.reading import read_onnx
from fidelity_gate.graphs.shapes import inferred
from fidelity_gate.records import GraphValue

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fidelity_gate.records import GraphNode, StepGraph

_INTEGER_WORDS = ("int8", "uint8", "int16", "uint16")
_FOUR_BITS = ("int4", "uint4")
_BITS = {"float64": 64, "int64": 64, "float16": 16, "bfloat16": 16, "int16": 16, "uint16": 16}
_BITS |= {"int8": 8, "uint8": 8, "bool": 8, "int4": 4, "uint4": 4}
_ZERO_POINT = 2  # place among the inputs of QuantizeLinear
_QUANTIZING = frozenset({"DequantizeLinear", "QuantizeLinear"})
_INTEGER_PRODUCTS = frozenset({"ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul", "com.microsoft.QGemm"})


@dataclass(frozen=True, slots=True)
class Layer:
    """One operator that takes time."""

    name: str
    operator: str  # "MatMul", "com.microsoft.MatMulNBits"
    flops: int
    float_bytes: int  # of its float32 inputs, outputs and weights
    other_bytes: int  # of all others
    precision: str  # "float", "int8", "int4"
    foreign: bool  # of a domain of a runtime's own, or with a body: for the CPU


@dataclass(frozen=True, slots=True)
class Anatomy:
    """An ONNX file, as a latency model sees it."""

    layers: tuple[Layer, ...]
    weight_bytes: int
    activation_bytes: int  # the most that is alive at once
    inputs: tuple[GraphValue, ...]
    outputs: tuple[GraphValue, ...]
    precision: str  # "float" or "w8a8", as published rows name it
    unknown: int  # operators whose FLOPs are not known; they count bytes alone


def anatomy_of(data: bytes, where: str) -> Anatomy:
    """Return the anatomy of the bytes of an ONNX file.

    QuantizeLinear and DequantizeLinear are part of their neighbours, and what follows from constants alone is computed
    beforehand, so neither is a layer. An open batch counts as 1, and a value whose type is not declared as float32.

    Raises:
        ModelRefused, UnsafeContent: it is none, or one that cannot be looked at.
    """
    file = read_onnx(data, where)
    graph = file.graph
    known = shapes_of(graph)
    if any(name and name not in known for node in graph.nodes for name in node.outputs):
        try:
            graph = inferred(file, where)
        except GateError:
            graph = file.graph  # what the operator table can tell has to do
    return _Reader(graph).anatomy()


class _Reader:
    """Walks a graph once, in the file's order."""

    def __init__(self, graph: StepGraph) -> None:
        self.graph = graph
        self.shapes = shapes_of(graph)
        self.types = {name: constant.dtype for name, constant in graph.constants.items()}
        self.types |= {name: value.dtype for name, value in graph.values.items()}
        self.source = {name: name for name in graph.constants}  # value -> the one whose bytes are moved for it
        self.constant = set(graph.constants)
        self.dequantized: set[str] = set()
        self.unknown = 0

    def anatomy(self) -> Anatomy:
        layers = tuple(layer for node in self.graph.nodes if (layer := self.layer(node)) is not None)
        products = [layer for layer in layers if layer.flops]
        integer = [layer for layer in products if layer.precision != "float"]
        return Anatomy(
            layers=layers,
            weight_bytes=sum(constant.stored_bytes for constant in self.graph.constants.values()),
            activation_bytes=self.alive()
            or max((layer.float_bytes + layer.other_bytes for layer in layers), default=0),
            inputs=self.graph.inputs,
            outputs=self.graph.outputs,
            precision="w8a8" if products and 2 * len(integer) > len(products) else "float",
            unknown=self.unknown,
        )

    def alive(self) -> int:
        told = {name: GraphValue(name, self.types.get(name) or "float32", shape) for name, shape in self.shapes.items()}
        try:
            found = lifetimes(replace(self.graph, values={**self.graph.values, **told}), {})
            return int(alive_bytes(found.buffers, found.moments).max())
        except NotMeasured:
            return 0

    def layer(self, node: GraphNode) -> Layer | None:
        """Return what a node takes, or None where it is none of its own."""
        read = [name for name in (*node.inputs, *node.captures) if name]
        if read and set(read) <= self.constant:  # scales and zero points of a constant included
            self.fold(node, read)
            return None
        if node.op in _QUANTIZING:
            self.fuse(node)
            return None
        floats, others = self.moved([*read, *(name for name in node.outputs if name)])
        return Layer(
            node.name, key_of(node), self.flops(node), floats, others, self.precision(node, read), foreign(node)
        )

    def fold(self, node: GraphNode, read: list[str]) -> None:
        largest = max(read, key=lambda name: sum(self.moved([name])))
        for name in node.outputs:
            self.constant.add(name)
            self.source[name] = self.source.get(largest, largest)
            if node.op == "DequantizeLinear" or largest in self.dequantized:
                self.dequantized.add(name)

    def fuse(self, node: GraphNode) -> None:
        for name in node.outputs:
            if node.op == "DequantizeLinear":
                self.source[name] = node.inputs[0]
                self.dequantized.add(name)
            elif not self.types.get(name):
                zero = node.inputs[_ZERO_POINT] if len(node.inputs) > _ZERO_POINT else ""
                self.types[name] = self.types.get(zero) or "uint8"

    def flops(self, node: GraphNode) -> int:
        try:
            return node_flops(Call(node, self.shapes.get))
        except NotMeasured:
            self.unknown += 1
            return 0

    def moved(self, names: list[str]) -> tuple[int, int]:
        """Return the bytes of float32 values and of all others."""
        floats = others = 0
        for name in dict.fromkeys(self.source.get(name, name) for name in names):
            dtype = self.types.get(name) or "float32"
            constant = self.graph.constants.get(name)
            size = constant.stored_bytes if constant else self.size(name, dtype)
            if dtype == "float32":
                floats += size
            else:
                others += size
        return floats, others

    def size(self, name: str, dtype: str) -> int:
        shape = self.shapes.get(name)
        return 0 if shape is None else math.prod(shape) * _BITS.get(dtype, 32) // 8

    def precision(self, node: GraphNode, read: list[str]) -> str:
        key = key_of(node)
        if key in _INTEGER_PRODUCTS:
            return "int8"
        data = [name for name in read if not self.plain_constant(name)]
        if not data or not all(name in self.dequantized for name in data):
            return "float"
        if key in PRODUCTS and any(self.types.get(self.source.get(name, name)) in _FOUR_BITS for name in data):
            return "int4"
        words: Mapping[str, str] = {name: self.types.get(self.source.get(name, name), "") for name in data}
        return "int8" if all(word in _INTEGER_WORDS or word == "" for word in words.values()) else "float"

    def plain_constant(self, name: str) -> bool:
        """Return whether it is a constant that nobody quantized and that is no matrix: an axis, a bound, a bias."""
        shape = self.shapes.get(name)
        return name in self.constant and name not in self.dequantized and shape is not None and len(shape) < 2


def foreign(node: GraphNode) -> bool:
    """Return whether an operator is of a runtime's own domain, or runs a graph of its own."""
    return bool(node.domain) or bool(node.subgraphs)
