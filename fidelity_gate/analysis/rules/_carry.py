"""How values, not shapes, flow through a step graph: what reaches a state, and where it is rounded on its way."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from fidelity_gate.graphs.element_types import element_type
from fidelity_gate.graphs.wiring import Wiring, reads

if TYPE_CHECKING:
    from fidelity_gate.records import GraphNode, StepGraph

Passes: TypeAlias = Callable[["GraphNode"], bool]

# What reads the shape of a value, and nothing of what it holds.
_SHAPE_READERS = frozenset({"EyeLike", "RandomNormalLike", "RandomUniformLike", "Shape", "Size"})
# What multiplies activations: a value rounded in front of one reaches the state only through a sum of many.
PRODUCTS = frozenset(
    {
        "Attention",
        "Conv",
        "ConvInteger",
        "ConvTranspose",
        "Einsum",
        "FusedConv",
        "FusedGemm",
        "FusedMatMul",
        "Gemm",
        "GroupQueryAttention",
        "MatMul",
        "MatMulInteger",
        "MatMulIntegerToFloat",
        "MatMulNBits",
        "MultiHeadAttention",
        "QAttention",
        "QGemm",
        "QLinearConv",
        "QLinearMatMul",
    }
)
_ROUNDED_PRODUCTS = frozenset({"QGemm", "QLinearConv", "QLinearMatMul"})
_QLINEAR_BITS = 8  # the QLinear operators know 8-bit types only
_QUANTIZED_BY_DEFAULT = "uint8"
_TYPES_MADE = {"ArgMax": "int64", "MatMulInteger": "int32", "NonZero": "int64", "Shape": "int64", "Size": "int64"}
_TESTS = frozenset({"And", "Equal", "Greater", "GreaterOrEqual", "IsNaN", "Less", "LessOrEqual", "Not", "Or"})


@dataclass(frozen=True, eq=False)
class Flow:
    """What depends on the values of what; computed once, asked often."""

    wiring: Wiring

    @classmethod
    def of(cls, graph: StepGraph) -> Flow:
        """Return the flow of a graph."""
        return cls(Wiring(graph))

    @property
    def graph(self) -> StepGraph:
        """Return the graph."""
        return self.wiring.graph

    def after(self, names: Iterable[str], passes: Passes = lambda _: True) -> frozenset[str]:
        """Return every value that depends on one of `names` through nodes that pass, themselves included."""
        reached = set(names)
        for node in self.graph.nodes:
            if passes(node) and not reached.isdisjoint(values_read(node)):
                reached.update(output for output in node.outputs if output)
        return frozenset(reached)

    def before(self, names: Iterable[str]) -> frozenset[str]:
        """Return every value that one of `names` depends on, themselves included."""
        reached = set(names)
        for node in reversed(self.graph.nodes):
            if not reached.isdisjoint(node.outputs):
                reached.update(values_read(node))
        return frozenset(reached)

    @cached_property
    def fed(self) -> frozenset[str]:
        """Return every value that depends on a graph input: the rest are weights and constants."""
        return self.after(value.name for value in self.graph.inputs)

    @cached_property
    def dtypes(self) -> Mapping[str, str]:
        """Return the element type of every value where the file says it, or where it follows from its node."""
        found = {name: constant.dtype for name, constant in self.graph.constants.items()}
        found |= {name: value.dtype for name, value in self.graph.values.items() if value.dtype}
        for node in self.graph.nodes:
            for output in node.outputs:
                if output and output not in found and (made := _made(node, found)):
                    found[output] = made
        return found

    def carried(self) -> Iterator[GraphNode]:
        """Yield the nodes on the way from the value of a state input to a state output: the recursive block."""
        after, before = self.after(self.wiring.state_inputs), self.before(self.wiring.state_outputs)
        for node in self.graph.nodes:
            if not after.isdisjoint(values_read(node)) and not before.isdisjoint(node.outputs):
                yield node

    @cached_property
    def inputs_of(self) -> Mapping[str, int]:
        """Return value -> the graph inputs that it depends on, as bits in their order; on none: left out."""
        found = {value.name: 1 << place for place, value in enumerate(self.graph.inputs)}
        for node in self.graph.nodes:
            bits = _any_of(found, values_read(node))
            if bits:
                found.update((output, bits) for output in node.outputs if output)
        return found

    @cached_property
    def updates(self) -> Mapping[str, int]:
        """Return value -> the states whose update it is part of, as bits in the states' order; in none: left out.

        A state's update is whatever makes its output without a product in between: its residual path, sums and norm.
        The outputs of other states end it: what they are made of is their own update.
        """
        found = {pair.output: 1 << place for place, pair in enumerate(self.graph.states)}
        own = dict(found)
        for pair in self.graph.states:
            made = self.wiring.maker.get(pair.output)
            if made is not None and made.op == "Identity":
                own[input_of(made, 0)] = own.get(input_of(made, 0), 0) | found[pair.output]
        for node in reversed(self.graph.nodes):
            bits = 0
            for name in node.outputs:
                bits |= found.get(name, 0) & own.get(name, -1)
            if bits and node.op not in PRODUCTS:
                for name in values_read(node):
                    found[name] = found.get(name, 0) | bits
        return found

    @cached_property
    def unmultiplied(self) -> frozenset[str]:
        """Return the values that are a state itself, or follow from one without a product in between."""
        return self.after(self.wiring.state_inputs, lambda node: node.op not in PRODUCTS)

    def rounding_bits(self, node: GraphNode) -> int | None:
        """Return to how many bits a node rounds an activation with a scale that is fixed; None where it does not."""
        if self.fed.isdisjoint(node.inputs):
            return None
        if node.op == "QuantizeLinear":
            return bits_of(_quantized_as(node, self.dtypes))
        return _QLINEAR_BITS if node.op.startswith("QLinear") or node.op in _ROUNDED_PRODUCTS else None

    def rounded(self, bits: int) -> tuple[Rounded, ...]:
        """Return what rounds to so few bits within the update of every state, in the states' order."""
        groups: dict[tuple[int, bool], list[GraphNode]] = defaultdict(list)  # few kinds, however many nodes
        for node in self.graph.nodes:
            states = _any_of(self.updates, node.outputs)
            if states and (self.rounding_bits(node) or bits + 1) <= bits:
                groups[states, not self.unmultiplied.isdisjoint(node.outputs)].append(node)
        return tuple(_rounded(groups, place) for place in range(len(self.graph.states)))


