"""Examples of FG305: carries that do not depend on the puzzle, or on themselves."""

import numpy as np

from tests.graph_texts import graph

TWO = "(float[1,4,8] a, float[1,4,8] b, float[1,4,8] x) => (float[1,4,8] a_out, float[1,4,8] b_out)"
FOLDED = {"w8": np.full((1, 4, 8), 0.5, np.float32)}


def failing(folder):
    """The tracer took its example for a constant; x is an input that nothing reads."""
    return graph(folder, "mixed = Add(h, w8) m = MatMul(mixed, w) h_out = Add(h, m)", constants=FOLDED)


def passing(folder):
    return graph(folder, "mixed = Add(h, x) m = MatMul(mixed, w) h_out = Add(h, m)")


def passing_through_another_state_one_step_later(folder):
    """a takes the puzzle from what b was after the step before."""
    return graph(folder, "m = MatMul(b, w) a_out = Add(a, m) b_out = Add(a, x)", TWO)


def failing_where_no_state_takes_the_puzzle(folder):
    return graph(folder, "m = MatMul(b, w) a_out = Add(a, m) b_out = Add(a, b)", TWO)


def failing_that_starts_anew_at_every_step(folder):
    return graph(folder, "m = MatMul(x, w) h_out = Add(x, m)")


def failing_that_never_moves(folder):
    signature = "(float[1,4,8] h, float[1,4,8] x) => (float[1,4,8] h_out, float[1,4,8] logits)"
    return graph(folder, "h_out = Identity(h) mixed = Add(h, x) logits = MatMul(mixed, w)", signature)


def failing_that_reads_the_shape_of_the_puzzle_only(folder):
    return graph(folder, "shape = Shape(x) wide = Reshape(h, shape) m = MatMul(wide, w) h_out = Add(h, m)")


def passing_with_the_puzzle_in_its_initial_carry(folder):
    return graph(folder, "m = MatMul(h, w) h_out = Add(h, m)", "(float[1,4,8] h) => (float[1,4,8] h_out)")


def passing_beside_a_counter(folder):
    signature = "(float[1,4,8] h, int64[1] t, float[1,4,8] x) => (float[1,4,8] h_out, int64[1] t_out)"
    return graph(folder, "m = MatMul(h, w) h_out = Add(m, x) t_out = Sub(t, last)", signature)
