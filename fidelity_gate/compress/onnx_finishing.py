"""A quantized model -> a file: in order, stripped, checked, counted, and refused where too little was quantized."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fidelity_gate import __version__
from fidelity_gate.compress.onnx_preparing import declared_states, names_in
from fidelity_gate.compress.onnx_runtime import session
from fidelity_gate.errors import Internal, UsageError
from fidelity_gate.graphs.reading import read_onnx
from fidelity_gate.graphs.weights import GraphWeights
from fidelity_gate.records import OnnxArtifact, Role
from fidelity_gate.units import format_value

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fidelity_gate.compress.onnx_choosing import Choice
    from fidelity_gate.compress.onnx_source import Source
    from fidelity_gate.graphs.compression_metadata import CompressionMetadata
    from fidelity_gate.records import TensorFact

PRODUCER = "fidelity-gate compress"
_MARK = bytes((0x12, len(PRODUCER))) + PRODUCER.encode()  # ModelProto.producer_name, which comes second in the file
_MARK_WITHIN = 32
LEAST_SHARE = 0.95  # of the values of the weights that a recipe is for
_LARGEST = 2**31 - 1  # bytes of a protobuf file


@dataclass(frozen=True, slots=True)
class Aim:
    """What a recipe was to do.

    Attributes:
        name: of the recipe.
        bits: the most that a weight may take afterwards.
        takes: what the tool can quantize, for whoever asks why it did not.
        retypes: values of the graph are no longer of the type that they were.
    """

    name: str
    bits: int
    takes: str
    retypes: bool = False


def is_compressed_graph(start: bytes) -> bool:
    """Return whether a file that starts so is an ONNX model that a recipe wrote."""
    return _MARK in start[:_MARK_WITHIN]


def finished(source: Source, model: Any, choice: Choice, told: CompressionMetadata, aim: Aim) -> OnnxArtifact:  # noqa: ANN401  (onnx.ModelProto)
    """Return the file that a quantized model makes.

    Args:
        source: what it was made from.
        model: quantized; it is changed.
        choice: what was to be quantized.
        told: what the file says of itself.
        aim: of the recipe.

    Raises:
        UsageError: too little was quantized, or the weights take no fewer bytes than before.
        Internal: the quantizer wrote a model that is not valid.
    """
    where = source.facts.path
    _tidy(model, source, retyped=aim.retypes)
    data = _serialized(model, source, told)
    weights = GraphWeights(read_onnx(data, where, declared=declared_states(source.graph)), where)
    facts = weights.facts()
    bits = {fact.name: fact.bits for fact in facts}
    left = [
        use.name
        for use in choice.targets
        if bits.get(use.name, 0) > aim.bits and use.name in weights.uses and weights.uses[use.name].products
    ]
    share = 1 - sum(choice.values[name] for name in left) / sum(choice.values.values())
    if share < LEAST_SHARE:
        what = f"{aim.name} quantized {format_value(share, 'fraction')} of the weights it is for"
        raise UsageError(f"{what}: {left[0]} stays float", where=where, field="--recipe", hint=aim.takes)
    _refuse_no_change(source, facts, aim.name)
    return OnnxArtifact(data, facts, told.recipe, share, choice.excluded, told.calibration_rows, told.ranges)


def _refuse_no_change(source: Source, facts: Iterable[TensorFact], name: str) -> None:
    before, after = (
        sum(fact.stored_bytes for fact in tensors if fact.role is not Role.OTHER)
        for tensors in (source.facts.tensors, facts)
    )
    if after >= before:
        what = f"{name} would change nothing for the better: weights take {before:,} bytes, then {after:,}"
        raise UsageError(what, where=source.facts.path, field="--recipe")


# ---------------------------------------------------------------- the file


def _tidy(model: Any, source: Source, *, retyped: bool) -> None:  # noqa: ANN401
    """Bring what a quantizer appended into order, store equal names once, and strip what says nothing of the graph."""
    graph = model.graph
    _sort(graph)
    constants = {item.name: item for item in graph.initializer}
    graph.ClearField("initializer")
    graph.initializer.extend(constants[name] for name in sorted(constants))
    made = {name for node in graph.node for name in node.output}
    graph.ClearField("value_info")
    if not retyped:
        graph.value_info.extend(value for value in source.model.graph.value_info if value.name in made)
    model.producer_name, model.producer_version = PRODUCER, __version__
    for item in (graph, *graph.node, *graph.initializer, *graph.value_info, *graph.input, *graph.output):
        item.doc_string = ""
        del item.metadata_props[:]  # exporters keep stack traces there, with the paths of whoever ran them


def _sort(graph: Any) -> None:  # noqa: ANN401
    """Put every node behind those that make what it reads, otherwise as they were."""
    made_inside = {name for node in graph.node for name in node.output}
    known = names_in(graph) - made_inside
    known |= {item.name for items in (graph.initializer, graph.input) for item in items} | {""}
    waiting, done = list(graph.node), []
    while waiting:
        later = []
        for node in waiting:
            if known.issuperset(node.input):
                known.update(node.output)
                done.append(node)
            else:
                later.append(node)
        if len(later) == len(waiting):
            raise Internal(f"the quantizer wrote a graph that goes in a circle, at {later[0].name}")
        waiting = later
    graph.ClearField("node")
    graph.node.extend(done)


def _serialized(model: Any, source: Source, told: CompressionMetadata) -> bytes:  # noqa: ANN401
    import onnx

    where = source.facts.path
    onnx.helper.set_model_props(model, {**source.graph.metadata, **told.properties()})
    data: bytes = model.SerializeToString(deterministic=True)
    if len(data) > _LARGEST:
        raise UsageError(f"takes {len(data):,} bytes compressed, and one ONNX file holds 2 GiB", where=where)
    try:
        onnx.checker.check_model(data, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise Internal(f"the quantizer wrote a model that is not valid ONNX: {error}", where=where) from error
    session(data, where, kind=Internal)
    return data
