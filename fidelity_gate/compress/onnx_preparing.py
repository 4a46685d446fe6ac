"""Makes every product read its weight itself, so that quantizers, which look no further, find it.

Exporters put a Transpose, one Identity a use, a Reshape or a Concat of Slices between a weight and its product;
onnxruntime's quantizers then pass over it without a word. What only lays constants out anew is computed here, once for
equal results. Its own `quant_pre_process` does that too, and merges and renames nodes besides, so that `exclude` could
not name them.
"""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fidelity_gate.graphs.operands import products
from fidelity_gate.graphs.reading import read_onnx
from fidelity_gate.graphs.uses import weight_uses

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from fidelity_gate.compress.onnx_source import Source
    from fidelity_gate.graphs.uses import WeightUse
    from fidelity_gate.records import StepGraph

_LAYOUT = frozenset({"Concat", "Flatten", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"})
_STANDARD = ("", "ai.onnx")
_PLAIN = {  # attribute of a Constant -> the field that holds it, and its type
    "value_float": ("f", "float32"),
    "value_floats": ("floats", "float32"),
    "value_int": ("i", "int64"),
    "value_ints": ("ints", "int64"),
}


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A model whose products read their weights themselves, and what can be said of it."""

    model: Any  # onnx.ModelProto, of its own
    graph: StepGraph
    uses: Mapping[str, WeightUse]
    where: str


def prepared(source: Source, *, split_gemm: bool) -> Prepared:
    """Return a copy of the model that quantizers can work on.

    Args:
        source: the graph.
        split_gemm: write a Gemm with a constant matrix as MatMul and Add, for tools that know MatMul only.
    """
    import onnx

    model = onnx.ModelProto()
    model.CopyFrom(source.model)
    del model.graph.value_info[:]  # quantizers believe shapes that are no longer true
    _name_nodes(model.graph)
    _lift_constants(model.graph)
    _Folding(model, _needed(source.graph)).fold()
    if split_gemm:
        _split_gemms(model.graph)
    _drop_unread(model.graph)
    where = source.facts.path
    graph = read_onnx(model.SerializeToString(), where, declared=declared_states(source.graph)).graph
    return Prepared(model, graph, weight_uses(graph), where)


def declared_states(graph: StepGraph) -> dict[str, str | None]:
    """Return state input -> state output of a graph, and None for the other inputs, as a reader of it is told."""
    pairs = {pair.input: pair.output for pair in graph.states}
    return {value.name: pairs.get(value.name) for value in graph.inputs}


def _name_nodes(graph: Any) -> None:  # noqa: ANN401  (protobuf, as everywhere here)
    """Give nameless nodes the names that `inspect` and `lint` show."""
    for index, node in enumerate(graph.node):
        node.name = node.name or f"{node.op_type}_{index}"


def _lift_constants(graph: Any) -> None:  # noqa: ANN401
    """Turn Constant nodes that hold numbers into initializers."""
    import numpy as np

    kept = []
    for node in graph.node:
        attribute = node.attribute[0] if node.op_type == "Constant" and node.domain in _STANDARD else None
        if attribute is not None and attribute.name == "value":
            made = graph.initializer.add()
            made.CopyFrom(attribute.t)
            made.name = node.output[0]
        elif attribute is not None and attribute.name in _PLAIN:
            field_name, dtype = _PLAIN[attribute.name]
            _added(graph, node.output[0], np.array(getattr(attribute, field_name), dtype))
        else:
            kept.append(node)
    graph.ClearField("node")
    graph.node.extend(kept)


def _needed(graph: StepGraph) -> frozenset[str]:
    """Return the values that products read, and those they are laid out from."""
    wanted = {node.inputs[at.index] for node in graph.nodes for at in products(node) if at.index < len(node.inputs)}
    for node in reversed(graph.nodes):
        if node.op in _LAYOUT and not wanted.isdisjoint(node.outputs):
            wanted.update(node.inputs if node.op == "Concat" else node.inputs[:1])
    return frozenset(wanted)


@dataclass(slots=True, eq=False)
class _Folding:
    model: Any
    needed: frozenset[str]
    same: dict[str, str] = field(default_factory=dict)  # value -> the initializer that it is

    def fold(self) -> None:
        """Compute what lays constants out for products, and let its readers read the result."""
        graph = self.model.graph
        constants = {item.name: item for item in graph.initializer}
        outputs, taken = {item.name for item in graph.output}, names_in(graph)
        by_content: dict[str, str] = {}
        for node in graph.node:
            node.input[:] = [self.same.get(name, name) for name in node.input]
            if not self._folds(node, constants) or node.output[0] in outputs:
                continue
            array = self._evaluated(node, constants)
            if not by_content:
                by_content |= {_content(_array(item)): name for name, item in constants.items() if item.dims}
            name = by_content.get(_content(array))
            if name is None:
                name = by_content[_content(array)] = unused(f"{node.input[0]}.{node.op_type.lower()}", taken)
                constants[name] = _added(graph, name, array)
            self.same[node.output[0]] = name

    def _folds(self, node: Any, constants: Mapping[str, Any]) -> bool:  # noqa: ANN401
        wanted = node.op_type in _LAYOUT and node.domain in _STANDARD and node.output[0] in self.needed
        return wanted and all(name in constants for name in node.input if name)

    def _evaluated(self, node: Any, constants: Mapping[str, Any]) -> NDArray[np.generic]:  # noqa: ANN401
        import numpy as np
        import onnx
        from onnx.reference import ReferenceEvaluator

        given = {name: _array(constants[name]) for name in dict.fromkeys(node.input) if name}
        inputs = [onnx.helper.make_tensor_value_info(name, constants[name].data_type, None) for name in given]
        output = onnx.helper.make_tensor_value_info(node.output[0], constants[node.input[0]].data_type, None)
        alone = onnx.helper.make_model(
            onnx.helper.make_graph([node], "alone", inputs, [output]),
            opset_imports=self.model.opset_import,
            ir_version=self.model.ir_version,
        )
        (made,) = ReferenceEvaluator(alone).run(None, given)
        return np.asarray(made)


def _split_gemms(graph: Any) -> None:  # noqa: ANN401
    """Write `Gemm(x, constant, bias)` as a MatMul of the same name and an Add, where that is the same."""
    import onnx

    constants, taken = {item.name: item for item in graph.initializer}, names_in(graph)
    turned: dict[str, str] = {}
    nodes = []
    for node in graph.node:
        told = {item.name: onnx.helper.get_attribute_value(item) for item in node.attribute}
        plain = told.get("alpha", 1.0) == 1.0 and told.get("beta", 1.0) == 1.0 and not told.get("transA", 0)
        if node.op_type != "Gemm" or not plain or node.input[1] not in constants:
            nodes.append(node)
            continue
        weight = node.input[1]
        if told.get("transB", 0):
            if weight not in turned:
                turned[weight] = unused(f"{weight}.transpose", taken)
                _added(graph, turned[weight], _array(constants[weight]).T)
            weight = turned[weight]
        biased = len(node.input) > 2 and bool(node.input[2])
        product = unused(f"{node.output[0]}.product", taken) if biased else node.output[0]
        nodes.append(onnx.helper.make_node("MatMul", [node.input[0], weight], [product], name=node.name))
        if biased:
            name = f"{node.name}/bias"
            nodes.append(onnx.helper.make_node("Add", [product, node.input[2]], [node.output[0]], name=name))
    graph.ClearField("node")
    graph.node.extend(nodes)


def _drop_unread(graph: Any) -> None:  # noqa: ANN401
    """Remove nodes and initializers that no output depends on."""
    read = {item.name for item in graph.output}
    kept = []
    for node in reversed(graph.node):
        if not read.isdisjoint(node.output):
            read.update(name for name in node.input if name)
            kept.append(node)
    kept.reverse()
    graph.ClearField("node")
    graph.node.extend(kept)
    constants = [item for item in graph.initializer if item.name in read]
    graph.ClearField("initializer")
    graph.initializer.extend(constants)


def _array(tensor: Any) -> NDArray[np.generic]:  # noqa: ANN401
    import onnx

    return onnx.numpy_helper.to_array(tensor)


def _added(graph: Any, name: str, array: NDArray[np.generic]) -> Any:  # noqa: ANN401
    import numpy as np
    import onnx

    made = graph.initializer.add()
    made.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))
    return made


def _content(array: NDArray[np.generic]) -> str:
    import numpy as np

    heading = f"{array.dtype.str} {array.shape}".encode()
    return hashlib.sha256(heading + np.ascontiguousarray(array).tobytes()).hexdigest()


def names_in(graph: Any) -> set[str]:  # noqa: ANN401
    """Return the names of all values of a graph."""
    names = {item.name for items in (graph.initializer, graph.input, graph.output) for item in items}
    return names | {name for node in graph.node for name in node.output}


def unused(name: str, taken: set[str]) -> str:
    """Return the name, or with a number behind it where it is taken; it is taken from then on."""
    found = next(
        each
        for each in itertools.chain([name], (f"{name}.{count}" for count in itertools.count(2)))
        if each not in taken
    )
    taken.add(found)
    return found
