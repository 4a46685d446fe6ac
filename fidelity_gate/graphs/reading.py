"""ONNX bytes -> StepGraph, refusing what could exhaust the machine or cannot be told apart."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from fidelity_gate.errors import ModelRefused, UnsafeContent
from fidelity_gate.graphs.states import pair_states
from fidelity_gate.records import External, GraphConstant, GraphNode, GraphValue, StepGraph

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fidelity_gate.records import Attribute, Dimension

MOST_NODES = 100_000


def read_graph(data: bytes, where: str, *, declared: Mapping[str, str] | None = None) -> StepGraph:
    """Return the graph that the bytes of an ONNX file hold; shapes are those that the file declares.

    Args:
        data: the whole file.
        where: the file, for errors.
        declared: state input -> state output, where names do not tell.

    Raises:
        ModelRefused: not an ONNX model, or one that contradicts itself.
        UnsafeContent: local functions, or more nodes than can be looked at.
    """
    import onnx

    try:
        model: Any = onnx.ModelProto.FromString(data)
    except Exception as error:  # protobuf's DecodeError has no public base of its own
        raise ModelRefused("is not an ONNX model: its bytes cannot be decoded", where=where) from error
    if model.functions:
        raise UnsafeContent("holds local functions, which can nest without end", where=where, hint="inline them")
    if len(model.graph.node) > MOST_NODES:
        raise UnsafeContent(f"has {len(model.graph.node):,} nodes (at most {MOST_NODES:,})", where=where)
    return _graph(model, declared)


def _graph(model: Any, declared: Mapping[str, str] | None) -> StepGraph:  # noqa: ANN401  (protobuf)
    graph = model.graph
    constants = {item.name: constant_of(item, item.name) for item in graph.initializer}
    nodes = []
    for index, item in enumerate(graph.node):
        if item.op_type == "Constant" and not item.domain:
            made = _constant_node(item, f"Constant_{index}")
            constants[made.name] = made
        else:
            nodes.append(_node(index, item))
    inputs = tuple(_value(item) for item in graph.input if item.name not in constants)
    outputs = tuple(_value(item) for item in graph.output)
    known = {value.name: value for value in (*(_value(item) for item in graph.value_info), *inputs, *outputs)}
    states, doubts = pair_states(inputs, outputs, declared)
    return StepGraph(
        nodes=tuple(nodes),
        inputs=inputs,
        outputs=outputs,
        constants=dict(sorted(constants.items())),
        values=known,
        opsets={item.domain: item.version for item in model.opset_import},
        ir_version=model.ir_version,
        producer=f"{model.producer_name} {model.producer_version}".strip(),
        metadata={item.key: item.value for item in model.metadata_props},
        states=states,
        state_doubts=doubts,
    )


def dtype_name(code: int) -> str:
    """Return the name of an ONNX element type as numpy and ml_dtypes spell it; "" where it has none."""
    import onnx

    try:
        name = str(onnx.TensorProto.DataType.Name(code)).lower()
    except ValueError:
        return ""
    return {"undefined": "", "float": "float32", "double": "float64"}.get(name, name)


def constant_of(tensor: Any, name: str, from_node: str = "") -> GraphConstant:  # noqa: ANN401
    """Return what a TensorProto holds, by its bytes."""
    shape = tuple(tensor.dims)
    dtype = dtype_name(tensor.data_type)
    external = _external(tensor)
    if external is not None:
        return GraphConstant(name, dtype, shape, external.length or 0, "", from_node, external)
    raw = tensor.raw_data or tensor.SerializeToString(deterministic=True)
    hashed = hashlib.sha256(f"{dtype}{shape}".encode())
    hashed.update(raw)
    return GraphConstant(name, dtype, shape, len(raw), hashed.hexdigest(), from_node)


def _external(tensor: Any) -> External | None:  # noqa: ANN401
    import onnx

    if tensor.data_location != onnx.TensorProto.EXTERNAL:
        return None
    told = {item.key: item.value for item in tensor.external_data}
    length = told.get("length")
    return External(
        location=told.get("location", ""),
        offset=int(told.get("offset", "0") or 0),
        length=int(length) if length else None,
        checksum=told.get("checksum", ""),
    )


def _constant_node(node: Any, name: str) -> GraphConstant:  # noqa: ANN401
    import numpy as np
    import onnx

    attribute = node.attribute[0]
    label = node.name or name
    if attribute.name == "value":
        return constant_of(attribute.t, node.output[0], label)
    values = onnx.helper.get_attribute_value(attribute)
    return constant_of(onnx.numpy_helper.from_array(np.asarray(values)), node.output[0], label)


def _node(index: int, node: Any) -> GraphNode:  # noqa: ANN401
    import onnx

    graphs = {onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS}
    return GraphNode(
        index=index,
        name=node.name or f"{node.op_type}_{index}",
        op=node.op_type,
        domain="" if node.domain == "ai.onnx" else node.domain,
        inputs=tuple(node.input),
        outputs=tuple(node.output),
        attributes={item.name: value for item in node.attribute if (value := _attribute(item)) is not None},
        subgraphs=sum(item.type in graphs for item in node.attribute),
    )


def _attribute(item: Any) -> Attribute | None:  # noqa: ANN401
    import onnx

    kinds = onnx.AttributeProto
    if item.type == kinds.STRING:
        return str(item.s.decode("utf-8", "backslashreplace"))
    if item.type == kinds.STRINGS:
        return tuple(text.decode("utf-8", "backslashreplace") for text in item.strings)
    plain = {kinds.INT: "i", kinds.FLOAT: "f"}
    if item.type in plain:
        return getattr(item, plain[item.type])  # type: ignore[no-any-return]
    several = {kinds.INTS: "ints", kinds.FLOATS: "floats"}
    return tuple(getattr(item, several[item.type])) if item.type in several else None


def _value(item: Any) -> GraphValue:  # noqa: ANN401
    tensor = item.type.tensor_type
    shape = tuple(_dimension(size) for size in tensor.shape.dim) if tensor.HasField("shape") else None
    return GraphValue(item.name, dtype_name(tensor.elem_type), shape)


def _dimension(size: Any) -> Dimension:  # noqa: ANN401
    if size.HasField("dim_value"):
        return int(size.dim_value)
    return str(size.dim_param) or None
