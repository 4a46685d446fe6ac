"""Examples of FG503: a graph without and with Softmax against an attention model."""

from onnx import helper

from tests.lint_made import save_artifact, subject
from tests.model_files import ATTENTION, MLP
from tests.step_graphs import step


def _reference(folder, family=ATTENTION):
    return subject(save_artifact(folder, "reference", family), name="reference")


def failing(folder):
    """ELU features instead of softmax."""
    nodes = [helper.make_node("Elu", ["mixed"], ["features"]), helper.make_node("MatMul", ["features", "w"], ["moved"])]
    return step(folder, product=nodes, reference=_reference(folder))


def failing_mixer(folder):
    return subject(save_artifact(folder, "mlp", MLP), reference=_reference(folder))


def passing(folder):
    nodes = [helper.make_node("Softmax", ["mixed"], ["shares"]), helper.make_node("MatMul", ["shares", "w"], ["moved"])]
    return step(folder, product=nodes, reference=_reference(folder))


def passing_mlp(folder):
    """A reference that never had attention."""
    return step(folder, reference=_reference(folder, MLP))
