"""The parts of `inspect` that only a step graph has: its interface, its operators, its arena, what it holds twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from fidelity_gate.analysis.arena import arena_of
from fidelity_gate.analysis.duplicates import Duplicate, duplicates
from fidelity_gate.errors import NotMeasured, UsageError
from fidelity_gate.graphs.step_metadata import step_metadata
from fidelity_gate.graphs.wiring import Wiring
from fidelity_gate.records import Arena, StepGraph
from fidelity_gate.text import printable
from fidelity_gate.verbs.columns import columns
from fidelity_gate.verbs.inspect_file import in_bytes

if TYPE_CHECKING:
    from fidelity_gate.protocols import OpenedModel
    from fidelity_gate.records import Buffer, GraphValue

MOST_OPERATORS = 12
MOST_BUFFERS = 5
MOST_DUPLICATES = 3
LONGEST = 120  # characters of a line that describes an operator
STANDARD_DOMAIN = "ai.onnx"


@dataclass(frozen=True, slots=True)
class Looked:
    """A graph with what was worked out of it."""

    graph: StepGraph
    unit: str  # what one run is, as its metadata says; "" where it says nothing
    arena: Arena | str  # or why there is none
    duplicates: tuple[Duplicate, ...]


def look(opened: OpenedModel, dimensions: Mapping[str, int]) -> Looked | None:
    """Return what can be worked out of a step graph; None for a file that is none.

    Args:
        opened: the file.
        dimensions: sizes for open dimensions; a batch that is not among them is 1.

    Raises:
        UsageError: no input has a dimension of that name.
    """
    graph, path = opened.step_graph(), opened.facts.path
    if graph is None:
        return None
    _refuse_unknown(graph, dimensions)
    told = step_metadata(graph.metadata, path)
    try:
        arena: Arena | str = arena_of(opened, dimensions) or "the file holds no graph"
    except NotMeasured as error:
        arena = f"{error.field}: {error.what}" + (f" ({error.hint})" if error.hint else "")
    return Looked(graph, told.unit.value if told else "", arena, duplicates(graph))


def _refuse_unknown(graph: StepGraph, dimensions: Mapping[str, int]) -> None:
    names = {size for value in graph.inputs for size in value.shape or () if isinstance(size, str)}
    for name in dimensions:
        if name not in names:
            open_ones = f"open: {', '.join(sorted(names))}" if names else "every size is a number already"
            raise UsageError(f"no input has a dimension '{name}'", field="--dimension", hint=open_ones)


def graph_text(looked: Looked) -> str:
    """Return the graph's interface and its operators."""
    graph = looked.graph
    rows = [
        ("graph", f"{len(graph.nodes):,} operators, {len(graph.constants):,} constants"),
        ("one run", f"one {looked.unit} (as the file says)" if looked.unit else "not told in the file"),
        ("opset", ", ".join(f"{domain or STANDARD_DOMAIN} {version}" for domain, version in graph.opsets.items())),
        ("IR, producer", f"{graph.ir_version}, {printable(graph.producer) or 'not told'}"),
    ]
    rows += [("input", _value(value)) for value in graph.inputs]
    rows += [("output", _value(value)) for value in graph.outputs]
    rows.append(("operators", _operators(graph)))
    return columns(rows)


def arena_text(looked: Looked) -> str:
    """Return the arena of one run, or why it is not known."""
    arena = looked.arena
    if isinstance(arena, str):
        return f"arena: not known, {printable(arena)}"
    ratio = arena.arena_bytes / arena.lower_bound if arena.lower_bound else 1.0
    sizes = "".join(f", {printable(name)} = {size}" for name, size in arena.dimensions)
    folded = [("  folded", f"{arena.folded:,} operators on constants and sizes alone")] * bool(arena.folded)
    rows = [
        (f"arena of one {looked.unit or 'run'}{sizes}", "(activations and carries; weights are not in it)"),
        ("  arena", f"{in_bytes(arena.arena_bytes)}, {ratio:.3f} times the lower bound"),
        ("  most alive at once", f"{in_bytes(arena.lower_bound)}, the lower bound"),
        ("  at", _peak(looked.graph, arena)),
        ("  carries, in and out", in_bytes(arena.state_bytes)),
        ("  placed largest first", in_bytes(arena.largest_first_bytes)),
        ("  and nothing shared", f"{in_bytes(arena.separate_bytes)}, as TFLite Micro plans by itself"),
        ("  buffers", f"{arena.buffers:,}; {arena.in_place:,} outputs in place, {arena.aliases:,} only reshaped"),
        *folded,
    ]
    biggest = [("buffer", "bytes", "offset", "from", "to"), *(_buffer(looked.graph, one) for one in arena.biggest)]
    return f"{columns(rows)}\n\n{columns(biggest[: MOST_BUFFERS + 1])}"


