"""Examples of FG607: a branch in a step, and none."""

import numpy as np

from tests.graph_texts import STEP, graph

BRANCHES = (
    "mixed = Add(h, x) moved = If (go) <then_branch = yes () => (float[1,4,8] a) { a = MatMul(mixed, w) }, "
    "else_branch = no () => (float[1,4,8] b) { b = Identity(mixed) }> h_out = Add(h, moved)"
)


def failing(folder):
    signature = "(float[1,4,8] h, float[1,4,8] x, bool go) => (float[1,4,8] h_out)"
    return graph(folder, BRANCHES, signature, constants={"w": np.eye(8, dtype=np.float32)})


def passing(folder):
    return graph(folder, STEP)


def passing_with_a_recurrent_operator(folder):
    body = "mixed = Add(h, x) y, last_y = RNN<hidden_size=8>(mixed, a, b) h_out = Add(h, y3) "
    body = body.replace("h_out", "y3 = Squeeze(y, one) h_out")
    weights = {"a": np.ones((1, 8, 8), np.float32), "b": np.ones((1, 8, 8), np.float32), "one": np.array([1])}
    return graph(folder, body, constants=weights)
