"""Examples of FG506: a graph whose head is INT8, and one whose block is."""

import numpy as np
from onnx import helper

from tests.lint_made import save_onnx, subject, value
from tests.step_graphs import FLOAT, INT8, SHAPE


def _graph(folder, name, *, head, block):
    """Write a step with a block weight and a head, each in float32 or in INT8."""
    nodes, constants = [], {"scale": np.float32(1 / 64), "zero": np.int8(0)}
    for weight, narrow in (("block", block), ("head", head)):
        constants[f"{weight}_q" if narrow else weight] = INT8 if narrow else FLOAT
        if narrow:
            nodes.append(helper.make_node("DequantizeLinear", [f"{weight}_q", "scale", "zero"], [weight]))
    nodes += [
        helper.make_node("MatMul", ["h", "block"], ["moved"]),
        helper.make_node("Add", ["moved", "x"], ["h_out"]),
        helper.make_node("MatMul", ["h_out", "head"], ["logits"]),
    ]
    used = {key: array for key, array in constants.items() if head or block or key in ("block", "head")}
    inputs, outputs = [value("h", SHAPE), value("x", SHAPE)], [value("h_out", SHAPE), value("logits", SHAPE)]
    return save_onnx(folder, name, nodes, inputs, outputs, used)


def _pair(folder, **narrow):
    reference = subject(_graph(folder, "reference", head=False, block=False), name="reference")
    return subject(_graph(folder, "candidate", **narrow), reference=reference)


def failing(folder):
    return _pair(folder, head=True, block=True)


def passing(folder):
    return _pair(folder, head=False, block=True)
