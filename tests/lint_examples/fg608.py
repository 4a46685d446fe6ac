"""Examples of FG608: weights that nothing reads, or only what nobody reads."""

import numpy as np

from tests.graph_texts import STEP, graph

DEAD = np.ones((32, 32), np.float32)


def failing(folder):
    return graph(folder, constants={"left": DEAD})


def failing_behind_a_node_that_nobody_reads(folder):
    body = f"wide = Concat<axis=2>(x, x, x, x) unused = MatMul(wide, left) {STEP}"
    return graph(folder, body, constants={"left": DEAD})


def passing(folder):
    return graph(folder)


def passing_with_a_few_bytes(folder):
    return graph(folder, constants={"left": DEAD[:7]})
