"""Examples of FG404: four tokens in static INT8 against targets where it pays from 128 and from 4."""

from fidelity_gate.records import Target
from tests.lint_made import save_artifact, subject
from tests.model_files import ATTENTION
from tests.step_graphs import dynamic_product, static_product, step

LONG, SHORT = Target("npu", int8_min_tokens=128), Target("npu", int8_min_tokens=4)


def failing(folder):
    nodes, constants = static_product()
    return step(folder, product=nodes, constants=constants, targets=(LONG,))


def failing_artifact(folder):
    return subject(save_artifact(folder, "int8", ATTENTION, recipe="int8"), targets=(LONG,))


def passing(folder):
    nodes, constants = static_product()
    return step(folder, product=nodes, constants=constants, targets=(SHORT,))


def passing_dynamic(folder):
    """Dynamic quantization is another matter (FG401)."""
    nodes, constants = dynamic_product()
    return step(folder, product=nodes, constants=constants, targets=(LONG,))


def passing_float(folder):
    return step(folder, targets=(LONG,))


def passing_narrow(folder):
    """Four bits are stored, not computed in."""
    return subject(save_artifact(folder, "int4", ATTENTION, recipe="int4-calibrated"), targets=(LONG,))
