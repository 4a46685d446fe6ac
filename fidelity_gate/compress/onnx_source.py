"""The step graph that a recipe starts from: what was opened, its bytes, and why some graphs are no start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fidelity_gate.errors import UsageError
from fidelity_gate.graphs.content import ONE_FILE
from fidelity_gate.protocols import OpenedGraph
from fidelity_gate.records import Role

if TYPE_CHECKING:
    from fidelity_gate.protocols import OpenedModel
    from fidelity_gate.records import ModelFacts, StepGraph

LOWEST_OPSET = 13  # DequantizeLinear has a scale a channel from there on
_ROUNDING = frozenset({"DequantizeLinear", "DynamicQuantizeLinear", "QuantizeLinear"})
_WEIGHTS = (Role.BLOCK, Role.HEAD)
_FLOAT32_BITS = 32


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A float32 step graph that can be compressed."""

    opened: OpenedGraph
    graph: StepGraph
    model: Any  # onnx.ModelProto

    @property
    def facts(self) -> ModelFacts:
        """Return what the file holds."""
        return self.opened.facts


def source_of(model: OpenedModel, recipe: str) -> Source:
    """Return the graph of an opened file.

    Args:
        model: the opened file.
        recipe: name of the recipe, for errors.

    Raises:
        UsageError: no ONNX graph, one that is compressed already, or one that a recipe cannot look into.
    """
    import onnx

    graph, facts = model.step_graph(), model.facts
    if graph is None or not isinstance(model, OpenedGraph):
        hint = "first: fidelity-gate export REFERENCE -o STEP.onnx"
        raise UsageError(f"is no ONNX graph, and {recipe} compresses step graphs", where=facts.path, hint=hint)
    _refuse_unfit(facts, graph)
    return Source(model, graph, onnx.ModelProto.FromString(model.running))


def _refuse_unfit(facts: ModelFacts, graph: StepGraph) -> None:
    outside = next((name for name, constant in graph.constants.items() if constant.external), "")
    if outside:
        raise UsageError("lies in another file, which is never read", where=facts.path, field=outside, hint=ONE_FILE)
    nested = next((node for node in graph.nodes if node.subgraphs), None)
    if nested is not None:
        what = f"is a {nested.op}, which holds a graph of its own; recipes look at the outer one only"
        hint = "--model constants.INPUT=VALUE for an input that decides it" if nested.op == "If" else ""
        raise UsageError(what, where=facts.path, field=nested.name, hint=hint)
    if graph.opsets.get("", 0) < LOWEST_OPSET:
        hint = f"export with opset {LOWEST_OPSET} or later"
        what = f"is of opset {graph.opsets.get('', 0)}, which has one scale a tensor only"
        raise UsageError(what, where=facts.path, hint=hint)
    _refuse_compressed(facts, graph)


def _refuse_compressed(facts: ModelFacts, graph: StepGraph) -> None:
    narrow = next((fact for fact in facts.tensors if fact.role in _WEIGHTS and fact.bits < _FLOAT32_BITS), None)
    if narrow is not None:
        what = f"is compressed already ({narrow.stored_as}); its rounding would be rounded again"
        raise UsageError(what, where=facts.path, field=narrow.name, hint="give the float32 graph")
    rounding = next((node for node in graph.nodes if node.op in _ROUNDING), None)
    if rounding is not None:
        what = f"is a {rounding.op}: the graph is quantized already"
        raise UsageError(what, where=facts.path, field=rounding.name, hint="give the float32 graph")
