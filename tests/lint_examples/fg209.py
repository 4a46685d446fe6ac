"""Examples of FG209: two bits a weight, with a scale a row."""

from tests.lint_made import save_artifact, subject
from tests.weights_made import WIDE


def failing(folder):
    return subject(save_artifact(folder, "candidate", WIDE, recipe="int2,granularity=channel"))


def passing(folder):
    return subject(save_artifact(folder, "candidate", WIDE, recipe="int4-calibrated"))


def passing_told_by_another_rule(folder):
    """One scale a matrix is FG201's."""
    return subject(save_artifact(folder, "candidate", WIDE, recipe="int2"))
