"""Examples of FG303: norms and sums in float16."""

import numpy as np

from tests.graph_texts import FLOAT, graph, rms_norm

HALVES = {"w": FLOAT.astype(np.float16), "eps": np.float16(1e-4)}


def failing(folder):
    """Everything between two casts is float16."""
    body = (
        "k = Cast<to=10>(h) y = Cast<to=10>(x) mixed = Add(k, y) m = MatMul(mixed, w) sum = Add(k, m) "
        f"{rms_norm('sum', 'normed')} h_out = Cast<to=1>(normed)"
    )
    return graph(folder, body, constants=HALVES)


def passing(folder):
    """The product is float16; the sum and the norm are not."""
    body = (
        "mixed = Add(h, x) k = Cast<to=10>(mixed) p = MatMul(k, w) m = Cast<to=1>(p) sum = Add(h, m) "
        f"{rms_norm('sum', 'h_out')}"
    )
    return graph(folder, body, constants={"w": HALVES["w"]})


def failing_in_the_last_sum_alone(folder):
    body = "mixed = Add(h, x) k = Cast<to=10>(mixed) m = MatMul(k, w) sum = Add(k, m) h_out = Cast<to=1>(sum)"
    return graph(folder, body, constants={"w": HALVES["w"]})


def _layer_norm(folder, stash):
    body = (
        "mixed = Add(h, x) m = MatMul(mixed, w) sum = Add(h, m) k = Cast<to=10>(sum) "
        f"n = LayerNormalization<stash_type={stash}>(k, gain) h_out = Cast<to=1>(n)"
    )
    return graph(folder, body, constants={"gain": np.ones(8, np.float16)})


def passing_with_a_norm_that_sums_up_in_float32(folder):
    return _layer_norm(folder, 1)


def failing_with_a_norm_that_sums_up_in_bfloat16(folder):
    return _layer_norm(folder, 16)
