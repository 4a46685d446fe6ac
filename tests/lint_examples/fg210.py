"""Examples of FG210: three bits a weight, with a scale a row."""

from tests.lint_made import save_artifact, subject
from tests.weights_made import WIDE


def failing(folder):
    return subject(save_artifact(folder, "candidate", WIDE, recipe="int3,granularity=channel"))


def passing(folder):
    return subject(save_artifact(folder, "candidate", WIDE, recipe="int4-calibrated"))


def passing_worse(folder):
    """Less is FG209's."""
    return subject(save_artifact(folder, "candidate", WIDE, recipe="int2,granularity=channel"))
