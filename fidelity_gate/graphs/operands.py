"""Which inputs of which operators are weights: matrices that activations are multiplied with, and tables looked up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fidelity_gate.records import GraphNode


@dataclass(frozen=True, slots=True)
class Operand:
    """One input of a matrix product.

    Attributes:
        index: which input.
        out: the axis of it that counts output channels, negative from the end; None where there is no one axis.
        scale: which input holds its scales, where the operator takes integers.
        zero: which input holds its zero points.
    """

    index: int
    out: int | None
    scale: int | None = None
    zero: int | None = None


# Operator -> its operands. Both sides of a product may be the weight: mixing tokens is `weight @ activations`.
_PRODUCTS: dict[str, tuple[Operand, ...]] = {
    "Attention": (Operand(1, -1),),
    "Conv": (Operand(1, 0),),
    "ConvInteger": (Operand(1, 0, zero=3),),
    "ConvTranspose": (Operand(1, 1),),
    "DynamicQuantizeLSTM": (Operand(1, 2, 8, 9), Operand(2, 2, 10, 11)),
    "DynamicQuantizeMatMul": (Operand(1, -1, 2, 3),),
    "Einsum": (Operand(0, None), Operand(1, None)),
    "FusedConv": (Operand(1, 0),),
    "FusedGemm": (Operand(0, -2), Operand(1, -1)),
    "FusedMatMul": (Operand(0, -2), Operand(1, -1)),
    "GRU": (Operand(1, 1), Operand(2, 1)),
    "Gemm": (Operand(0, -2), Operand(1, -1)),
    "LSTM": (Operand(1, 1), Operand(2, 1)),
    "MatMul": (Operand(0, -2), Operand(1, -1)),
    "MatMulBnb4": (Operand(1, None, 2),),
    "MatMulInteger": (Operand(0, -2, zero=2), Operand(1, -1, zero=3)),
    "MatMulIntegerToFloat": (Operand(0, -2, 2, 4), Operand(1, -1, 3, 5)),
    "MatMulNBits": (Operand(1, 0, 2, 3),),
    "QAttention": (Operand(1, -1, 4, 7),),
    "QGemm": (Operand(0, -2, 1, 2), Operand(3, -1, 4, 5)),
    "QLinearConv": (Operand(3, 0, 4, 5),),
    "QLinearMatMul": (Operand(0, -2, 1, 2), Operand(3, -1, 4, 5)),
    "RNN": (Operand(1, 1), Operand(2, 1)),
}
_TABLES: dict[str, tuple[Operand, ...]] = {
    "EmbedLayerNormalization": (Operand(2, None), Operand(3, None), Operand(4, None)),
    "Gather": (Operand(0, None),),
    "GatherBlockQuantized": (Operand(0, None, 2, 3),),
}
# Other inputs that are integers with their scales beside them.
_SCALED: dict[str, tuple[Operand, ...]] = {
    "DequantizeLinear": (Operand(0, None, 1, 2),),
    "QLinearAdd": (Operand(0, None, 1, 2), Operand(3, None, 4, 5)),
    "QLinearMul": (Operand(0, None, 1, 2), Operand(3, None, 4, 5)),
}
_DOMAINS = frozenset({"", "com.microsoft"})
_TURNED = ("transA", "transB")  # attributes that turn the left and the right operand
_SWAPPED = {-1: -2, -2: -1}

# The products that multiply integers and leave their scale to a Mul after them.
WITHOUT_SCALE = frozenset({"ConvInteger", "MatMulInteger"})


def products(node: GraphNode) -> tuple[Operand, ...]:
    """Return the operands of a matrix product; nothing for any other operator."""
    if node.domain not in _DOMAINS:
        return ()
    found = _PRODUCTS.get(node.op, ())
    if not any(node.attributes.get(name) for name in _TURNED):
        return found
    return tuple(
        Operand(operand.index, _SWAPPED[operand.out], operand.scale, operand.zero)
        if operand.out in _SWAPPED and node.attributes.get(turned)
        else operand
        for operand, turned in zip(found, _TURNED, strict=False)
    )


def tables(node: GraphNode) -> tuple[Operand, ...]:
    """Return the inputs that a node looks rows up in; nothing for any other operator."""
    return _TABLES.get(node.op, ()) if node.domain in _DOMAINS else ()


def scaled(node: GraphNode) -> tuple[Operand, ...]:
    """Return the inputs that are integers with scales beside them, those of products included."""
    if node.domain not in _DOMAINS:
        return ()
    return _SCALED.get(node.op) or tuple(operand for operand in products(node) if operand.scale is not None)


def input_of(node: GraphNode, index: int | None) -> str:
    """Return the name of an input; "" where it is left out."""
    return node.inputs[index] if index is not None and index < len(node.inputs) else ""
