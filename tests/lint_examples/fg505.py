"""Examples of FG505: a quarter of a matrix's rows or columns set to zero."""

from tests.lint_made import save_artifact, subject
from tests.model_files import ATTENTION
from tests.step_graphs import INT8, dynamic_product, step

MATRIX = "L_level.layers.0.mlp.down_proj.weight"


def _rows(arrays):
    arrays[MATRIX][: len(arrays[MATRIX]) // 4] = 0


def _columns(arrays):
    arrays[MATRIX][:, : arrays[MATRIX].shape[1] // 4] = 0


def _scattered(arrays):
    arrays[MATRIX][::2, ::2] = 0


def _candidate(folder, edit, *, reference=None, recipe=""):
    own = subject(save_artifact(folder, "reference", ATTENTION, edit=reference), name="reference")
    return subject(save_artifact(folder, "candidate", ATTENTION, edit=edit, recipe=recipe), reference=own)


def failing_rows(folder):
    return _candidate(folder, _rows)


def failing_columns_in_int8(folder):
    return _candidate(folder, _columns, recipe="int8")


def failing_asymmetric(folder):
    return _candidate(folder, _rows, recipe="int4-calibrated")


def passing(folder):
    return _candidate(folder, None, recipe="int8")


def passing_scattered(folder):
    """Single zeros are not structure."""
    return _candidate(folder, _scattered)


def passing_as_the_reference(folder):
    """The reference was pruned in the same way."""
    return _candidate(folder, _rows, reference=_rows)


def passing_unreadable(folder):
    """Integers whose scales come from the activations' side: nothing can be said of their values."""
    nodes, constants = dynamic_product()
    constants = {**constants, "w_q": INT8 * 0}
    return step(folder, "dynamic", product=nodes, constants=constants, reference=step(folder, "reference"))
