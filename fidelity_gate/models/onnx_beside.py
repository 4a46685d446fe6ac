"""Files that a step graph needs beside it: the graph that embeds tokens, and states to start from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fidelity_gate.errors import ModelRefused
from fidelity_gate.files import read_file
from fidelity_gate.model_files import file_beside
from fidelity_gate.storage.npyfile import read_npy, read_npz
from fidelity_gate.storage.tensorfile import read_tensors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fidelity_gate.files import FileBytes
    from fidelity_gate.graphs.step_metadata import StepMetadata
    from fidelity_gate.models.onnx_options import StepOptions
    from fidelity_gate.records import ModelFile

_SAFETENSORS, _ARRAYS = ".safetensors", ".npz"
_LARGEST_TENSORS = 1 << 30
_LARGEST_GRAPH = 2 << 30
_EMBEDDING = ".embed.onnx"  # what export calls it: STEP.embed.onnx beside STEP.onnx


@dataclass(frozen=True, slots=True, eq=False)
class Beside:
    """What was read beside a step graph.

    Attributes:
        embedding: the bytes of the graph that makes the input of tokens; none where there is none.
        embedding_path: its file.
        initial: what the policy says of initial states, as `StepOptions.initial`.
        tensors: file that `initial` names -> its tensors.
        files: every file that was read, in order.
    """

    embedding: bytes = b""
    embedding_path: str = ""
    initial: Mapping[str, str] = field(default_factory=dict)
    tensors: Mapping[str, Mapping[str, NDArray[Any]]] = field(default_factory=dict)
    files: tuple[ModelFile, ...] = ()


def is_file(source: str) -> bool:
    """Return whether an initial state is named by a file, and not by a constant of the graph."""
    return source.endswith((_SAFETENSORS, _ARRAYS))


def read_beside(path: str, options: StepOptions, told: StepMetadata | None) -> Beside:
    """Read what a step graph needs beside it; paths are against its own folder.

    An embedding that is named nowhere is read where export writes it, if it is there: without it the graph can be
    inspected, and not run.

    Raises:
        ModelRefused: a file cannot be read, or the embedding is not the one that the step graph was exported with.
    """
    folder = Path(path).parent
    read: list[FileBytes] = []
    embedding = _embedding(path, folder, options, told)
    if embedding is not None:
        read.append(embedding)
    tensors = {}
    for source in sorted({name for name in options.initial.values() if is_file(name)}):
        file = read_file(str(folder / source), limit_bytes=_LARGEST_TENSORS, kind=ModelRefused)
        tensors[source] = _tensors(file)
        read.append(file)
    return Beside(
        embedding=embedding.data if embedding else b"",
        embedding_path=embedding.path if embedding else "",
        initial=options.initial,
        tensors=tensors,
        files=tuple(file_beside(file, path) for file in read),
    )


def _tensors(file: FileBytes) -> Mapping[str, NDArray[Any]]:
    """Return the arrays of a safetensors or `.npz` file by name; raises ModelRefused, UnsafeContent."""
    if not file.path.endswith(_ARRAYS):
        return read_tensors(file.data, where=file.path).tensors
    members = read_npz(file.data, where=file.path, limit_bytes=_LARGEST_TENSORS, kind=ModelRefused)
    return {name: read_npy(data, where=file.path, field=name, kind=ModelRefused) for name, data in members.items()}


def _embedding(path: str, folder: Path, options: StepOptions, told: StepMetadata | None) -> FileBytes | None:
    wanted = told.embedding_digest if told else ""
    usual = Path(path).with_suffix(_EMBEDDING)
    if not options.embedding and not (wanted and usual.is_file()):
        return None
    chosen = str(folder / options.embedding) if options.embedding else str(usual)
    file = read_file(chosen, limit_bytes=_LARGEST_GRAPH, kind=ModelRefused)
    if wanted and file.digest != wanted:
        what = "is not the embedding that the step graph was exported with (its digest is another)"
        raise ModelRefused(what, where=chosen, hint="export both again, or name the right one: embedding: FILE")
    return file
