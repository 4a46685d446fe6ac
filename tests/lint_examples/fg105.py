"""Examples of FG105: a table that is stored twice, and read twice from one place."""

import numpy as np
from onnx import helper

from tests.step_graphs import FLOAT, step

TABLE = np.random.default_rng(0).normal(size=(1, 4, 8)).astype(np.float32).repeat(4, axis=0)[:, None]  # (4, 1, 4, 8)


def _tables(folder, first, second):
    nodes = [helper.make_node("MatMul", ["mixed", "w"], ["moved"])]
    extra = [
        helper.make_node("Mul", ["mixed", first], ["one"]),
        helper.make_node("Mul", ["mixed", second], ["two"]),
    ]
    constants = {"w": FLOAT, "cos_0": TABLE, "cos_1": TABLE if second == "cos_1" else TABLE + 1}
    return step(folder, product=nodes, extra=extra, constants=constants)


def failing(folder):
    return _tables(folder, "cos_0", "cos_1")


def passing(folder):
    return _tables(folder, "cos_0", "cos_0")


def passing_small(folder):
    """Axes and shapes are equal by the dozen."""
    axes = {f"axes_{number}": np.array([1]) for number in range(9)}
    extra = [helper.make_node("Unsqueeze", ["mixed", name], [f"wide_{name}"]) for name in axes]
    return step(folder, extra=extra, constants={"w": FLOAT, **axes})