def duplicates_text(looked: Looked) -> str:
    """Return what the graph holds more than once; "" where it holds everything once."""
    found = looked.duplicates
    if not found:
        return ""
    total = sum(one.wasted_bytes for one in found)
    rows = [("constants held more than once", f"{in_bytes(total)} wasted")]
    rows += [
        (f"  {printable(one.names[0], 60)}", f"{len(one.names)} times {in_bytes(one.size_bytes)}")
        for one in found[:MOST_DUPLICATES]
    ]
    rest = len(found) - MOST_DUPLICATES
    return columns([*rows, (f"  and {rest:,} more", "")] if rest > 0 else rows)


def graph_json(looked: Looked) -> dict[str, object]:
    """Return all of it for programs."""
    graph, arena = looked.graph, looked.arena
    return {
        "graph": {
            "operators": dict(sorted(_counted(graph).items())),
            "opsets": dict(graph.opsets),
            "ir_version": graph.ir_version,
            "producer": printable(graph.producer),
            "metadata": {printable(key): printable(value) for key, value in graph.metadata.items()},
            "inputs": [asdict(value) for value in graph.inputs],
            "outputs": [asdict(value) for value in graph.outputs],
            "states": [asdict(pair) for pair in graph.states],
            "state_doubts": list(graph.state_doubts),
            "unit": looked.unit,
        },
        "arena": {"not_known": arena}
        if isinstance(arena, str)
        else asdict(arena) | {"dimensions": dict(arena.dimensions)},
        "duplicates": [asdict(one) | {"wasted_bytes": one.wasted_bytes} for one in looked.duplicates],
    }


def _counted(graph: StepGraph) -> Counter[str]:
    return Counter(f"{node.domain}.{node.op}".lstrip(".") for node in graph.nodes)


def _operators(graph: StepGraph) -> str:
    counted = sorted(_counted(graph).items(), key=lambda one: (-one[1], one[0]))
    told = ", ".join(f"{printable(name, 60)} {count}" for name, count in counted[:MOST_OPERATORS])
    rest = sum(count for _, count in counted[MOST_OPERATORS:])
    return f"{told}, {rest} others" if rest else told or "none"


def _value(value: GraphValue) -> str:
    if value.shape is None:
        return f"{printable(value.name)}  {value.dtype or 'unknown type'}, of unknown shape"
    sizes = "x".join("?" if size is None else printable(str(size), 60) for size in value.shape) or "scalar"
    return f"{printable(value.name)}  {value.dtype or 'unknown type'} {sizes}"


def _peak(graph: StepGraph, arena: Arena) -> str:
    node = next((node for node in graph.nodes if node.name == arena.peak_node), None)
    if node is None:
        return "the start, where the host has written the inputs"
    return f"{printable(node.name, 60)}: {printable(Wiring(graph).describe(node), LONGEST)}"


def _buffer(graph: StepGraph, one: Buffer) -> tuple[str, str, str, str, str]:
    first = "the start" if one.first < 0 else printable(graph.nodes[one.first].name, 40)
    last = "the end" if one.last >= len(graph.nodes) else printable(graph.nodes[max(one.last, 0)].name, 40)
    return f"  {printable(one.name, 60)}", f"{one.size_bytes:,}", f"{one.offset:,}", first, last
