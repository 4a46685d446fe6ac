"""Small step graphs for tests: a state h (1, 4, 8) that one product and one sum carry on."""

import numpy as np
from onnx import helper

from tests.lint_made import save_onnx, subject, value

SHAPE = (1, 4, 8)
INT8 = np.arange(-32, 32, dtype=np.int8).reshape(8, 8)
FLOAT = INT8.astype(np.float32) / 64


def step(folder, name="step", *, constants=None, extra=(), product=None, shape=SHAPE, **kw):
    """Write `h_out = h + (h + x) @ w`, with other nodes for the product or beside it, and open it.

    Args:
        product: nodes that make "moved" of "mixed"; a MatMul with a float32 `w` where left out.
        extra: nodes beside the step.
        kw: of `save_onnx` (opset, opsets, metadata, checked) and of `subject` (targets, reference, depth, claims).
    """
    saving = {key: kw.pop(key) for key in ("opset", "opsets", "metadata", "checked") if key in kw}
    made = {"w": FLOAT} if constants is None else constants
    nodes = [helper.make_node("Add", ["h", "x"], ["mixed"])]
    nodes += [*(product or [helper.make_node("MatMul", ["mixed", "w"], ["moved"])]), *extra]
    nodes.append(helper.make_node("Add", ["h", "moved"], ["h_out"], name="carry_update"))
    inputs, outputs = [value("h", shape), value("x", shape)], [value("h_out", shape)]
    return subject(save_onnx(folder, name, nodes, inputs, outputs, made, **saving), **kw)


def static_product():
    """Return nodes and constants of a product whose activations and weights are quantized with fixed scales."""
    nodes = [
        helper.make_node("QuantizeLinear", ["mixed", "scale", "zero"], ["x_q"]),
        helper.make_node("DequantizeLinear", ["x_q", "scale", "zero"], ["x_dq"]),
        helper.make_node("DequantizeLinear", ["w_q", "scale", "zero"], ["w"]),
        helper.make_node("MatMul", ["x_dq", "w"], ["moved"]),
    ]
    return nodes, {"w_q": INT8, "scale": np.float32(1 / 64), "zero": np.int8(0)}


def dynamic_product():
    """Return nodes and constants of a product whose activation scale is chosen at run time."""
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["mixed"], ["x_q", "x_scale", "x_zero"]),
        helper.make_node("MatMulInteger", ["x_q", "w_q", "x_zero"], ["whole"]),
        helper.make_node("Cast", ["whole"], ["wide"], to=1),
        helper.make_node("Mul", ["wide", "x_scale"], ["moved"]),
    ]
    return nodes, {"w_q": INT8}
