"""Examples of FG306: outputs that no input reaches."""

import numpy as np

from tests.graph_texts import STEP, graph

SIGNATURE = "(float[1,4,8] h, float[1,4,8] x) => (float[1,4,8] h_out, float[1,4,8] logits)"
START = {"start": np.ones((1, 4, 8), np.float32)}


def failing(folder):
    """The head reads the initial carry instead of the state."""
    return graph(folder, f"{STEP} logits = MatMul(start, w)", SIGNATURE, constants=START)


def passing(folder):
    return graph(folder, f"{STEP} logits = MatMul(h_out, w)", SIGNATURE)


def failing_of_a_shape_alone(folder):
    body = f"{STEP} shape = Shape(x) logits = ConstantOfShape(shape)"
    return graph(folder, body, SIGNATURE)


def failing_as_a_constant_of_the_file(folder):
    return graph(folder, STEP, SIGNATURE, constants={"logits": START["start"]})
