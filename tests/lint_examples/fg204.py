"""Examples of FG204: scales of activations and of weights that are zero, negative or not finite."""

import numpy as np
from onnx import helper

from tests.step_graphs import INT8, static_product, step

ROWS = np.full(8, 1 / 64, dtype=np.float32)


def _activations(folder, scale):
    """The activations have a scale of their own, `a_scale`."""
    nodes, constants = static_product()
    for node in nodes[:2]:
        node.input[1] = "a_scale"
    return step(folder, product=nodes, constants={**constants, "a_scale": np.float32(scale)})


def _weights(folder, scale):
    nodes = [
        helper.make_node("DequantizeLinear", ["w_q", "scale"], ["w"], axis=1),
        helper.make_node("MatMul", ["mixed", "w"], ["moved"]),
    ]
    return step(folder, product=nodes, constants={"w_q": INT8, "scale": scale})


def failing_zero(folder):
    return _activations(folder, 0)


def failing_infinite(folder):
    return _activations(folder, np.inf)


def passing(folder):
    return _activations(folder, 1 / 16)


def passing_weights(folder):
    return _weights(folder, ROWS)


def passing_without_quantization(folder):
    return step(folder)
