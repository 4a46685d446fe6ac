"""The files that a statement is about: all that the gate read of a model, held against those that lie there now."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from fidelity_gate.errors import GateError, ModelRefused
from fidelity_gate.files import read_file
from fidelity_gate.model_files import digest_of
from fidelity_gate.units import format_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fidelity_gate.records import ModelFacts

LARGEST = 4 << 30


@dataclass(frozen=True, slots=True, order=True)
class SignedFile:
    """One file of a model; `name` is its path from the folder of the model's own file."""

    name: str
    digest: str  # SHA-256


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A file that lies where somebody says."""

    path: str
    digest: str  # SHA-256


def named(paths: Sequence[str], kind: type[GateError]) -> tuple[NamedFile, ...]:
    """Return files with their digests; raises `kind` where one cannot be read."""
    return tuple(NamedFile(path, read_file(path, limit_bytes=LARGEST, kind=kind).digest) for path in paths)


def files_of(facts: ModelFacts) -> tuple[SignedFile, ...]:
    """Return every file of a model, its own first.

    Raises:
        ModelRefused: it consists of more than the gate read as files, so nobody could hold another to it.
    """
    if not facts.files:
        what = "consists of more than files that can be signed: of Python code, or of what an earlier version read"
        raise ModelRefused(what, where=facts.path, hint="compress or export it to files, and run the gate again")
    unread = facts.size_bytes - sum(file.size_bytes for file in facts.files)
    if unread:
        what = f"has {format_value(unread, 'bytes')} in other files, which the gate did not read"
        raise ModelRefused(what, where=facts.path, hint="save it with its tensors inside, and run the gate again")
    if digest_of(facts.files) != facts.digest:
        raise ModelRefused("has another digest than its files together", where=facts.path, hint="run the gate again")
    return tuple(SignedFile(file.name, file.digest) for file in facts.files)


def digests_there(files: Sequence[SignedFile], given: Sequence[NamedFile], kind: type[GateError]) -> frozenset[str]:
    """Return the digests of a model's files as they lie there now, after each was found to be the one that was judged.

    Args:
        files: all that the model consists of, its own first.
        given: its own file, and any of the others that lie elsewhere than beside it.
        kind: the error to raise.

    Raises:
        GateError: of `kind`: a file is another, is not there, or is none of this model.
    """
    own, *others = given
    if own.digest != files[0].digest:
        raise _other(own, files[0], kind)
    elsewhere = {one.digest for one in others}
    for one in others:
        if one.digest not in {file.digest for file in files}:
            hint = f"it consists of {', '.join(file.name for file in files)}, as they were judged"
            raise kind(f"is no file of the model {files[0].name}", where=one.path, hint=hint)
    beside = [_beside(own.path, file, kind) for file in files[1:] if file.digest not in elsewhere]
    return frozenset({own.digest, *elsewhere, *beside})


def _beside(own: str, file: SignedFile, kind: type[GateError]) -> str:
    """Return the digest of a file that is looked for beside the model's own."""
    hint = f"{file.name} is a part of the model: name it as well where it lies elsewhere"
    name = PurePosixPath(file.name)
    if name.is_absolute() or ".." in name.parts:
        raise kind(f"is said to lie at {file.name}, where nothing is looked for", where=own, hint=hint)
    path = str(Path(own).parent / name)
    try:
        (found,) = named((path,), kind)
    except GateError as error:
        raise kind(error.what, where=path, hint=hint) from error
    if found.digest != file.digest:
        raise _other(found, file, kind)
    return found.digest


def _other(found: NamedFile, file: SignedFile, kind: type[GateError]) -> GateError:
    what = f"is not the file that was judged (SHA-256 {found.digest[:12]}..., judged {file.digest[:12]}...)"
    return kind(what, where=found.path, hint=f"name {file.name} as it was judged, or run the gate again")
