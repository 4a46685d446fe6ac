"""The weights file of a hooked model: an artifact of `compress`, or whatever the checkpoint loader reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fidelity_gate.errors import ModelRefused
from fidelity_gate.files import head, read_file
from fidelity_gate.models.layouts import stripped
from fidelity_gate.models.state import LARGEST_FILE, read_state
from fidelity_gate.records import Role, StoredTensor, TensorFact
from fidelity_gate.storage.artifact import decode, is_artifact
from fidelity_gate.storage.quantized import dense_of, fact_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """A weights file for a module.

    Attributes:
        digest: of the file.
        size: of the file in bytes.
        arrays: every tensor, dequantized where it is stored in integers; a prefix that all names share is removed.
        facts: how each is stored; roles are not known yet.
        products: those that have to be multiplied as LLM.int8 does it, by name.
        notes: how the weights were found.
        recipe: what the file says was done to it.
        rows: what the file says it was calibrated on.
    """

    digest: str
    size: int
    arrays: Mapping[str, NDArray[Any]]
    facts: tuple[TensorFact, ...]
    products: Mapping[str, StoredTensor]
    notes: tuple[str, ...] = ()
    recipe: str = ""
    rows: tuple[str, ...] = ()


def read_weights(path: str, chosen: str) -> Weights:
    """Read a weights file.

    Args:
        path: where it is.
        chosen: which entry of a checkpoint to take; "" for the usual one.

    Raises:
        GateError: as the artifact reader and the checkpoint loader do.
    """
    if is_artifact(head(path, kind=ModelRefused)):
        return _of_artifact(path)
    state = read_state(path, chosen)
    arrays = stripped(state.arrays)
    return Weights(state.file.digest, state.file.size, arrays, _plain_facts(arrays), {}, state.notes)


def _of_artifact(path: str) -> Weights:
    file = read_file(path, limit_bytes=LARGEST_FILE, kind=ModelRefused)
    artifact = decode(file.data, path)
    return Weights(
        digest=file.digest,
        size=file.size,
        arrays={tensor.name: dense_of(tensor) for tensor in artifact.tensors},
        facts=tuple(fact_of(tensor) for tensor in artifact.tensors),
        products={tensor.name: tensor for tensor in artifact.tensors if tensor.encoding == "int8-bnb"},
        recipe=artifact.recipe,
        rows=artifact.calibration_rows,
    )


def _plain_facts(arrays: Mapping[str, NDArray[Any]]) -> tuple[TensorFact, ...]:
    return tuple(
        TensorFact(name, Role.OTHER, array.shape, array.dtype.name, 8.0 * array.dtype.itemsize, array.nbytes)
        for name, array in sorted(arrays.items())
    )
