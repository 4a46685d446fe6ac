"""The activation memory of one call of a step graph, planned as TensorFlow Lite Micro plans it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fidelity_gate.analysis.graph_shapes import batch_name
from fidelity_gate.analysis.lifetimes import lifetimes
from fidelity_gate.analysis.placement import alive_bytes, best_layout, layout_of
from fidelity_gate.records import Arena, Buffer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fidelity_gate.analysis.lifetimes import Lifetime
    from fidelity_gate.analysis.placement import Layout
    from fidelity_gate.protocols import OpenedModel
    from fidelity_gate.records import StepGraph

BIGGEST = 10  # buffers that are named


def arena_of(opened: OpenedModel, dimensions: Mapping[str, int] | None = None) -> Arena | None:
    """Return the arena that one run of a model needs; None for one that is no step graph.

    Args:
        opened: the model.
        dimensions: sizes for dimensions that the graph leaves open; a batch that is not among them is 1.

    Raises:
        NotMeasured: a value has no known size, or a node holds graphs of its own.
    """
    graph = opened.step_graph()
    if graph is None:
        return None
    sizes = _sizes(graph, dimensions)
    return plan(opened.step_graph(sizes) or graph if sizes else graph, sizes)


def plan(graph: StepGraph, dimensions: Mapping[str, int] | None = None) -> Arena:
    """Return the arena that one call of a step graph needs.

    Args:
        graph: with a known element type and size for every value.
        dimensions: values of named dimensions: {"batch": 4}; a batch that is not among them is 1.

    Raises:
        NotMeasured: a value has no known size, or a node holds graphs of its own.
    """
    sizes = _sizes(graph, dimensions)
    found = lifetimes(graph, sizes)
    alive = alive_bytes(found.buffers, found.moments)
    bound, peak = int(alive.max()), int(alive.argmax()) - 1
    layout = best_layout(found.buffers, bound)
    states = frozenset(name for pair in graph.states for name in (pair.input, pair.output))
    return Arena(
        arena_bytes=layout.arena_bytes,
        lower_bound=bound,
        peak_node=graph.nodes[peak].name if 0 <= peak < len(graph.nodes) else "",
        in_place=found.in_place,
        state_bytes=sum(one.size_bytes for one in found.buffers if states & {one.name, *one.others}),
        biggest=_biggest(found.buffers, layout),
        order=layout.order,
        largest_first_bytes=layout_of(found.buffers).arena_bytes,
        separate_bytes=_separate(graph, sizes),
        buffers=len(found.buffers),
        aliases=found.aliases,
        folded=found.folded,
        dimensions=tuple(sorted(sizes.items())),
    )


def _sizes(graph: StepGraph, dimensions: Mapping[str, int] | None) -> dict[str, int]:
    batch = batch_name(graph)
    return ({batch: 1} if batch else {}) | dict(dimensions or {})


def _separate(graph: StepGraph, dimensions: Mapping[str, int]) -> int:
    """Return what TensorFlow Lite Micro's own planner comes to: every value apart, the largest buffer first."""
    return layout_of(lifetimes(graph, dimensions, sharing=False).buffers).arena_bytes


def _biggest(buffers: Sequence[Lifetime], layout: Layout) -> tuple[Buffer, ...]:
    made = [
        Buffer(one.name, one.size_bytes, offset, one.first, one.last)
        for one, offset in zip(buffers, layout.offsets, strict=True)
    ]
    return tuple(sorted(made, key=lambda buffer: -buffer.size_bytes)[:BIGGEST])
