"""Examples of FG208: NF4 rows of 96 values, and of 64."""

from dataclasses import replace

from tests.lint_made import subject
from tests.weights_made import WIDE, integers, nf4, save_encoded

WIDER = replace(WIDE, hidden_size=96)


def failing(folder):
    return subject(save_encoded(folder, "candidate", WIDER, nf4))


def passing(folder):
    return subject(save_encoded(folder, "candidate", WIDE, nf4))


def passing_integers(folder):
    return subject(save_encoded(folder, "candidate", WIDER, integers(4)))
