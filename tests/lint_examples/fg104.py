"""Examples of FG104: a product that still reads the float weight beside one that reads its integers."""

import numpy as np
from onnx import helper

from tests.step_graphs import step

RNG = np.random.default_rng(0)
FLOAT = RNG.normal(size=(8, 8)).astype(np.float32)
SCALE = np.float32(np.abs(FLOAT).max() / 127)
INT8 = np.rint(FLOAT / SCALE).astype(np.int8)


def _both(folder, other):
    nodes = [
        helper.make_node("DequantizeLinear", ["w_q", "scale"], ["w"]),
        helper.make_node("MatMul", ["mixed", "w"], ["first"]),
        helper.make_node("MatMul", ["first", "w_float"], ["moved"]),
    ]
    return step(folder, product=nodes, constants={"w_q": INT8, "scale": SCALE, "w_float": other})


def failing(folder):
    return _both(folder, FLOAT)


def failing_transposed(folder):
    return _both(folder, FLOAT.T.copy())


def passing(folder):
    """One product, one weight."""
    nodes = [
        helper.make_node("DequantizeLinear", ["w_q", "scale"], ["w"]),
        helper.make_node("MatMul", ["mixed", "w"], ["moved"]),
    ]
    return step(folder, product=nodes, constants={"w_q": INT8, "scale": SCALE})


def passing_another_weight(folder):
    return _both(folder, RNG.normal(size=(8, 8)).astype(np.float32))
