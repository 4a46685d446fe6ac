"""Standard operators in place of onnxruntime's own, for shape inference alone: they make values of the same shape.

ONNX knows no shapes of `com.microsoft` operators, so behind the first MatMulNBits nothing else would be known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fidelity_gate.records import GraphConstant

_DOMAIN = "com.microsoft"
# Shaped as their first input; the first two are written into the standard domain by onnxruntime.
_SHAPED_AS_INPUT = frozenset(
    {
        *("SimplifiedLayerNormalization", "SkipSimplifiedLayerNormalization", "SkipLayerNormalization"),
        *("BiasGelu", "FastGelu", "Gelu", "QuickGelu", "RotaryEmbedding"),
        *("QLinearLeakyRelu", "QLinearSigmoid", "QLinearSoftmax"),
    }
)
_ALSO_STANDARD = frozenset({"SimplifiedLayerNormalization", "SkipSimplifiedLayerNormalization"})
_FLOAT32, _UINT8 = 1, 2


def with_stand_ins(nodes: Iterable[Any], constants: Mapping[str, GraphConstant]) -> tuple[list[Any], list[Any]]:
    """Return nodes of which onnxruntime's own are replaced where that is possible, and inputs to add for them.

    Args:
        nodes: NodeProtos.
        constants: of the graph, whose types tell what QuantizeLinear makes.
    """
    found: list[Any] = []
    inputs: list[Any] = []
    for index, node in enumerate(nodes):
        try:
            found += _replaced(node, constants, inputs, f"stand-in {index}") or [node]
        except IndexError:  # too few inputs or outputs: whoever runs it will say so
            found.append(node)
    return found, inputs


def _replaced(node: Any, constants: Mapping[str, GraphConstant], inputs: list[Any], name: str) -> list[Any]:  # noqa: ANN401
    from onnx import helper

    if node.domain != _DOMAIN and node.op_type not in _ALSO_STANDARD:
        return []
    if node.op_type in _SHAPED_AS_INPUT:
        return [helper.make_node("Identity", [node.input[0]], [node.output[0]])]
    right = _right(node, constants)
    if right:
        inputs.append(helper.make_tensor_value_info(name, _FLOAT32, right))
        return [helper.make_node("MatMul", [node.input[0], name], [node.output[0]])]
    if node.op_type == "QuantizeLinear":
        zero = constants.get(node.input[2]) if len(node.input) > 2 else None
        code = _code(zero.dtype) if zero else _int(node, "output_dtype", _UINT8)
        return [helper.make_node("Cast", [node.input[0]], [node.output[0]], to=code)]
    return _BUILDERS[node.op_type](node, name) if node.op_type in _BUILDERS else []


def _right(node: Any, constants: Mapping[str, GraphConstant]) -> tuple[int, ...]:  # noqa: ANN401
    """Return the shape that a product's right operand stands for; nothing where the operand can stand for itself."""
    if node.op_type in _PACKED:
        return (_int(node, "K"), _int(node, "N"))
    if node.op_type == "FusedMatMul" and _int(node, "transB") and not _int(node, "transA"):
        known = constants.get(node.input[1])
        return (*known.shape[:-2], *reversed(known.shape[-2:])) if known else ()
    return ()


def _pair(op: str, right: int) -> Callable[[Any, str], list[Any]]:
    def build(node: Any, _: str) -> list[Any]:  # noqa: ANN401
        from onnx import helper

        return [helper.make_node(op, [node.input[0], node.input[right]], [node.output[0]])]

    return build


def _to_float(op: str, right: int) -> Callable[[Any, str], list[Any]]:
    def build(node: Any, name: str) -> list[Any]:  # noqa: ANN401
        from onnx import helper

        made = helper.make_node(op, [node.input[0], node.input[right]], [name])
        made.attribute.extend(item for item in node.attribute if item.name in ("transA", "transB"))
        return [made, helper.make_node("Cast", [name], [node.output[0]], to=_FLOAT32)]

    return build


def _dequantized(node: Any, _: str) -> list[Any]:  # noqa: ANN401
    from onnx import helper

    return [helper.make_node("Cast", [node.input[0]], [node.output[0]], to=_FLOAT32)]


def _rows(node: Any, name: str) -> list[Any]:  # noqa: ANN401
    from onnx import helper

    axis = _int(node, "gather_axis")
    made = helper.make_node("Gather", [node.input[0], node.input[1]], [name], axis=axis)
    return [made, helper.make_node("Cast", [name], [node.output[0]], to=_FLOAT32)]


def _turned_product(node: Any, _: str) -> list[Any]:  # noqa: ANN401
    from onnx import helper

    left = "ji" if _int(node, "transA") else "ij"
    right = "kj" if _int(node, "transB") else "jk"
    inputs = [node.input[0], node.input[1]]
    return [helper.make_node("Einsum", inputs, [node.output[0]], equation=f"...{left},...{right}->...ik")]


_PACKED = frozenset({"MatMulBnb4", "MatMulNBits"})
_BUILDERS: Mapping[str, Callable[[Any, str], list[Any]]] = {
    "DequantizeLinear": _dequantized,
    "DynamicQuantizeMatMul": _pair("MatMul", 1),
    "FusedMatMul": _turned_product,
    "GatherBlockQuantized": _rows,
    "MatMulIntegerToFloat": _to_float("MatMul", 1),
    "QGemm": _to_float("Gemm", 3),
    "QLinearAdd": _pair("Add", 3),
    "QLinearMul": _pair("Mul", 3),
}


def _int(node: Any, name: str, default: int = 0) -> int:  # noqa: ANN401
    return next((int(item.i) for item in node.attribute if item.name == name), default)


def _code(dtype: str) -> int:
    from fidelity_gate.graphs.element_types import element_types

    return next((code for code, element in element_types().items() if element.name == dtype), _UINT8)