@dataclass(frozen=True, slots=True)
class Rounded:
    """How often one state's update is rounded."""

    state: int  # on the state itself
    added: int  # on what is added to it: the outputs of products, on their way to the sum
    last: GraphNode | None  # the last of them


def _rounded(groups: Mapping[tuple[int, bool], list[GraphNode]], place: int) -> Rounded:
    ours = [(itself, nodes) for (states, itself), nodes in groups.items() if states >> place & 1]
    counts = [sum(len(nodes) for itself, nodes in ours if itself is wanted) for wanted in (True, False)]
    last = max((nodes[-1] for _, nodes in ours), key=lambda node: node.index, default=None)
    return Rounded(counts[0], counts[1], last)


def _any_of(bits: Mapping[str, int], names: Iterable[str]) -> int:
    found = 0
    for name in names:
        found |= bits.get(name, 0)
    return found


def values_read(node: GraphNode) -> tuple[str, ...]:
    """Return the inputs whose values reach what a node makes; none where it reads only their shapes."""
    return () if node.op in _SHAPE_READERS else reads(node)


def input_of(node: GraphNode, place: int) -> str:
    """Return what a node reads at a place; "" where it is left out, or where the file gives too few."""
    return node.inputs[place] if len(node.inputs) > place else ""


def bits_of(dtype: str) -> int:
    """Return the bits of an element type by its name; 32 where the name has none."""
    found = re.search(r"\d+", dtype)
    return int(found.group()) if found else 32


def low_float(dtype: str) -> bool:
    """Return whether a type is a float of 16 bits or fewer."""
    return "float" in dtype and bits_of(dtype) <= 16


def _made(node: GraphNode, found: Mapping[str, str]) -> str:
    """Return the type of what a node makes, or "" where the types of its inputs do not tell."""
    if node.op == "Cast":
        known = element_type(code) if isinstance(code := node.attributes.get("to"), int) else None
        return known.name if known else ""
    if node.op == "QuantizeLinear":
        return _quantized_as(node, found)
    if node.op in _TESTS:
        return "bool"
    source = 1 if node.op in {"DequantizeLinear", "Where"} else 0  # a scale is of the type that comes out
    return _TYPES_MADE.get(node.op) or found.get(input_of(node, source), "")


def _quantized_as(node: GraphNode, found: Mapping[str, str]) -> str:
    code = node.attributes.get("output_dtype", 0)
    known = element_type(code) if isinstance(code, int) else None
    return known.name if known else found.get(input_of(node, 2), _QUANTIZED_BY_DEFAULT)
