"""A graph with every shape that can be told: what the file declares, and what follows from it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fidelity_gate.graphs.reading import value_of
from fidelity_gate.graphs.stand_ins import with_stand_ins
from fidelity_gate.graphs.wire import HELD_ABOVE
from fidelity_gate.sandbox import Limits, run_limited

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fidelity_gate.graphs.content import Content
    from fidelity_gate.graphs.reading import OnnxFile
    from fidelity_gate.records import Dimension, GraphValue, StepGraph

LIMITS = Limits(memory_bytes=1 << 30, seconds=20)
_WORKER = "fidelity_gate.graphs.shapes_worker:infer"
_LARGEST_ANSWER = 256 << 20


def inferred(file: OnnxFile, where: str, sizes: Mapping[str, int] | None = None) -> StepGraph:
    """Return the file's graph with the types and shapes of its values filled in; what cannot be told stays unknown.

    Shapes are inferred only where the file leaves some out, and without the large constants, whose values no shape
    depends on.

    Args:
        file: an ONNX file, read.
        where: its path, for errors.
        sizes: for dimensions that the file leaves open, by their name.

    Raises:
        OutOfTime, OutOfMemory, WorkerDied: shape inference did, which happens to crafted graphs.
    """
    graph = _sized(file.graph, sizes) if sizes else file.graph
    if all(_told(graph.values.get(name), sizes) for node in graph.nodes for name in node.outputs if name):
        return graph
    skeleton = skeleton_of(file, sizes)
    answer = run_limited(_WORKER, {}, limits=LIMITS, files={"skeleton.onnx": skeleton}, where=where)
    found = answer.files.get("inferred.onnx", b"")
    if not found or len(found) > _LARGEST_ANSWER:
        return graph
    return replace(graph, values=_merged(graph, found, where, sizes))


def _told(value: GraphValue | None, sizes: Mapping[str, int] | None) -> bool:
    """Return whether the type and the shape are known; where sizes are given, the shape in numbers."""
    return value is not None and bool(value.dtype) and value.shape is not None and (not sizes or value.static)


def _sized(graph: StepGraph, sizes: Mapping[str, int]) -> StepGraph:
    """Return the graph with these sizes wherever a declared shape names them."""
    values = {name: replace(value, shape=_with(value.shape, sizes)) for name, value in graph.values.items()}
    return replace(
        graph,
        values=values,
        inputs=tuple(replace(value, shape=_with(value.shape, sizes)) for value in graph.inputs),
        outputs=tuple(replace(value, shape=_with(value.shape, sizes)) for value in graph.outputs),
    )


def _with(shape: tuple[Dimension, ...] | None, sizes: Mapping[str, int]) -> tuple[Dimension, ...] | None:
    return shape and tuple(sizes.get(size, size) if isinstance(size, str) else size for size in shape)


def skeleton_of(file: OnnxFile, sizes: Mapping[str, int] | None = None) -> bytes:
    """Return the model with its large constants as inputs, and standard operators in place of onnxruntime's own."""
    import onnx

    model = onnx.ModelProto.FromString(file.skeleton)
    graph = model.graph
    if sizes:
        del graph.value_info[:]  # what is declared of inner values was written without the sizes
        for item in graph.input:
            for dimension in item.type.tensor_type.shape.dim:
                if dimension.dim_param in sizes:
                    dimension.dim_value = sizes[dimension.dim_param]
    large = {name for name, content in file.contents.items() if _is_large(content)}
    small = [item for item in graph.initializer if item.name not in large]
    nodes = [node for node in graph.node if node.op_type != "Constant" or node.output[0] not in large]
    nodes, added = with_stand_ins(nodes, file.graph.constants)
    del graph.initializer[:], graph.node[:], model.metadata_props[:]
    graph.initializer.extend(small)
    graph.node.extend(nodes)
    known = {item.name for item in graph.input}  # before IR version 4 initializers are inputs as well
    graph.input.extend(added)
    graph.input.extend(_as_input(file.contents[name]) for name in sorted(large - known))
    data: bytes = model.SerializeToString()
    return data


def _is_large(content: Content) -> bool:
    return content.data is None or content.constant.stored_bytes > HELD_ABOVE


def _as_input(content: Content) -> Any:  # noqa: ANN401  (protobuf)
    from onnx import helper

    return helper.make_tensor_value_info(content.constant.name, content.element.code, content.constant.shape)


def _merged(graph: StepGraph, found: bytes, where: str, sizes: Mapping[str, int] | None) -> Mapping[str, GraphValue]:
    """Return what was declared and what was inferred; the file's own words hold where both know a shape."""
    import onnx

    names = {name for node in graph.nodes for name in node.outputs}
    values = dict(graph.values)
    made = onnx.ModelProto.FromString(found).graph
    for item in (*made.value_info, *made.output):
        if item.name in names and not _told(values.get(item.name), sizes):
            values[item.name] = value_of(item, where)
    return values
