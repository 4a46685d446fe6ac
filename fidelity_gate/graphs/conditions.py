"""What is known of a graph before it runs: constants, inputs that are given one value, and what follows from them.

It is for the conditions of If alone, so operators are few and values small. What is not computed here is not known, and
nothing is guessed: an operator with an attribute or a type that this file does not treat makes an unknown value.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from numpy.typing import NDArray

    Operator = Callable[[Any, list[NDArray[Any]]], NDArray[Any]]

MOST_VALUES = 1024  # of a value that is looked at
_STANDARD = ("", "ai.onnx")
_TYPES = {1: "float32", 6: "int32", 7: "int64", 9: "bool", 11: "float64"}  # TensorProto.DataType


class _UnknownError(Exception):
    """The result is not computed here."""


@dataclass(slots=True, eq=False)
class Known:
    """The values of a graph that are known, filled in the order of its nodes.

    Attributes:
        values: by name.
        shapes: of inputs whose every size is a number; the runtime takes no other.
        reached: value -> the inputs that it depends on.
    """

    values: dict[str, NDArray[Any]] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    reached: dict[str, frozenset[str]] = field(default_factory=dict)

    def take_inputs(self, inputs: Iterable[Any], given: Mapping[str, float]) -> None:
        """Take the graph's inputs (ValueInfoProto), and what some of them are filled with at every run."""
        for item in inputs:
            tensor = item.type.tensor_type
            sizes = [size.dim_value if size.HasField("dim_value") else -1 for size in tensor.shape.dim]
            self.reached[item.name] = frozenset((item.name,))
            if not tensor.HasField("shape") or min(sizes, default=0) < 0:
                continue
            self.shapes[item.name] = tuple(sizes)
            if item.name in given and math.prod(sizes) <= MOST_VALUES and tensor.elem_type in _TYPES:
                filled = np.full(sizes, given[item.name])
                if _keeps(filled, _TYPES[tensor.elem_type]):
                    self.values[item.name] = filled.astype(_TYPES[tensor.elem_type])

    def take_constant(self, tensor: Any, name: str) -> None:  # noqa: ANN401  (TensorProto)
        """Take a constant, if it is small and of a type that conditions are made of."""
        from onnx import numpy_helper

        sizes = tuple(tensor.dims)
        elsewhere = tensor.data_location == tensor.EXTERNAL
        if elsewhere or tensor.data_type not in _TYPES or min(sizes, default=0) < 0 or math.prod(sizes) > MOST_VALUES:
            return
        try:
            self.values[name] = numpy_helper.to_array(tensor)
        except (TypeError, ValueError):  # bytes that contradict its shape: whoever reads the result will say so
            return

    def take_node(self, node: Any) -> None:  # noqa: ANN401  (NodeProto)
        """Take what a node makes, if that is known."""
        reached = frozenset[str]().union(*(self.reached.get(name, frozenset()) for name in node.input))
        self.reached.update(dict.fromkeys(node.output, reached))
        if node.domain not in _STANDARD or len(node.output) != 1:
            return
        if node.op_type == "Constant":
            if len(node.attribute) == 1 and node.attribute[0].name == "value":
                self.take_constant(node.attribute[0].t, node.output[0])
            return
        try:
            found = self._computed(node)
        except (_UnknownError, IndexError, TypeError, ValueError):
            return
        if found.size <= MOST_VALUES:
            self.values[node.output[0]] = found

    def truth(self, name: str) -> bool | None:
        """Return a condition; None where it is not known to be one value of type bool."""
        value = self.values.get(name)
        return None if value is None or value.dtype != np.bool_ or value.size != 1 else bool(value.reshape(()))

    def _computed(self, node: Any) -> NDArray[Any]:  # noqa: ANN401
        if node.op_type == "Shape":
            if node.attribute or node.input[0] not in self.shapes:
                raise _UnknownError
            return np.array(self.shapes[node.input[0]], np.int64)
        if node.op_type not in _OPERATORS or any(name not in self.values for name in node.input):
            raise _UnknownError
        return np.asarray(_OPERATORS[node.op_type](node, [self.values[name] for name in node.input]))


