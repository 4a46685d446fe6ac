"""Examples of FG206: rows whose range was cut."""

from tests.lint_made import subject
from tests.weights_made import WIDE, integers, save_encoded


def failing(folder):
    return subject(save_encoded(folder, "candidate", WIDE, integers(8, shrink=0.6)))


def failing_four_bits(folder):
    return subject(save_encoded(folder, "candidate", WIDE, integers(4, symmetric=False, shrink=0.5)))


def failing_one_scale(folder):
    return subject(save_encoded(folder, "candidate", WIDE, integers(8, None, shrink=0.3)))


def passing(folder):
    return subject(save_encoded(folder, "candidate", WIDE, integers(8)))


def passing_slightly_cut(folder):
    return subject(save_encoded(folder, "candidate", WIDE, integers(4, symmetric=False, shrink=0.95)))


def passing_two_bits(folder):
    """Three integers: most values are at the ends by themselves."""
    return subject(save_encoded(folder, "candidate", WIDE, integers(2)))
