"""Named arrays from a weights file, whatever its container: PyTorch in a child process, safetensors here."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fidelity_gate.errors import GateError, ModelRefused
from fidelity_gate.files import FileBytes, read_file
from fidelity_gate.models.layouts import find_weights
from fidelity_gate.sandbox import Limits, run_limited
from fidelity_gate.storage.tensorfile import header_bytes, read_tensors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

LARGEST_FILE = 8 << 30
TORCH_STARTS = (b"PK\x03\x04", b"\x80\x02")  # zip, and the pickles that torch wrote before 1.6
WORKER = "fidelity_gate.models.checkpoint_worker"
# The child holds the file, its tensors, a copy of them and what it writes; torch itself takes 0.6 GiB of addresses.
_MEMORY_FLOOR = 3 << 30
_MEMORY_PER_BYTE = 6
_SECONDS_FLOOR = 120
_BYTES_PER_SECOND = 20_000_000
_PREDICTIONS = re.compile(r"_all_preds\.\d+$")


@dataclass(frozen=True, slots=True, eq=False)
class State:
    """A weights file, read: every array is finite, read-only, and named as in the file."""

    file: FileBytes
    arrays: Mapping[str, NDArray[Any]]
    notes: tuple[str, ...]
    ties: Mapping[str, str] = field(default_factory=dict)  # name -> the name whose bytes in the file it shares


def read_state(path: str, chosen: str = "") -> State:
    """Read every weight of a file.

    Args:
        path: a PyTorch checkpoint or a safetensors file.
        chosen: dotted keys of the entry to take, where the file holds several.

    Raises:
        ModelRefused: it is no weights file, is damaged, or holds a tensor that is no weight.
        UnsafeContent: it holds code, or claims more than it has.
        Undecided: the child process ran out of time or memory, or died.
    """
    refuse_predictions(path)
    file = read_file(path, limit_bytes=LARGEST_FILE, kind=ModelRefused)
    try:
        state = _state(file, chosen)
        refuse_not_finite(state.arrays)
    except GateError as error:
        raise located(error, path) from error
    return state


def is_torch(head: bytes) -> bool:
    """Return whether a file that starts so may be PyTorch's."""
    return head.startswith(TORCH_STARTS)


def is_safetensors(head: bytes) -> bool:
    """Return whether a file that starts so may be safetensors."""
    return header_bytes(head) is not None


def refuse_predictions(path: str) -> None:
    """Refuse the files that official evaluation leaves beside its checkpoints, by their name."""
    if _PREDICTIONS.search(path):
        raise ModelRefused(
            "holds the predictions of an evaluation run, not weights", where=path, hint="name the step_N file beside it"
        )


def refuse_not_finite(arrays: Mapping[str, NDArray[Any]]) -> None:
    """Refuse weights of which one is NaN or infinite, by name."""
    for name, array in arrays.items():
        if array.dtype.kind not in "iub" and not np.isfinite(array).all():
            raise ModelRefused("holds NaN or infinite values", field=name)


def located(error: GateError, where: str) -> GateError:
    """Return the same error, with the file it is about."""
    return type(error)(error.what, where=error.where or where, field=error.field, hint=error.hint)


def _state(file: FileBytes, chosen: str) -> State:
    if is_safetensors(file.data[:64]):
        found = find_weights(read_tensors(file.data, kind=ModelRefused).tensors, chosen)
        return State(file, found.tensors, found.notes)
    if not is_torch(file.data):
        raise ModelRefused("is neither a PyTorch checkpoint nor a safetensors file")
    answer = run_limited(
        f"{WORKER}:read",
        {"weights": chosen},
        limits=limits_for(file.size),
        files={"checkpoint": file.data},
        where=file.path,
    )
    notes, ties = answer.reply["notes"], answer.reply["ties"]
    return State(
        file,
        read_tensors(answer.files["tensors.safetensors"], kind=ModelRefused).tensors,
        tuple(map(str, notes)) if isinstance(notes, list) else (),
        {name: str(first) for name, first in ties.items()} if isinstance(ties, dict) else {},
    )


def limits_for(size: int) -> Limits:
    """Return what a child may use for a checkpoint of `size` bytes."""
    return Limits(_MEMORY_FLOOR + _MEMORY_PER_BYTE * size, _SECONDS_FLOOR + size // _BYTES_PER_SECOND)
