"""The files that a model consists of: what each is called beside the others, and the one digest of them all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from fidelity_gate.files import sha256_hex
from fidelity_gate.records import ModelFile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fidelity_gate.files import FileBytes


def own_file(file: FileBytes) -> ModelFile:
    """Return the file that a policy names as the model."""
    return ModelFile(Path(file.path).name, file.digest, file.size)


def file_beside(file: FileBytes, own: str | Path) -> ModelFile:
    """Return a file that is read with a model.

    Args:
        file: as it was read.
        own: the model's own file. A name never says what the folders of a machine are called.
    """
    try:
        name = Path(os.path.abspath(file.path)).relative_to(Path(os.path.abspath(own)).parent)  # noqa: PTH100  ("..")
    except ValueError:  # it lies elsewhere
        name = Path(Path(file.path).name)
    return ModelFile(name.as_posix(), file.digest, file.size)


def digest_of(files: Sequence[ModelFile]) -> str:
    """Return the digest of a model: of its one file, or of the digests of all its files in their order."""
    if len(files) == 1:
        return files[0].digest
    return sha256_hex("\n".join(file.digest for file in files).encode())
