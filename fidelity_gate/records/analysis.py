"""What is said of a model from its files alone: arena, compute, and findings."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from fidelity_gate.records.models import Depth, Options
from fidelity_gate.records.policies import Severity


@dataclass(frozen=True, slots=True)
class Buffer:
    """One activation in the arena."""

    name: str
    size_bytes: int
    offset: int
    first: int  # index of the node that writes it; -1 for a graph input
    last: int  # index of the last node that reads it; the number of nodes for a graph output


@dataclass(frozen=True, slots=True)
class Arena:
    """The activation memory of one call of a step graph, planned as TFLite Micro does (greedy by size, best fit)."""

    arena_bytes: int
    lower_bound: int  # the most bytes alive at once: no plan can be smaller
    peak_node: str  # the operator at which most bytes are alive
    in_place: int  # outputs that took over the buffer of an input
    state_bytes: int  # both carries, which live across the whole step
    biggest: tuple[Buffer, ...]  # the largest first


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
