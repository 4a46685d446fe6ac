"""ONNX bytes -> StepGraph, refusing what could exhaust the machine or cannot be told apart."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from fidelity_gate.errors import ModelRefused
from fidelity_gate.graphs.checking import bodies, captured, refuse_model
from fidelity_gate.graphs.content import Content, content_of, known_type, refuse_shape, stored
from fidelity_gate.graphs.element_types import element_type, element_types
from fidelity_gate.graphs.states import pair_states
from fidelity_gate.graphs.wire import Light, lighten, text_of
from fidelity_gate.records import GraphConstant, GraphNode, GraphValue, StepGraph

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fidelity_gate.graphs.element_types import ElementType
    from fidelity_gate.records import Attribute, Dimension

_STANDARD = ("", "ai.onnx")
_FLOAT32, _INT64 = element_types()[1], element_types()[7]
_TEXT = element_types()[8]


@dataclass(frozen=True, slots=True, eq=False)
class OnnxFile:
    """An ONNX file, read.

    Attributes:
        graph: what it says.
        contents: the bytes of its constants, by name; large ones are windows into the file.
        skeleton: the file without its large tensors, as a serialized ModelProto.
    """

    graph: StepGraph
    contents: Mapping[str, Content]
    skeleton: bytes


def read_graph(data: bytes, where: str, *, declared: Mapping[str, str | None] | None = None) -> StepGraph:
    """Return the graph that the bytes of an ONNX file hold; see `read_onnx`."""
    return read_onnx(data, where, declared=declared).graph


def read_onnx(data: bytes, where: str, *, declared: Mapping[str, str | None] | None = None) -> OnnxFile:
    """Return what the bytes of an ONNX file hold; shapes are those that the file declares.

    Args:
        data: the whole file.
        where: the file, for errors.
        declared: state input -> state output (None: it is no state), where names do not tell.

    Raises:
        ModelRefused: not an ONNX model, or one that contradicts itself.
        UnsafeContent: local functions, or more nodes, pieces or nested graphs than can be looked at.
    """
    light = lighten(data, where)
    try:
        return _Reader(light, where, declared or {}).read(_model(light, where))
    except UnicodeDecodeError as error:
        raise ModelRefused("holds a name that is not UTF-8", where=where) from error


def _model(light: Light, where: str) -> Any:  # noqa: ANN401  (protobuf, as everywhere here)
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        return onnx.ModelProto.FromString(light.skeleton)
    except DecodeError as error:
        raise ModelRefused("is not an ONNX model: its bytes cannot be decoded", where=where) from error


@dataclass(frozen=True, slots=True, eq=False)
class _Reader:
    """Turns one ModelProto into plain values."""

    light: Light
    where: str
    declared: Mapping[str, str | None]

    def read(self, model: Any) -> OnnxFile:  # noqa: ANN401
        refuse_model(model, self.where)
        graph = model.graph
        contents = {item.name: content_of(item, item.name, self.light, self.where) for item in graph.initializer}
        nodes = []
        for index, item in enumerate(graph.node):
            if item.op_type == "Constant" and item.domain in _STANDARD:
                made = self.constant_node(item, index)
                contents[made.constant.name] = made
            else:
                nodes.append(self.node(index, item))
        contents = dict(sorted(contents.items()))
        inputs = tuple(value_of(item, self.where) for item in graph.input if item.name not in contents)
        outputs = tuple(value_of(item, self.where) for item in graph.output)
        states, doubts = pair_states(inputs, outputs, self.declared, self.where)
        step = StepGraph(
            nodes=tuple(nodes),
            inputs=inputs,
            outputs=outputs,
            constants={name: content.constant for name, content in contents.items()},
            values=self.values(graph.value_info, (*inputs, *outputs), contents),
            opsets={"" if item.domain in _STANDARD else item.domain: item.version for item in model.opset_import},
            ir_version=model.ir_version,
            producer=f"{text_of(model.producer_name)} {text_of(model.producer_version)}".strip(),
            metadata={item.key: text_of(item.value) for item in model.metadata_props},
            states=states,
            state_doubts=doubts,
        )
        return OnnxFile(step, contents, self.light.skeleton)

    def values(
        self,
        declared: Any,  # noqa: ANN401
        interface: tuple[GraphValue, ...],
        contents: Mapping[str, Content],
    ) -> dict[str, GraphValue]:
        """Return what the file says of its values; for inputs and outputs their own word counts."""
        found: dict[str, GraphValue] = {}
        for item in declared:
            value = value_of(item, self.where)
            if found.setdefault(value.name, value) != value:
                raise ModelRefused("is described twice, differently", where=self.where, field=value.name)
        for value in interface:
            if value.shape is not None or value.name not in found:
                found[value.name] = value
        return {name: value for name, value in found.items() if name not in contents}

    def node(self, index: int, node: Any) -> GraphNode:  # noqa: ANN401
        inside = list(bodies(node))
        return GraphNode(
            index=index,
            name=node.name or f"{node.op_type}_{index}",
            op=node.op_type,
            domain="" if node.domain in _STANDARD else node.domain,
            inputs=tuple(node.input),
            outputs=tuple(node.output),
            attributes={item.name: value for item in node.attribute if (value := _attribute(item)) is not None},
            subgraphs=len(inside),
            captures=tuple(sorted({name for body in inside for name in captured(body)})),
        )

    def constant_node(self, node: Any, index: int) -> Content:  # noqa: ANN401
        """Return what a Constant node holds, in whichever of its forms."""
        label = node.name or f"Constant_{index}"
        if len(node.attribute) != 1 or len(node.output) != 1 or not node.output[0]:
            raise ModelRefused("is a Constant without exactly one value and one name", where=self.where, field=label)
        attribute, name = node.attribute[0], node.output[0]
        if attribute.name == "value":
            return content_of(attribute.t, name, self.light, self.where, label)
        if attribute.name == "sparse_value":
            return self.sparse(attribute.sparse_tensor, name, label)
        if attribute.name not in _PLAIN_CONSTANTS:
            what = f"is a Constant with the unknown attribute '{attribute.name}'"
            raise ModelRefused(what, where=self.where, field=label)
        return _PLAIN_CONSTANTS[attribute.name](attribute, name, label)

    def sparse(self, tensor: Any, name: str, label: str) -> Content:  # noqa: ANN401
        """Return a sparse constant by its size; its values are not spread out."""
        parts = [content_of(part, name, self.light, self.where, label) for part in (tensor.values, tensor.indices)]
        shape = refuse_shape(tuple(tensor.dims), self.where, name)
        if not 0 < math.prod(parts[0].constant.shape) <= math.prod(shape):
            raise ModelRefused("is sparse, and has more values than places, or none", where=self.where, field=name)
        size = sum(part.constant.stored_bytes for part in parts)
        digest = "+".join(part.constant.digest for part in parts)
        constant = GraphConstant(name, parts[0].constant.dtype, shape, size, digest, label)
        return Content(constant, parts[0].element, None, "is sparse, and is not read")


def value_of(item: Any, where: str) -> GraphValue:  # noqa: ANN401
    """Return an input, an output, or a value within a graph; sequences and maps have neither type nor shape."""
    tensor = item.type.tensor_type
    known = element_type(tensor.elem_type)
    if known is None and tensor.elem_type:
        known_type(tensor.elem_type, where, item.name)
    if not tensor.HasField("shape"):
        return GraphValue(item.name, known.name if known else "", None)
    shape = tuple(_dimension(size) for size in tensor.shape.dim)
    refuse_shape(tuple(size if isinstance(size, int) else 0 for size in shape), where, item.name)
    return GraphValue(item.name, known.name if known else "", shape)


def _numbers(element: ElementType, field: str, attribute: Any, name: str, label: str) -> Content:  # noqa: ANN401
    values = np.array(getattr(attribute, field), dtype=np.dtype(element.name).newbyteorder("<"))
    return stored(name, element, values.shape, values.tobytes(), label)


def _text(field: str, attribute: Any, name: str, label: str) -> Content:  # noqa: ANN401
    told = getattr(attribute, field)
    texts, shape = ([told], ()) if isinstance(told, bytes) else (list(told), (len(told),))
    digest = hashlib.sha256(b"".join(len(text).to_bytes(8, "little") + text for text in texts)).hexdigest()
    constant = GraphConstant(name, _TEXT.name, shape, sum(map(len, texts)), digest, label)
    return Content(constant, _TEXT, None, "holds text, not numbers")


_PLAIN_CONSTANTS: Mapping[str, Callable[[Any, str, str], Content]] = {
    "value_float": partial(_numbers, _FLOAT32, "f"),
    "value_floats": partial(_numbers, _FLOAT32, "floats"),
    "value_int": partial(_numbers, _INT64, "i"),
    "value_ints": partial(_numbers, _INT64, "ints"),
    "value_string": partial(_text, "s"),
    "value_strings": partial(_text, "strings"),
}


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


def _dimension(size: Any) -> Dimension:  # noqa: ANN401
    if size.HasField("dim_value"):
        return int(size.dim_value)
    return text_of(size.dim_param) or None
