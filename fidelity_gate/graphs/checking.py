"""What a graph must keep to so that everybody reads it alike: one maker a name, made before it is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fidelity_gate.errors import ModelRefused, UnsafeContent
from fidelity_gate.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LONGEST_NAME = 1000
MOST_INPUTS = 1000  # and outputs
# What onnxruntime sorts when it loads a file and the ONNX specification forbids; its float16 converter writes it.
OUT_OF_ORDER = "its nodes are out of order: onnxruntime.transformers.onnx_model.OnnxModel(m).topological_sort()"
_INITIALIZERS_ARE_INPUTS_BEFORE = 4  # IR version: until then every initializer had to be an input too
_GRAPH, _GRAPHS = 5, 10  # AttributeProto.type


def refuse_model(model: Any, where: str) -> None:  # noqa: ANN401  (protobuf, as everywhere here)
    """Refuse a model that is none, or that readers could take to mean different things.

    Args:
        model: the ModelProto of the skeleton.
        where: the file, for errors.

    Raises:
        ModelRefused: names what is wrong, and where.
    """
    if not model.graph.node:
        raise ModelRefused("holds no operators: it is not an ONNX model, or an empty one", where=where)
    standard = [item.version for item in model.opset_import if item.domain in ("", "ai.onnx")]
    if not model.opset_import or any(version < 1 for version in standard):
        raise ModelRefused("does not say which operator set it uses (opset_import)", where=where)
    _refuse_names(_names(model, where), where)
    _refuse_twice((item.domain or "ai.onnx" for item in model.opset_import), "imports an opset twice", where)
    _refuse_twice((item.key for item in model.metadata_props), "has metadata under one key twice", where)
    _refuse_inputs(model, where)
    refuse_body(model.graph, (), where)
    if not model.graph.output:
        raise ModelRefused("has no outputs", where=where)
    free = {item.name for item in model.graph.input} - {item.name for item in model.graph.initializer}
    if max(len(free), len(model.graph.output)) > MOST_INPUTS:
        raise UnsafeContent(f"has more than {MOST_INPUTS:,} inputs or outputs", where=where)


def refuse_body(graph: Any, around: tuple[set[str], ...], where: str) -> None:  # noqa: ANN401
    """Refuse a graph in which a name has two makers, or is read before it has one.

    Args:
        graph: the model's graph, or the body of a Loop, Scan or If.
        around: the names that each graph around a body has made by then.
        where: the file, for errors.
    """
    _refuse_twice((item.name for item in graph.initializer), "is an initializer twice", where)
    _refuse_twice((item.name for item in graph.input), "is an input twice", where)
    _refuse_twice((item.name for item in graph.output), "is an output twice", where)
    made = {item.name for items in (graph.initializer, graph.input) for item in items}
    ever = {name for node in graph.node for name in node.output}
    scopes = (*around, made)
    for node in graph.node:
        missing = _unmade((name for name in node.input if name), scopes)
        if missing:
            what = f"is read by {node.op_type} '{node.name}', and nothing makes it before"
            raise ModelRefused(what, where=where, field=missing, hint=OUT_OF_ORDER if missing in ever else "")
        for body in bodies(node):
            refuse_body(body, scopes, where)
        for name in node.output:
            if name and name in made:
                raise ModelRefused("is made twice", where=where, field=name)
            made.add(name)
    missing = _unmade((item.name for item in graph.output), scopes)
    if missing:
        raise ModelRefused(
            "is read by the outputs of its graph, and nothing makes it before", where=where, field=missing
        )


def captured(graph: Any) -> set[str]:  # noqa: ANN401
    """Return the names that a body reads and does not make: they come from the graphs around it."""
    made = {item.name for items in (graph.initializer, graph.input) for item in items}
    made |= {name for node in graph.node for name in node.output}
    read = {name for node in graph.node for name in node.input if name} | {item.name for item in graph.output}
    for node in graph.node:
        for body in bodies(node):
            read |= captured(body)
    return read - made


def bodies(node: Any) -> Iterator[Any]:  # noqa: ANN401
    """Yield the graphs that a node holds."""
    for attribute in node.attribute:
        if attribute.type == _GRAPH:
            yield attribute.g
        elif attribute.type == _GRAPHS:
            yield from attribute.graphs


def _unmade(names: Iterable[str], scopes: tuple[set[str], ...]) -> str:
    """Return the first of these names that none of the graphs around has made so far, or ""."""
    return next((name for name in names if not any(name in scope for scope in scopes)), "")


def _refuse_inputs(model: Any, where: str) -> None:  # noqa: ANN401
    """Refuse initializers that a caller may replace: the file would not say what runs."""
    if model.ir_version < _INITIALIZERS_ARE_INPUTS_BEFORE:
        return
    inputs = {item.name for item in model.graph.input}
    for item in model.graph.initializer:
        if item.name in inputs:
            what = "is an initializer and an input, so that a caller may replace it"
            hint = "export with keep_initializers_as_inputs=False"
            raise ModelRefused(what, where=where, field=item.name, hint=hint)


def _names(model: Any, where: str) -> Iterator[str]:  # noqa: ANN401
    for item in model.opset_import:
        yield item.domain
    for item in model.metadata_props:
        yield item.key
    yield from _graph_names(model.graph, where)


def _graph_names(graph: Any, where: str) -> Iterator[str]:  # noqa: ANN401
    for item in graph.initializer:
        yield item.name
    for items in (graph.input, graph.output, graph.value_info):
        for item in items:
            yield from (item.name, *(size.dim_param for size in item.type.tensor_type.shape.dim))
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        for attribute in node.attribute:
            yield attribute.name
        _refuse_twice(
            (attribute.name for attribute in node.attribute), f"is an attribute of '{node.name}' twice", where
        )
        for body in bodies(node):
            yield from _graph_names(body, where)


def _refuse_names(names: Iterable[str | bytes], where: str) -> None:
    for name in names:
        if not isinstance(name, str):  # what protobuf gives for text that is not UTF-8
            raise ModelRefused("holds a name that is not UTF-8", where=where)
        if not name.isprintable() or len(name) > LONGEST_NAME:
            what = f"is a name that cannot be shown (control characters, or over {LONGEST_NAME:,} characters)"
            raise ModelRefused(what, where=where, field=printable(name, 40))


def _refuse_twice(names: Iterable[str], what: str, where: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ModelRefused(what, where=where, field=name)
        seen.add(name)
