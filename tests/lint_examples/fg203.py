"""Examples of FG203: a row eight times as large as the others."""

from tests.lint_made import subject
from tests.weights_made import WIDE, integers, save_encoded

MATRIX = "L_level.layers.0.self_attn.qkv_proj.weight"


def large_row(arrays):
    arrays[MATRIX][7] *= 8


def failing(folder):
    return subject(save_encoded(folder, "candidate", WIDE, integers(4, None), edit=large_row))


def failing_most_rows_round_to_zero(folder):
    return subject(save_encoded(folder, "candidate", WIDE, integers(2, None), edit=large_row))


def passing(folder):
    """A scale a row."""
    return subject(save_encoded(folder, "candidate", WIDE, integers(4), edit=large_row))


def passing_even_rows(folder):
    return subject(save_encoded(folder, "candidate", WIDE, integers(4, None)))


def passing_eight_bits(folder):
    """The other rows keep five bits."""
    return subject(save_encoded(folder, "candidate", WIDE, integers(8, None), edit=large_row))
