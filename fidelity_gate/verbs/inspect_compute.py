"""The part of `inspect` that says what a model computes, and what that may take in energy."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from fidelity_gate.analysis.compute import compute_of, family_compute
from fidelity_gate.analysis.operator_flops import graph_flops
from fidelity_gate.energy import MODELS, joules
from fidelity_gate.errors import NotMeasured
from fidelity_gate.text import printable
from fidelity_gate.units import format_value
from fidelity_gate.verbs.columns import columns

if TYPE_CHECKING:
    from fidelity_gate.protocols import Family, OpenedModel
    from fidelity_gate.records import Compute, Depth, StepGraph

LONGEST_GAP = 120


def file_compute(opened: OpenedModel, depth: Depth | None = None) -> Compute | str:
    """Return what an opened model computes at `depth` (None: as its file declares), or why that is not known."""
    try:
        return compute_of(opened, depth)
    except NotMeasured as error:
        graph = opened.step_graph()
        return _reason(error) + (f"; {_one_run(graph)}" if graph else "")


def architecture_compute(family: Family, depth: Depth | None = None) -> Compute | str:
    """Return what an architecture computes at `depth` (None: as it declares), or why that is not known."""
    deep = depth or family.declared_depth()
    if deep is None:
        return "the depth of the recursion is not known (say h_cycles, l_cycles and steps)"
    try:
        return family_compute(family, deep)
    except NotMeasured as error:
        return _reason(error)


def compute_text(found: Compute | str) -> str:
    """Return it for people."""
    if isinstance(found, str):
        return f"compute: not known, {printable(found)}"
    least = "at least " if found.not_counted else ""
    rows = [("compute", "(a multiply-add counts as 2)")]
    rows += [
        (f"  {name}", least + format_value(flops, "flop"))
        for name, flops in (("one block call", found.block_call), ("one ACT step", found.step))
        if flops is not None
    ]
    rows.append(("  one puzzle", f"{least}{format_value(found.puzzle, 'flop')} at {found.depth}"))
    rows += _shares(found)
    rows += [("  not counted", printable(line, LONGEST_GAP)) for line in found.not_counted]
    rows += [(f"  energy, {name}", f"{least}{text}") for name, text in _energy(found)]
    return columns(rows) + f"\n(by {found.counted_by}; norms, activations, look-ups and quantizing count nothing)"


def compute_json(found: Compute | str) -> dict[str, object]:
    """Return it for programs: FLOPs and joules, or the reason why there are none."""
    if isinstance(found, str):
        return {"not_known": found}
    record = {**asdict(found), "by_operator": dict(found.by_operator)}
    estimates = {model.name: joules(found.puzzle, model) for model in MODELS}
    return {**record, "estimated_joules_per_puzzle": estimates}


def _shares(found: Compute) -> list[tuple[str, str]]:
    """Return what a step's FLOPs go to, the largest share first."""
    shares = sorted(((float(cost or 0), name) for name, cost in found.by_operator), reverse=True)
    if not shares or not found.step:
        return []
    told = ", ".join(f"{printable(name, 60)} {cost / found.step:.1%}" for cost, name in shares)
    return [("  of a step", told)]


def _energy(found: Compute) -> list[tuple[str, str]]:
    return [
        (
            model.name,
            f"{format_value(joules(found.puzzle, model), 'joules')} a puzzle: an estimate, {model.mj_per_gflop:g}"
            " mJ per GFLOP",
        )
        for model in MODELS
    ]


def _one_run(graph: StepGraph) -> str:
    """Return what can be said of a graph even where nothing tells how often it runs."""
    flops = graph_flops(graph)
    least = "at least " if flops.not_counted else ""
    return f"one run of the graph takes {least}{format_value(float(flops.total), 'flop')}"


def _reason(error: NotMeasured) -> str:
    return f"{error.what} ({error.hint})" if error.hint else error.what
