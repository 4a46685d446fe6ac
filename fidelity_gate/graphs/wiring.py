"""Who makes and who reads every value of a graph, and what lies on the way from one value to another."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fidelity_gate.records import GraphNode, StepGraph


_MOVES = frozenset(
    {
        *("Cast", "Concat", "Flatten", "Gather", "Identity", "Pad", "Reshape"),
        *("Shape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"),
    }
)


@dataclass(frozen=True, eq=False)
class Wiring:
    """The connections of a graph; computed once, asked often."""

    graph: StepGraph

    @cached_property
    def maker(self) -> Mapping[str, GraphNode]:
        """Return value -> the node that makes it; graph inputs and constants have none."""
        return {output: node for node in self.graph.nodes for output in node.outputs if output}

    @cached_property
    def readers(self) -> Mapping[str, tuple[GraphNode, ...]]:
        """Return value -> the nodes that read it, in order, each once."""
        found: dict[str, dict[int, GraphNode]] = defaultdict(dict)
        for node in self.graph.nodes:
            for name in reads(node):
                found[name][node.index] = node
        return {name: tuple(nodes.values()) for name, nodes in found.items()}

    @cached_property
    def state_inputs(self) -> frozenset[str]:
        """Return the names of the inputs that a state output is fed back into."""
        return frozenset(pair.input for pair in self.graph.states)

    @cached_property
    def state_outputs(self) -> frozenset[str]:
        """Return the names of the outputs that are fed back."""
        return frozenset(pair.output for pair in self.graph.states)

    def downstream(self, names: Iterable[str]) -> frozenset[str]:
        """Return every value that depends on one of `names`, themselves included."""
        reached = set(names)
        for node in self.graph.nodes:  # topological, so one pass is enough
            if any(name in reached for name in reads(node)):
                reached.update(output for output in node.outputs if output)
        return frozenset(reached)

    def upstream(self, names: Iterable[str]) -> frozenset[str]:
        """Return every value that one of `names` depends on, themselves included."""
        reached = set(names)
        for node in reversed(self.graph.nodes):
            if any(output in reached for output in node.outputs if output):
                reached.update(reads(node))
        return frozenset(reached)

    def only_moved(self, name: str) -> bool:
        """Return whether a value is inputs and constants in another place, with nothing computed of them."""
        before = self.upstream((name,))
        return all(node.op in _MOVES for node in self.graph.nodes if any(output in before for output in node.outputs))

    @cached_property
    def carry_path(self) -> tuple[GraphNode, ...]:
        """Return the nodes on the way from a state input to a state output: what the carry itself goes through."""
        return self.between(self.state_inputs)

    @cached_property
    def block(self) -> tuple[GraphNode, ...]:
        """Return the nodes on the way from any input to a state output: the recursive block.

        The carry path, and what makes the rest of the next state: the encoder of a streaming model, the input side of a
        GRU. It is applied at every run, and what it loses is carried on.
        """
        return self.between(value.name for value in self.graph.inputs)

    def between(self, names: Iterable[str]) -> tuple[GraphNode, ...]:
        """Return the nodes on the way from one of `names` to a state output."""
        after, before = self.downstream(names), self.upstream(self.state_outputs)
        return tuple(
            node
            for node in self.graph.nodes
            if any(name in after for name in reads(node)) and any(name in before for name in node.outputs)
        )

    def describe(self, node: GraphNode) -> str:
        """Return one line for people: `MatMul(z_H float32 1x97x512, blk.w float32 512x1536) -> h_3`."""
        inputs = ", ".join(self._value(name) for name in node.inputs if name)
        return f"{node.op}({inputs}) -> {', '.join(name for name in node.outputs if name)}"

    def _value(self, name: str) -> str:
        known = self.graph.constants.get(name) or self.graph.values.get(name)
        if known is None or known.shape is None:
            return name
        sizes = "x".join("?" if size is None else str(size) for size in known.shape) or "scalar"
        return f"{name} {known.dtype} {sizes}"


def reads(node: GraphNode) -> tuple[str, ...]:
    """Return every value that a node reads, those that only its bodies read included."""
    return (*(name for name in node.inputs if name), *node.captures)
