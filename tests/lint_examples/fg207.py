"""Examples of FG207: scales sixteen times too large."""

from tests.lint_made import subject
from tests.weights_made import WIDE, integers, save_encoded


def _zero_rows(arrays):
    for name, array in arrays.items():
        if "proj" in name:
            array[::2] = 0


def failing(folder):
    return subject(save_encoded(folder, "candidate", WIDE, integers(8, stretch=16)))


def failing_one_scale(folder):
    return subject(save_encoded(folder, "candidate", WIDE, integers(8, None, stretch=5)))


def passing(folder):
    return subject(save_encoded(folder, "candidate", WIDE, integers(8)))


def passing_half_the_range(folder):
    return subject(save_encoded(folder, "candidate", WIDE, integers(8, stretch=2)))


def passing_rows_of_zeros(folder):
    return subject(save_encoded(folder, "candidate", WIDE, integers(8), edit=_zero_rows))
