"""Examples of FG201: INT4 with one scale a matrix, and its mended forms."""

from tests.lint_made import save_artifact, subject
from tests.model_files import ATTENTION
from tests.weights_made import integers, save_encoded


def failing(folder):
    return subject(save_artifact(folder, "candidate", ATTENTION, recipe="int4-naive"))


def failing_two_bits(folder):
    return subject(save_artifact(folder, "candidate", ATTENTION, recipe="int2"))


def passing(folder):
    return subject(save_artifact(folder, "candidate", ATTENTION, recipe="int4-calibrated"))


def passing_eight_bits(folder):
    return subject(save_encoded(folder, "candidate", ATTENTION, integers(8, None)))
