"""Step graphs: an ONNX file as plain values; the bytes of its weights stay where they are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Dimension: TypeAlias = int | str | None  # a size, an unknown with a name, or an unknown
Attribute: TypeAlias = int | float | str | tuple[int, ...] | tuple[float, ...] | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GraphValue:
    """A tensor that flows through a graph: an input, an output, or what a node makes."""

    name: str
    dtype: str  # "float32", "int8", "uint4", "bfloat16", ...; "" where it is not known
    shape: tuple[Dimension, ...] | None  # None where not even the rank is known

    @property
    def static(self) -> bool:
        """Return whether every size is a number."""
        return self.shape is not None and all(isinstance(size, int) for size in self.shape)


@dataclass(frozen=True, slots=True)
class External:
    """Where the bytes of a constant lie when they are not in the model file itself; as the file says, unchecked."""

    location: str
    offset: int
    length: int | None
    checksum: str  # "" where the file pins none


@dataclass(frozen=True, slots=True)
class GraphConstant:
    """A tensor whose bytes the file holds: an initializer, or the output of a Constant node."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    stored_bytes: int  # packed types take less than a byte a value
    digest: str  # of dtype, shape and bytes: equal constants have equal digests; "" for external ones
    from_node: str = ""  # the Constant node it came from; "" for an initializer
    external: External | None = None

    @property
    def values(self) -> int:
        """Return the number of values."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class GraphNode:
    """One operator of a graph."""

    index: int  # place in the file, from 0, Constant nodes counted
    name: str  # as the file says, or "Op_7" after its place where the file gives none
    op: str
    domain: str  # "" for the standard
    inputs: tuple[str, ...]  # "" for an optional one that is left out
    outputs: tuple[str, ...]
    attributes: Mapping[str, Attribute]  # tensors and graphs are not here
    subgraphs: int = 0  # bodies of Loop, Scan, If: counted, never entered
    captures: tuple[str, ...] = ()  # values of this graph that the bodies read, sorted; they are not among the inputs


@dataclass(frozen=True, slots=True)
class StatePair:
    """A state input and the output that is fed back into it."""

    input: str
    output: str


@dataclass(frozen=True, slots=True)
class StepGraph:
    """One step of a recursion as a graph; the host feeds the state outputs back."""

    nodes: tuple[GraphNode, ...]  # in the file's order, which is topological; without Constant nodes
    inputs: tuple[GraphValue, ...]  # without initializers
    outputs: tuple[GraphValue, ...]
    constants: Mapping[str, GraphConstant]  # sorted by name
    values: Mapping[str, GraphValue]  # every value that is known: inputs, outputs, what was declared or inferred
    opsets: Mapping[str, int]  # domain -> version
    ir_version: int = 0
    producer: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    states: tuple[StatePair, ...] = ()
    state_doubts: tuple[str, ...] = ()  # why an input or output that looks like state was not paired, a line each
