"""What is said of a model from its files alone: arena, compute, and findings."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from fidelity_gate.records.models import Depth, Options
from fidelity_gate.records.policies import Severity


@dataclass(frozen=True, slots=True)
class Buffer:
    """One activation in the arena; nodes are counted from 0 in the order of `StepGraph.nodes`."""

    name: str
    size_bytes: int
    offset: int
    first: int  # the node that writes it; -1 for a graph input
    last: int  # the last node that reads it; the number of nodes for a graph output and a state input


@dataclass(frozen=True, slots=True)
class Arena:
    """The activation memory of one call of a step graph, planned as TFLite Micro does; weights are not in it."""

    arena_bytes: int
    lower_bound: int  # the most bytes alive at once: no plan can be smaller
    peak_node: str  # the operator at which most bytes are alive; "" for a graph without one
    in_place: int  # outputs that took over the buffer of an input
    state_bytes: int  # the carries, double-buffered: what goes in and what comes out
    biggest: tuple[Buffer, ...]  # the largest first
    order: str = ""  # in which the buffers were placed; "size" is TFLite Micro's
    largest_first_bytes: int = 0  # the arena in TFLite Micro's own order
    separate_bytes: int = 0  # the arena in that order where no value shares a buffer: TFLite Micro by itself
    buffers: int = 0
    aliases: int = 0  # outputs that are another shape of an input
    folded: int = 0  # nodes on constants and sizes alone, which a converter computes beforehand
    dimensions: Options = ()  # the sizes that open dimensions were given, sorted


@dataclass(frozen=True, slots=True)
class Compute:
    """Floating-point operations; a multiply-add counts as 2."""

    block_call: float | None  # one call of the recursive block, on average where blocks differ; None: not known
    step: float  # one ACT step
    puzzle: float  # the whole recursion at `depth`
    depth: Depth
    counted_by: str  # "operator table", "torch FlopCounterMode", "closed form"
    by_operator: Options = ()  # operator -> FLOPs of one step, sorted by name
    not_counted: tuple[str, ...] = ()  # what the count leaves out, because its cost is not known: then it is too low


class LocationKind(StrEnum):
    """What a finding points at."""

    FILE = "file"
    TENSOR = "tensor"
    NODE = "node"
    INPUT = "input"
    OUTPUT = "output"
    METADATA = "metadata"


@dataclass(frozen=True, slots=True)
class Location:
    """Where in a model something was found."""

    kind: LocationKind = LocationKind.FILE
    name: str = ""  # of the tensor, node, input, output or metadata key
    context: str = ""  # one line: "MatMul(z_H 1x97x512, blk.w 512x1536) -> h_3"


class Need(StrEnum):
    """What a lint rule cannot do without."""

    TENSORS = "tensors"  # facts.tensors with roles
    WEIGHTS = "weights"  # values of the weights
    GRAPH = "graph"
    STATES = "states"  # a graph with at least one state pair
    REFERENCE = "reference"
    TARGET = "target"


@dataclass(frozen=True, slots=True)
class Found:
    """What a lint rule yields: one place, and what is wrong there. The rule itself says why and how to mend it."""

    location: Location
    message: str  # one sentence without a full stop
    figures: Options = ()  # numbers behind the message, sorted by name
    target: str = ""  # where only one target makes it a problem


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found in one model, ready for a report."""

    code: str  # "FG201"
    rule: str  # "per-tensor-low-bits"
    severity: Severity
    model: str  # the path of the file
    candidate: str  # as the policy names it, or ""
    location: Location
    message: str
    why: str
    fix: str
    figures: Options = ()
    target: str = ""


@dataclass(frozen=True, slots=True)
class Linted:
    """What linting one model came to; rules that lacked something to look at are named, not forgotten."""

    findings: tuple[Finding, ...] = ()  # by severity, then code, then place
    checked: tuple[str, ...] = ()  # codes of the rules that ran
    skipped: Options = ()  # code -> what it lacked ("no reference was given"), sorted
