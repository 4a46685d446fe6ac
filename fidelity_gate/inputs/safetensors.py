"""Probes from a safetensors file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from fidelity_gate.errors import InputsRefused
from fidelity_gate.files import read_file
from fidelity_gate.inputs.array_file import LIMIT_BYTES, ArrayFile
from fidelity_gate.storage.tensorfile import read_tensors


@dataclass(frozen=True, slots=True)
class Safetensors(ArrayFile):
    """Probes from a safetensors file; `inputs`, `labels` and `identifiers` are names of its tensors."""

    def arrays(self, base: str) -> Mapping[str, NDArray[Any]]:
        """Return every tensor of the file by name."""
        file = read_file(Path(base) / self.path, limit_bytes=LIMIT_BYTES, kind=InputsRefused)
        return read_tensors(file.data, where=file.path, kind=InputsRefused).tensors
