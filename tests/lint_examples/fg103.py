"""Examples of FG103: a candidate that takes as much room as its reference."""

from tests.lint_made import save_artifact, subject
from tests.weights_made import WIDE, integers, save_encoded, some


def _beside_reference(folder, path, **kw):
    reference = subject(save_artifact(folder, "reference", WIDE), name="reference")
    return subject(path, reference=reference, **kw)


def failing(folder):
    """One small matrix quantized."""
    return _beside_reference(folder, save_encoded(folder, "candidate", WIDE, some(integers(8), "o_proj")))


def failing_copy(folder):
    return _beside_reference(folder, save_artifact(folder, "candidate", WIDE), claims=("int8",))


def passing(folder):
    return _beside_reference(folder, save_encoded(folder, "candidate", WIDE, integers(8)))


def passing_not_said_to_be_compressed(folder):
    return _beside_reference(folder, save_artifact(folder, "candidate", WIDE), claims=("another runtime",))
