"""Examples of FG402: a batch that varies against one that is fixed."""

from fidelity_gate.records import Target
from tests.step_graphs import SHAPE, step

NPU = Target("npu", static_only=True)


def failing(folder):
    return step(folder, shape=("batch", *SHAPE[1:]), targets=(NPU,))


def passing(folder):
    return step(folder, targets=(NPU,))


def passing_on_a_cpu(folder):
    return step(folder, shape=("batch", *SHAPE[1:]), targets=(Target("cpu", sram_bytes=2**20),))
