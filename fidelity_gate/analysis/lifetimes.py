"""From when to when a step graph needs each of its activations, and which of them can share a buffer.

Time counts operators: 0 to n - 1 for the n nodes of a graph, -1 for the moment before the first, when the host has
written the inputs, and n for the moment after the last, when it reads the outputs. A buffer is needed from the node
that writes it to the last node that reads it, both included, so a node never overwrites what it still reads, except
where its operator works in place.

* Inputs are needed from -1. The state inputs are needed to n and the state outputs, like all outputs, to n as well:
  the host reads the new carry while the old one is still there, so the carry is double-buffered.
* Constants are no activations: weights stay in flash, or are counted apart. What is computed from constants and sizes
  alone is a constant too, because a converter computes it beforehand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fidelity_gate.analysis.activation_bytes import activation_bytes, sized
from fidelity_gate.analysis.in_place import ALIASES, IN_PLACE, RANDOM, SIZES
from fidelity_gate.errors import NotMeasured

if TYPE_CHECKING:
    from fidelity_gate.records import GraphNode, StepGraph

BEFORE = -1


@dataclass(slots=True)
class Lifetime:
    """One buffer: the values that share it, its bytes, and the first and last moment it is needed."""

    name: str  # the first value that is written to it
    size_bytes: int
    first: int
    last: int
    shared: bool = False  # with the host: a graph input or a graph output lies in it
    others: list[str] = field(default_factory=list)  # further values, in the order they are made


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """The buffers of a graph in the order their first values are made, and how many values need none of their own."""

    buffers: tuple[Lifetime, ...]
    moments: int  # n: the number of nodes
    in_place: int  # outputs that were written over an input
    aliases: int  # outputs that are another shape of an input
    folded: int  # nodes on constants and sizes alone


def lifetimes(graph: StepGraph, dimensions: Mapping[str, int] | None = None, *, sharing: bool = True) -> Lifetimes:
    """Return the buffers that one call of a step graph needs.

    Args:
        graph: with a known element type and size for every value.
        dimensions: values of named dimensions: {"batch": 1}.
        sharing: let operators write over an input where they can, and reshape without a copy.

    Raises:
        NotMeasured: a value has no known size, or a node holds graphs of its own.
    """
    walk = _Walk(graph, dimensions or {}, sharing)
    for value in graph.inputs:
        walk.add_input(value.name)
    for moment, node in enumerate(graph.nodes):
        walk.add_node(moment, node)
    return Lifetimes(tuple(walk.buffers), len(graph.nodes), walk.in_place, walk.aliases, walk.folded)


class _Walk:
    """Walks a graph once and keeps, for every value, the buffer it lies in."""

    def __init__(self, graph: StepGraph, dimensions: Mapping[str, int], sharing: bool) -> None:
        self._values = graph.values
        self._dimensions = dimensions
        self._sharing = sharing
        self._outputs = frozenset(value.name for value in graph.outputs)
        self._constants = set(graph.constants)
        self._last = _last_readers(graph)
        self._buffer_of: dict[str, Lifetime] = {}
        self.buffers: list[Lifetime] = []
        self.in_place = self.aliases = self.folded = 0

    def add_input(self, name: str) -> None:
        """Give a graph input its buffer."""
        self._own(name, BEFORE).shared = True

    def add_node(self, moment: int, node: GraphNode) -> None:
        """Give every output of a node its buffer."""
        if node.subgraphs:
            hint = "unroll it, or export one step without control flow"
            raise NotMeasured(f"is a {node.op}, whose body decides what memory it takes", field=node.name, hint=hint)
        if self._foldable(node):
            self._constants.update(node.outputs)
            self.folded += 1
            return
        for place, name in enumerate(name for name in node.outputs if name):
            buffer = self._taken_over(moment, node, name) if place == 0 else None
            if buffer is None:
                buffer = self._own(name, moment)
            else:
                self._join(buffer, name)
            buffer.shared = buffer.shared or name in self._outputs

    def _own(self, name: str, moment: int) -> Lifetime:
        made = Lifetime(name, self._bytes(name), moment, max(moment, self._last.get(name, moment)))
        self.buffers.append(made)
        self._buffer_of[name] = made
        return made

    def _join(self, buffer: Lifetime, name: str) -> None:
        buffer.others.append(name)
        buffer.last = max(buffer.last, self._last.get(name, buffer.last))
        self._buffer_of[name] = buffer

    def _taken_over(self, moment: int, node: GraphNode, name: str) -> Lifetime | None:
        """Return the buffer of an input that this output lies in, or None."""
        if node.domain or not self._sharing:
            return None
        if node.op in ALIASES:
            found = self._aliased(node.inputs[0], name)
            self.aliases += found is not None
            return found
        if node.op not in IN_PLACE:
            return None
        candidates = (node.inputs[place] for place in IN_PLACE[node.op].places(len(node.inputs)))
        found = next((buffer for source in candidates if (buffer := self._overwritten(moment, source, name))), None)
        self.in_place += found is not None
        return found

    def _aliased(self, source: str, name: str) -> Lifetime | None:
        buffer = self._buffer_of.get(source)
        if buffer is None or buffer.size_bytes != self._bytes(name):
            return None
        # Two values that the host sees are two tensors to it, so one of them has to be a copy.
        return None if buffer.shared and name in self._outputs else buffer

    def _overwritten(self, moment: int, source: str, name: str) -> Lifetime | None:
        buffer = self._buffer_of.get(source)
        if buffer is None or buffer.shared or buffer.last > moment or buffer.size_bytes != self._bytes(name):
            return None
        return buffer if self._values[source].dtype == self._values[name].dtype else None

    def _foldable(self, node: GraphNode) -> bool:
        if any(name in self._outputs for name in node.outputs) or (not node.domain and node.op in RANDOM):
            return False
        if not node.domain and node.op in SIZES:
            return self._sized(node.inputs[0])
        inputs = [name for name in node.inputs if name]
        return bool(inputs) and all(name in self._constants for name in inputs)

    def _sized(self, name: str) -> bool:
        value = self._values.get(name)
        return name in self._constants or (value is not None and sized(value, self._dimensions) is not None)

    def _bytes(self, name: str) -> int:
        return activation_bytes(name, self._values.get(name), self._dimensions)


def _last_readers(graph: StepGraph) -> dict[str, int]:
    """Return value -> the last moment it is needed; values that nothing reads are not in it."""
    last = {name: moment for moment, node in enumerate(graph.nodes) for name in node.inputs if name}
    states = (pair.input for pair in graph.states)
    return last | dict.fromkeys((*(value.name for value in graph.outputs), *states), len(graph.nodes))
