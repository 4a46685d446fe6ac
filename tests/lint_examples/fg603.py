"""Examples of FG603: a step that draws its own noise, and one that is given it."""

from tests.graph_texts import graph

GIVEN = "(float[1,4,8] h, float[1,4,8] x, float[1,4,8] noise) => (float[1,4,8] h_out)"
BODY = "mixed = Add(h, x) m = MatMul(mixed, w) moved = Add(m, noise) h_out = Add(h, moved)"


def failing(folder):
    return graph(folder, f"noise = RandomNormalLike(h) {BODY}")


def failing_with_a_seed(folder):
    return graph(folder, f"noise = RandomUniform<shape=[1,4,8], seed=1.0>() {BODY}")


def passing(folder):
    return graph(folder, BODY, GIVEN)
