"""Examples of FG205: zero points of another type than their integers, and outside their range."""

import numpy as np
from onnx import helper

from tests.step_graphs import INT8, static_product, step


def failing(folder):
    """Signed weights with an unsigned zero point, as a quantizer leaves them whose weight type was changed by hand."""
    nodes, constants = static_product()
    nodes[2].input[2] = "w_zero"
    return step(folder, product=nodes, constants={**constants, "w_zero": np.uint8(0)}, checked=False)


def failing_integer_product(folder):
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["mixed"], ["x_q", "x_scale", "x_zero"]),
        helper.make_node("MatMulInteger", ["x_q", "w_q", "x_zero", "w_zero"], ["whole"]),
        helper.make_node("Cast", ["whole"], ["wide"], to=1),
        helper.make_node("Mul", ["wide", "x_scale"], ["moved"]),
    ]
    return step(folder, product=nodes, constants={"w_q": INT8, "w_zero": np.uint8(0)}, checked=False)


def passing(folder):
    nodes, constants = static_product()
    nodes[2].input[2] = "w_zero"
    return step(folder, product=nodes, constants={**constants, "w_zero": np.int8(0)})


def passing_without_a_zero_point(folder):
    nodes, constants = static_product()
    del nodes[2].input[2]
    return step(folder, product=nodes, constants=constants)
