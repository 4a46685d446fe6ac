"""Examples of FG405: a target without Add, and one with it."""

from fidelity_gate.records import Target
from tests.step_graphs import step


def failing(folder):
    return step(folder, targets=(Target("npu", operators=("MatMul",)),))


def passing(folder):
    return step(folder, targets=(Target("npu", operators=("Add", "MatMul")),))


def passing_without_a_list(folder):
    return step(folder, targets=(Target("npu", static_only=True),))
