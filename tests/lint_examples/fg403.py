"""Examples of FG403: an 8x8 product against a tile of 16 and one of 8."""

from fidelity_gate.records import Target
from tests.lint_made import save_artifact, subject
from tests.model_files import MLP
from tests.step_graphs import step


def failing(folder):
    return step(folder, targets=(Target("npu", tile=16),))


def failing_token_mixing(folder):
    """Six tokens wide: the paper's case."""
    return subject(save_artifact(folder, "mlp", MLP), targets=(Target("npu", tile=8),))


def passing(folder):
    return step(folder, targets=(Target("npu", tile=8),))


def passing_without_a_tile(folder):
    return step(folder, targets=(Target("npu", static_only=True),))
