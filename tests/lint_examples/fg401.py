"""Examples of FG401: dynamic against static quantization."""

from fidelity_gate.records import Target
from tests.step_graphs import dynamic_product, static_product, step

NPU = Target("npu", static_only=True)
CPU = Target("cpu", sram_bytes=2**20)


def failing(folder):
    nodes, constants = dynamic_product()
    return step(folder, product=nodes, constants=constants, targets=(NPU,))


def passing(folder):
    nodes, constants = static_product()
    return step(folder, product=nodes, constants=constants, targets=(NPU,))


def passing_on_a_cpu(folder):
    nodes, constants = dynamic_product()
    return step(folder, product=nodes, constants=constants, targets=(CPU,))
