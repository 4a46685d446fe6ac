"""Examples of FG102: a quantizer that reached a part of the block."""

from tests.lint_made import save_artifact, subject
from tests.model_files import ATTENTION
from tests.weights_made import WIDE, integers, save_encoded, some


def failing(folder):
    return subject(save_encoded(folder, "candidate", WIDE, some(integers(8), "o_proj", "qkv_proj")))


def failing_head_alone(folder):
    """Nothing of the block: what MatMulNBits makes of an export whose weights go through a Transpose."""
    return subject(save_artifact(folder, "candidate", ATTENTION, recipe="bf16,heads=int8"))


def passing(folder):
    return subject(save_encoded(folder, "candidate", WIDE, integers(8)))


def passing_small_rest(folder):
    """4,096 of 114,688 weights are left."""
    return subject(save_encoded(folder, "candidate", WIDE, some(integers(8), "qkv_proj", "mlp")))


def passing_all_float(folder):
    return subject(save_artifact(folder, "candidate", ATTENTION))
