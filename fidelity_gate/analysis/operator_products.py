"""ONNX operators that are one matrix product: which inputs they multiply, the cost, and the shape of the result."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from fidelity_gate.errors import NotMeasured

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fidelity_gate.records import GraphNode

Shape: TypeAlias = tuple[int, ...]
MICROSOFT = "com.microsoft"


@dataclass(frozen=True, slots=True)
class Call:
    """A node, with the shapes of what it reads."""

    node: GraphNode
    shape_of: Callable[[str], Shape | None]

    def has(self, index: int) -> bool:
        """Return whether this input is given."""
        return index < len(self.node.inputs) and bool(self.node.inputs[index])

    def shape(self, index: int) -> Shape:
        """Return the shape of an input.

        Raises:
            NotMeasured: it is missing, or not known.
        """
        if not self.has(index):
            raise NotMeasured(f"its input {index} is missing")
        found = self.shape_of(self.node.inputs[index])
        if found is None:
            raise NotMeasured(f"the shape of '{self.node.inputs[index]}' is not known")
        return found

    def whole(self, name: str, default: int = 0) -> int:
        """Return an attribute that is a whole number."""
        value = self.node.attributes.get(name, default)
        return value if isinstance(value, int) else default

    def wholes(self, name: str, default: Shape) -> Shape:
        """Return an attribute that is a list of whole numbers."""
        value = self.node.attributes.get(name, default)
        return tuple(int(item) for item in value) if isinstance(value, tuple) else default


def key_of(node: GraphNode) -> str:
    """Return how tables name an operator: `MatMul`, `com.microsoft.MatMulNBits`."""
    return f"{node.domain}.{node.op}" if node.domain else node.op


# Operator -> the inputs that are multiplied. The others are scales, zero points and biases, and cost no product.
_FACTORS: Mapping[str, tuple[int, int]] = {
    "Gemm": (0, 1),
    "MatMul": (0, 1),
    "MatMulInteger": (0, 1),
    "QLinearMatMul": (0, 3),
    f"{MICROSOFT}.DynamicQuantizeMatMul": (0, 1),
    f"{MICROSOFT}.FusedGemm": (0, 1),
    f"{MICROSOFT}.FusedMatMul": (0, 1),
    f"{MICROSOFT}.FusedMatMulActivation": (0, 1),
    f"{MICROSOFT}.GemmFastGelu": (0, 1),
    f"{MICROSOFT}.GemmFloat8": (0, 1),
    f"{MICROSOFT}.MatMulInteger16": (0, 1),
    f"{MICROSOFT}.MatMulIntegerToFloat": (0, 1),
    f"{MICROSOFT}.QGemm": (0, 3),
    f"{MICROSOFT}.TransposeMatMul": (0, 1),
}
# Their weights are packed, so attributes say their logical shape: K by N.
_PACKED = frozenset({f"{MICROSOFT}.MatMulBnb4", f"{MICROSOFT}.MatMulNBits"})

PRODUCTS = frozenset({*_FACTORS, *_PACKED})


def factors(call: Call) -> tuple[Shape, Shape]:
    """Return the shapes of the two matrices that an operator of `PRODUCTS` multiplies, transposed as it does.

    Raises:
        NotMeasured: a shape is not known, or the two do not fit.
    """
    key = key_of(call.node)
    if key in _PACKED:
        pair: tuple[Shape, Shape] = call.shape(0), (call.whole("K"), call.whole("N"))
    else:
        first, second = (call.shape(index) for index in _FACTORS[key])
        pair = (
            _turned(first, turn=bool(call.whole("transA"))),
            _turned(second, turn=bool(call.whole("transB"))),
        )
    left, right = pair
    if call.whole("transBatchA") or call.whole("transBatchB"):
        raise NotMeasured("it transposes over the batch")
    if not left or not right or left[-1] != _inner(right):
        raise NotMeasured(f"{_text(left)} and {_text(right)} cannot be multiplied")
    return left, right


def product_shape(left: Shape, right: Shape) -> Shape:
    """Return the shape of a matrix product as ONNX broadcasts it; vectors lose the side that they lack."""
    rows, columns = left[-2:-1], right[-1:] if len(right) > 1 else ()
    return (*broadcast(left[:-2], right[:-2]), *rows, *columns)


def product_flops(left: Shape, right: Shape) -> int:
    """Return the cost of a matrix product: 2 for every multiply-add."""
    return 2 * math.prod(product_shape(left, right)) * left[-1]


def broadcast(*shapes: Shape) -> Shape:
    """Return the shape that these broadcast to.

    Raises:
        NotMeasured: they do not.
    """
    rank = max(map(len, shapes))
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    found = tuple(next((size for size in sizes if size != 1), 1) for sizes in zip(*padded, strict=True))
    if any(size not in (1, whole) for shape in padded for size, whole in zip(shape, found, strict=True)):
        raise NotMeasured(f"{' and '.join(map(_text, shapes))} cannot be broadcast")
    return found


def _turned(shape: Shape, *, turn: bool) -> Shape:
    return (*shape[:-2], shape[-1], shape[-2]) if turn and len(shape) > 1 else shape


def _inner(right: Shape) -> int:
    return right[-2] if len(right) > 1 else right[0]


def _text(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "a scalar"
