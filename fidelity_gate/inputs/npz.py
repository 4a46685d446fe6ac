"""Probes from numpy files: a `.npz`, or `.npy` files, one for the tokens and one for the labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fidelity_gate.errors import InputsRefused
from fidelity_gate.files import FileBytes, read_file
from fidelity_gate.inputs.array_file import LIMIT_BYTES, ArrayFile
from fidelity_gate.storage.npyfile import NPY_MAGIC, ZIP_MAGIC, read_npy, read_npz

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Npz(ArrayFile):
    """Probes from a `.npz` file, or from `.npy` files.

    Of a `.npz`, `inputs`, `labels` and `identifiers` are names of arrays. With a `.npy` as `path`, which holds the
    tokens alone, `labels` and `identifiers` are paths of further `.npy` files. Pickled arrays are refused.
    """

    def arrays(self, base: str) -> Mapping[str, NDArray[Any]]:
        """Return the arrays of the archive, or of the `.npy` files, by name."""
        file = _read(base, self.path)
        if file.data.startswith(NPY_MAGIC):
            return self._separate_files(base, file)
        if not file.data.startswith(ZIP_MAGIC):
            raise InputsRefused("is neither a .npz nor a .npy file", where=file.path)
        members = read_npz(file.data, where=file.path, limit_bytes=LIMIT_BYTES)
        return {name: read_npy(data, where=file.path, field=name) for name, data in members.items()}

    def _separate_files(self, base: str, file: FileBytes) -> Mapping[str, NDArray[Any]]:
        if self.inputs != "inputs":
            hint = "a .npy file holds one array without a name: leave inputs out"
            raise InputsRefused(f"has no array named '{self.inputs}'", where=file.path, hint=hint)
        arrays = {self.inputs: read_npy(file.data, where=file.path)}
        for path in (self.labels, self.identifiers):
            if path is not None:
                other = _read(base, path)
                arrays[path] = read_npy(other.data, where=other.path)
        return arrays


def _read(base: str, path: str) -> FileBytes:
    return read_file(Path(base) / path, limit_bytes=LIMIT_BYTES, kind=InputsRefused)
