"""Examples of FG504: one layer against two, and a graph with a smaller block."""

from dataclasses import replace

import numpy as np
from onnx import helper

from tests.lint_made import save_artifact, subject
from tests.model_files import ATTENTION
from tests.step_graphs import FLOAT, SHAPE, step

TWO = replace(ATTENTION, layers=2)


def failing(folder):
    reference = subject(save_artifact(folder, "reference", TWO), name="reference")
    return subject(save_artifact(folder, "student", ATTENTION), reference=reference)


def failing_graph(folder):
    nodes = [helper.make_node("MatMul", ["mixed", "a"], ["wide"]), helper.make_node("MatMul", ["wide", "b"], ["moved"])]
    large = {"a": np.ones((SHAPE[-1], 32), np.float32), "b": np.ones((32, SHAPE[-1]), np.float32)}
    return step(folder, "small", reference=step(folder, "large", product=nodes, constants=large))


def passing(folder):
    reference = subject(save_artifact(folder, "reference", TWO), name="reference")
    return subject(save_artifact(folder, "int8", TWO, recipe="int8"), reference=reference)


def passing_graph(folder):
    return step(folder, "same", constants={"w": FLOAT}, reference=step(folder, "reference"))
