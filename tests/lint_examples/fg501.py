"""Examples of FG501: eight ACT steps against sixteen, and sixteen."""

from fidelity_gate.records import Depth
from tests.lint_made import save_artifact, subject
from tests.model_files import ATTENTION


def _pair(folder, steps):
    reference = subject(save_artifact(folder, "reference", ATTENTION), name="reference", depth=Depth(3, 6, 16))
    path = save_artifact(folder, "candidate", ATTENTION, recipe="int8")
    return subject(path, depth=Depth(3, 6, steps) if steps else None, reference=reference)


def failing(folder):
    return _pair(folder, 8)


def passing(folder):
    return _pair(folder, 16)


def passing_unknown(folder):
    return _pair(folder, 0)
