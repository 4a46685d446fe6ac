"""Examples of FG202: one scale for the weights that mix tokens."""

from tests.lint_made import save_artifact, subject
from tests.model_files import ATTENTION, MLP
from tests.weights_made import integers, save_encoded, some


def failing(folder):
    return subject(save_artifact(folder, "candidate", MLP, recipe="int4-naive"))


def passing(folder):
    """Channels of their own where tokens mix, one scale elsewhere."""
    store = some(integers(4), "mlp_t", others=integers(4, None))
    return subject(save_encoded(folder, "candidate", MLP, store))


def passing_eight_bits(folder):
    return subject(save_encoded(folder, "candidate", MLP, integers(8, None)))


def passing_attention(folder):
    """No weight mixes tokens."""
    return subject(save_artifact(folder, "candidate", ATTENTION, recipe="int4-naive"))
