"""Examples of FG406: opset 18 for targets that read up to 17 and up to 18."""

from fidelity_gate.records import Target
from tests.step_graphs import step


def failing(folder):
    return step(folder, opset=18, targets=(Target("npu", max_opset=17),))


def passing(folder):
    return step(folder, opset=18, targets=(Target("npu", max_opset=18),))


def passing_without_a_limit(folder):
    return step(folder, opset=18, targets=(Target("npu", tile=8),))