def _attribute(node: Any, name: str, otherwise: Any) -> Any:  # noqa: ANN401
    """Return the only attribute that a node may have here, as a number or several."""
    if any(item.name != name for item in node.attribute):
        raise _UnknownError
    item = next(iter(node.attribute), None)
    return otherwise if item is None else list(item.ints) or int(item.i)


def _keeps(array: NDArray[Any], dtype: str) -> bool:
    """Return whether a type holds these values exactly; a condition asks only which of them are zero."""
    if dtype == "bool":
        return array.dtype == np.bool_
    with np.errstate(all="ignore"):
        there = array.astype(dtype)
        return array.dtype != np.bool_ and bool((there.astype(array.dtype) == array).all())


def _cast(node: Any, inputs: list[NDArray[Any]]) -> NDArray[Any]:  # noqa: ANN401
    dtype = _TYPES[to] if (to := _attribute(node, "to", 0)) in _TYPES else ""
    (array,) = inputs
    if not dtype or np.isnan(array).any():
        raise _UnknownError
    if dtype != "bool" and array.dtype != np.bool_ and not _keeps(array, dtype):
        raise _UnknownError
    return array.astype(dtype)


def _gather(node: Any, inputs: list[NDArray[Any]]) -> NDArray[Any]:  # noqa: ANN401
    array, indices = inputs
    return np.take(array, indices, axis=_attribute(node, "axis", 0))


def _reshape(node: Any, inputs: list[NDArray[Any]]) -> NDArray[Any]:  # noqa: ANN401
    array, shape = inputs
    _attribute(node, "allowzero", 0)
    if not shape.all():  # a zero means a size of its own, or that of the input
        raise _UnknownError
    return array.reshape(tuple(int(size) for size in shape.reshape(-1)))


def _axes(node: Any, inputs: list[NDArray[Any]]) -> tuple[int, ...] | None:  # noqa: ANN401
    """Return the axes of Squeeze and Unsqueeze: an input since opset 13, an attribute before."""
    told = inputs[1].reshape(-1).tolist() if len(inputs) > 1 else _attribute(node, "axes", None)
    return None if told is None else tuple(int(axis) for axis in told)


def _squeeze(node: Any, inputs: list[NDArray[Any]]) -> NDArray[Any]:  # noqa: ANN401
    return np.squeeze(inputs[0], axis=_axes(node, inputs))


def _unsqueeze(node: Any, inputs: list[NDArray[Any]]) -> NDArray[Any]:  # noqa: ANN401
    axes = _axes(node, inputs)
    if axes is None:
        raise _UnknownError
    return np.expand_dims(inputs[0], axes)


def _identity(node: Any, inputs: list[NDArray[Any]]) -> NDArray[Any]:  # noqa: ANN401
    del node
    (array,) = inputs
    return array


def _plain(function: Any, kind: str = "") -> Operator:  # noqa: ANN401  (a ufunc)
    """Return an operator without attributes, of operands of one type; of that kind, where one is named."""

    def compute(node: Any, inputs: list[NDArray[Any]]) -> NDArray[Any]:  # noqa: ANN401
        kinds = {array.dtype for array in inputs}
        if node.attribute or len(kinds) != 1 or len(inputs) != function.nin or (kind and kinds.pop().kind != kind):
            raise _UnknownError
        return np.asarray(function(*inputs))

    return compute


_OPERATORS: Mapping[str, Operator] = {
    "And": _plain(np.logical_and, "b"),
    "Cast": _cast,
    "Equal": _plain(np.equal),
    "Gather": _gather,
    "Greater": _plain(np.greater),
    "GreaterOrEqual": _plain(np.greater_equal),
    "Identity": _identity,
    "Less": _plain(np.less),
    "LessOrEqual": _plain(np.less_equal),
    "Not": _plain(np.logical_not, "b"),
    "Or": _plain(np.logical_or, "b"),
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
    "Xor": _plain(np.logical_xor, "b"),
}
