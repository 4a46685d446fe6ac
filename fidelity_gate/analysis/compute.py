"""What a model computes: FLOPs per block call, per ACT step and per puzzle; a multiply-add counts as 2.

Four ways, the cheapest that is exact first: the operator table for a step graph, the closed form for a family known
here, torch's own counter on tensors without memory for other families, and torch's own counter on a real run for a
module of the user's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fidelity_gate import registry
from fidelity_gate.analysis import closed_form, operator_flops
from fidelity_gate.errors import NotMeasured
from fidelity_gate.graphs.step_metadata import Unit, step_metadata
from fidelity_gate.records import Compute, RunSpec

if TYPE_CHECKING:
    from fidelity_gate.graphs.step_metadata import StepMetadata
    from fidelity_gate.protocols import Family, OpenedModel
    from fidelity_gate.records import Depth, Probes, StepGraph

_FAMILIES = "models.families"
FLOATS = ("float32", "float16", "bfloat16", "float64")


def compute_of(opened: OpenedModel, depth: Depth | None = None, probes: Probes | None = None) -> Compute:
    """Return what a model computes for one puzzle.

    Args:
        opened: any model.
        depth: how deep it runs; None: as its file declares.
        probes: for a module of the user's own, which tells what it computes only by running; the first is taken.

    Raises:
        NotMeasured: with the reason. A graph with operators of unknown cost is counted without them, and says so in
            `not_counted`.
    """
    graph = opened.step_graph()
    if graph is not None:
        return graph_compute(graph, depth or opened.facts.depth, opened.facts.path)
    return _tensors_compute(opened, _known(depth or opened.facts.depth), probes)


def family_compute(family: Family, depth: Depth) -> Compute:
    """Return what an architecture computes for one puzzle; no weights are needed. Raises NotMeasured."""
    if not closed_form.has_form(family.name):
        from fidelity_gate.analysis.torch_flops import family_flops

        return family_flops(family, depth)
    model = closed_form.Architecture(family.name, family.tensors(), family.geometry(), family.architecture())
    return closed_form.closed_form(model, depth)


def graph_compute(graph: StepGraph, depth: Depth | None, where: str = "") -> Compute:
    """Return what a step graph computes for one puzzle.

    Args:
        graph: one H-cycle, or one ACT step: its metadata says which.
        depth: how deep it runs; None: as its metadata declares.
        where: the file, for errors.

    Raises:
        NotMeasured: the depth is not known, contradicts the graph's own, or nothing says how many runs make a step.
        ModelRefused: the metadata holds what no export writes.
    """
    told = step_metadata(graph.metadata, where)
    deep = _known(depth or (told.depth if told else None))
    runs = _runs(told, deep)
    flops = operator_flops.graph_flops(graph)
    calls = _calls(graph, told, deep)
    return Compute(
        block_call=flops.carry / calls if calls else None,
        step=float(flops.total * runs),
        puzzle=float(flops.total * runs * deep.steps),
        depth=deep,
        counted_by=operator_flops.COUNTED_BY,
        by_operator=tuple((name, float(cost or 0) * runs) for name, cost in flops.by_operator),
        not_counted=flops.not_counted,
    )


def _known(depth: Depth | None) -> Depth:
    if depth is None:
        raise NotMeasured("the depth of the recursion is not known", hint="say h_cycles, l_cycles and steps")
    return depth


def _runs(told: StepMetadata | None, depth: Depth) -> int:
    """Return how many runs of the graph make one ACT step."""
    if told is None:
        if depth.h_cycles == 1:
            return 1
        what = "the graph does not say whether it is one H-cycle or one ACT step"
        raise NotMeasured(what, hint=f"metadata fidelity_gate.unit: {' or '.join(Unit)}")
    inside = (told.depth.h_cycles, told.depth.l_cycles), (depth.h_cycles, depth.l_cycles)
    ours, theirs = inside if told.unit is Unit.ACT_STEP else (inside[0][1:], inside[1][1:])
    if ours != theirs:
        raise NotMeasured(f"the graph holds the cycles of {told.depth}, and the depth is {depth}")
    return depth.h_cycles if told.unit is Unit.H_CYCLE else 1


def _calls(graph: StepGraph, told: StepMetadata | None, depth: Depth) -> int:
    """Return how often one run of the graph calls the recursive block; 0 where no state shows it.

    With two streams, one is updated `l_cycles` times, then the other once; a single stream has no second update.
    """
    states = {pair.input for pair in graph.states}
    streams = sum(value.name in states and value.dtype in FLOATS for value in graph.inputs)
    if not streams:
        return 0
    cycles = 1 if told and told.unit is Unit.H_CYCLE else depth.h_cycles
    return cycles * (depth.l_cycles + 1 if streams > 1 else depth.l_cycles)


def _tensors_compute(opened: OpenedModel, depth: Depth, probes: Probes | None) -> Compute:
    facts = opened.facts
    if closed_form.has_form(facts.family):
        return closed_form.closed_form(closed_form.architecture_of(facts), depth)
    if facts.family in registry.table_of(_FAMILIES):
        family: Family = registry.build(_FAMILIES, facts.family, facts.architecture, where=facts.path)
        try:
            return family_compute(family, depth)
        except NotMeasured:
            if probes is None:
                raise
    if probes is None:
        raise NotMeasured(
            "it is neither of a known family nor a step graph, and tells what it computes only by running"
        )
    from fidelity_gate.analysis.torch_flops import recursion_flops

    return recursion_flops(opened.load(RunSpec()), probes, depth)
