"""Examples of FG502: three puzzle tokens against six."""

from dataclasses import replace

from tests.lint_made import save_artifact, subject
from tests.model_files import MLP
from tests.step_graphs import step


def _reference(folder, family=MLP):
    return subject(save_artifact(folder, "reference", family), name="reference")


def failing(folder):
    short = replace(MLP, seq_len=3)
    return subject(save_artifact(folder, "short", short), reference=_reference(folder))


def failing_graph(folder):
    """A state of four tokens, against six."""
    return step(folder, reference=_reference(folder))


def passing(folder):
    return subject(save_artifact(folder, "int8", MLP, recipe="int8"), reference=_reference(folder))


def passing_graph(folder):
    return step(folder, reference=_reference(folder, replace(MLP, seq_len=4)))
