"""Which constants a graph multiplies with or looks up, seen through what stands between, and how they are quantized.

Exporters and quantizers put operators between a weight and its product: a Transpose (torch's newer exporter), one
Identity a use (the older one), Slice and Concat (an LSTM's gates in ONNX's order), DequantizeLinear (quantizers), Cast.
All are seen through.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fidelity_gate.graphs.operands import WITHOUT_SCALE, input_of, products, scaled, tables
from fidelity_gate.graphs.wiring import Wiring

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fidelity_gate.graphs.operands import Operand
    from fidelity_gate.records import GraphNode, StepGraph

_SAME_AXES = frozenset({"Cast", "DequantizeLinear", "Identity", "QuantizeLinear", "Slice"})
_OTHER_AXES = frozenset({"Flatten", "Reshape", "Squeeze", "Unsqueeze"})
_OF_TWO = frozenset({"Add", "Div", "Mul", "Sub"})  # of two constants: masks, low-rank additions, scales by hand
_WIDE = frozenset({"bfloat16", "float16", "float32", "float64"})
_STEPS_TO_SCALE = 4  # nodes between an integer product and the Mul that scales it
_FIRST_OPSET_WITH_AXIS = 13


@dataclass(frozen=True, slots=True)
class Scheme:
    """How the numbers that a constant stores stand for its values.

    Attributes:
        by: the operator that says it: "DequantizeLinear", "MatMulInteger", "MatMulNBits", ...
        scale: the constant that holds the scales; "" where the graph computes them, or none was found.
        zero: the constant that holds the zero points; "" for none.
        zero_computed: the graph computes the zero points.
        axis: of the constant's own shape, along which scales differ if there are several; None where it is not clear.
        block: how many values along `axis` share a scale; 0: all of them, as is usual.
        node: the operator itself, whose attributes say the rest.
    """

    by: str
    scale: str
    zero: str
    zero_computed: bool
    axis: int | None
    block: int
    node: GraphNode


@dataclass(frozen=True, slots=True)
class WeightUse:
    """What a graph does with one constant.

    Attributes:
        name: of the constant.
        products: the nodes that multiply activations with it, in the file's order.
        lookups: the nodes that look rows of it up.
        out_axis: the axis of the constant's own shape that counts output channels; None where it is not clear, or not
            the same for all products. MatMulNBits, whose logical shape is (N, K), has 0.
        scheme: how it is quantized; None where it is stored as what it is.
    """

    name: str
    products: tuple[GraphNode, ...] = ()
    lookups: tuple[GraphNode, ...] = ()
    out_axis: int | None = None
    scheme: Scheme | None = None


@dataclass(frozen=True, slots=True)
class _Source:
    """A value that is a constant in another form: which, and which axis of it each axis of the value is."""

    constant: str
    axes: tuple[int, ...] | None  # None where shapes changed


def weight_uses(graph: StepGraph) -> Mapping[str, WeightUse]:
    """Return constant -> what the graph does with it, for those that are multiplied with, looked up, or quantized."""
    return _Uses(graph, Wiring(graph)).found()


@dataclass(slots=True)
class _Uses:
    graph: StepGraph
    wiring: Wiring
    sources: dict[str, _Source] = field(default_factory=dict)
    schemes: dict[str, Scheme] = field(default_factory=dict)
    products: dict[str, list[GraphNode]] = field(default_factory=lambda: defaultdict(list))
    lookups: dict[str, list[GraphNode]] = field(default_factory=lambda: defaultdict(list))
    out_axes: dict[str, set[int | None]] = field(default_factory=lambda: defaultdict(set))

    def found(self) -> Mapping[str, WeightUse]:
        for name, constant in self.graph.constants.items():
            self.sources[name] = _Source(name, tuple(range(len(constant.shape))))
        for node in self.graph.nodes:  # topological, so what a constant went through is known before it is used
            self.see_through(node)
            self.see_use(node)
        names = sorted({*self.products, *self.lookups, *self.schemes})
        return {name: self.use(name) for name in names}

    def use(self, name: str) -> WeightUse:
        axes = self.out_axes[name]
        return WeightUse(
            name,
            tuple(self.products.get(name, ())),
            tuple(self.lookups.get(name, ())),
            next(iter(axes)) if len(axes) == 1 else None,
            self.schemes.get(name),
        )

    # ------------------------------------------------------------ constants in another form

    def see_through(self, node: GraphNode) -> None:
        first = self.sources.get(input_of(node, 0))
        if node.op in _OF_TWO and len(node.inputs) == 2:
            self.see_both(node, first, self.sources.get(node.inputs[1]))
        elif node.op == "Concat":
            self.see_parts(node)
        elif first is not None and node.outputs:
            if node.op == "DequantizeLinear" and scaled(node):
                axis, block = self.axis_of(node, first), int_of(node, "block_size")
                self.add_scheme(first.constant, node, scaled(node)[0], axis, block)
            if node.op in _SAME_AXES:
                self.sources[node.outputs[0]] = first
            elif node.op == "Transpose":
                self.sources[node.outputs[0]] = _Source(first.constant, _turned(first.axes, node))
            elif node.op in _OTHER_AXES:
                self.sources[node.outputs[0]] = _Source(first.constant, None)

    def see_both(self, node: GraphNode, left: _Source | None, right: _Source | None) -> None:
        """Follow the larger of two constants that a node makes one of."""
        if left is None or right is None:
            return
        sizes = [self.graph.constants[source.constant].values for source in (left, right)]
        self.sources[node.outputs[0]] = right if sizes[1] > sizes[0] else left

    def see_parts(self, node: GraphNode) -> None:
        """Follow the largest of the constants that a Concat puts together, such as gates in another order."""
        parts = [self.sources.get(name) for name in node.inputs]
        found = [part for part in parts if part is not None]
        if found and len(found) == len(parts):
            self.sources[node.outputs[0]] = max(found, key=lambda part: self.graph.constants[part.constant].values)

    def axis_of(self, node: GraphNode, source: _Source) -> int | None:
        """Return the axis of the constant that a DequantizeLinear has its scales along."""
        if not node.domain and self.graph.opsets.get("", 0) < _FIRST_OPSET_WITH_AXIS:
            return None
        return _mapped(source, int_of(node, "axis", 1))

    def add_scheme(self, name: str, node: GraphNode, operand: Operand, axis: int | None, block: int = 0) -> None:
        """Remember how a constant is quantized; the first operator that names its scales is believed."""
        if self.graph.constants[name].dtype in _WIDE:
            return  # rounded as it runs: what is stored is the float
        scale = self.scale_after(node) if node.op in WITHOUT_SCALE else self.constant(input_of(node, operand.scale))
        zero = input_of(node, operand.zero)
        computed = bool(zero) and zero not in self.sources
        known = self.schemes.get(name)
        if known is None or not known.scale:
            self.schemes[name] = Scheme(node.op, scale, self.constant(zero), computed, axis, block, node)

    def constant(self, name: str) -> str:
        """Return the constant that a value is, in whichever form; "" where it is computed or left out."""
        return self.sources[name].constant if name in self.sources else ""

    def scale_after(self, node: GraphNode) -> str:
        """Return the scales of the constant side of an integer product: a factor of what it is multiplied with next."""
        name = node.outputs[0] if node.outputs else ""
        for _ in range(_STEPS_TO_SCALE):
            readers = self.wiring.readers.get(name, ())
            if len(readers) != 1 or not readers[0].outputs:
                return ""
            if readers[0].op == "Mul":
                other = next((one for one in readers[0].inputs if one != name), "")
                return self.constant(other) or self.factor(other)
            name = readers[0].outputs[0]
        return ""

    def factor(self, name: str) -> str:
        """Return the constant factor of a product of two scales."""
        maker = self.wiring.maker.get(name)
        if maker is None or maker.op != "Mul":
            return ""
        return next((found for one in maker.inputs if (found := self.constant(one))), "")

    # ------------------------------------------------------------ uses

    def see_use(self, node: GraphNode) -> None:
        for operand, source in self.constants_of(node, products(node)):
            axis = None if operand.out is None else _mapped(source, operand.out)
            self.products[source.constant].append(node)
            self.out_axes[source.constant].add(axis)
            self.see_scheme(node, operand, source, axis)
        for operand, source in self.constants_of(node, tables(node)):
            if input_of(node, 1) not in self.sources:  # else rows that never change
                self.lookups[source.constant].append(node)
                self.see_table(node, operand, source)
        for operand, source in self.constants_of(node, _beside(node)):
            self.add_scheme(source.constant, node, operand, None)
        for name in node.captures:
            if name in self.graph.constants and len(self.graph.constants[name].shape) > 1:
                self.products[name].append(node)  # a body's matrix, for all that can be told from outside
                self.out_axes[name].add(None)

    def constants_of(self, node: GraphNode, operands: tuple[Operand, ...]) -> Iterator[tuple[Operand, _Source]]:
        for operand in operands:
            source = self.sources.get(input_of(node, operand.index))
            if source is not None:
                yield operand, source

    def see_scheme(self, node: GraphNode, operand: Operand, source: _Source, axis: int | None) -> None:
        if operand.scale is not None or node.op in WITHOUT_SCALE:
            self.add_scheme(source.constant, node, operand, axis, int_of(node, "block_size"))

    def see_table(self, node: GraphNode, operand: Operand, source: _Source) -> None:
        """Remember the scales of a table: the operator's own, or those of whoever reads the rows."""
        if operand.scale is not None:
            axis = _mapped(source, int_of(node, "quantize_axis", 1))
            self.add_scheme(source.constant, node, operand, axis, int_of(node, "block_size", 128))
            return
        for row in node.outputs[:1]:
            for reader in self.wiring.readers.get(row, ()):
                for other in scaled(reader):
                    if input_of(reader, other.index) == row:
                        self.add_scheme(source.constant, reader, other, None)


def _beside(node: GraphNode) -> tuple[Operand, ...]:
    """Return the integers that a node reads with their scales: no matrices, and not those that become floats first."""
    return () if products(node) or node.op == "DequantizeLinear" else scaled(node)


def int_of(node: GraphNode, name: str, default: int = 0) -> int:
    """Return an attribute that is a whole number."""
    value = node.attributes.get(name, default)
    return value if isinstance(value, int) else default


def _mapped(source: _Source, axis: int) -> int | None:
    """Return the axis of the constant that an axis of the value is."""
    if source.axes is None or not -len(source.axes) <= axis < len(source.axes):
        return None
    return source.axes[axis]


def _turned(axes: tuple[int, ...] | None, node: GraphNode) -> tuple[int, ...] | None:
    if axes is None:
        return None
    order = node.attributes.get("perm", tuple(reversed(range(len(axes)))))
    if not isinstance(order, tuple) or sorted(order) != list(range(len(axes))):
        return None
    return tuple(axes[int(place)] for place in order)
