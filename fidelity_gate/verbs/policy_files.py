"""Policies on the command line: which files are meant, and what became of each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fidelity_gate.errors import GateError, PolicyError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.policy.differing import Side
    from fidelity_gate.policy.extending import Chain
    from fidelity_gate.policy.loading import Examined

SUFFIXES = (".yaml", ".yml")
EXPECTATIONS = ".expect.yaml"


def policies_in(path: str) -> Iterator[str]:
    """Yield the policies in a folder, sorted, or the one file; a folder without any is a mistake, not a success."""
    if not Path(path).is_dir():
        yield path
        return
    found = [file for file in _below(path) if file.suffix in SUFFIXES and not file.name.endswith(EXPECTATIONS)]
    if not found:
        raise UsageError("holds no policies", where=path, hint=f"files that end in {' or '.join(SUFFIXES)}")
    yield from map(str, found)


def expectations_in(path: str) -> Iterator[str]:
    """Yield the files of expectations in a folder, sorted, or the one file."""
    if not Path(path).is_dir():
        yield path
        return
    found = [file for file in _below(path) if file.name.endswith(EXPECTATIONS)]
    if not found:
        raise UsageError("holds no expectations", where=path, hint=f"files that end in {EXPECTATIONS}")
    yield from map(str, found)


def examined(path: str, *, as_base: bool = False) -> Examined:
    """Return what became of a policy file, or of a base by itself; what cannot be read is among its problems."""
    from fidelity_gate.files import read_file
    from fidelity_gate.policy.loading import Examined, examine
    from fidelity_gate.policy.yaml_reader import LIMIT_BYTES

    try:
        data = read_file(path, limit_bytes=LIMIT_BYTES, kind=PolicyError).data
    except GateError as error:
        return Examined(None, (error,))
    return examine(data, path, as_base=as_base)


def sound(path: str, *, as_base: bool = False) -> tuple[Side, Chain]:
    """Return a policy, resolved, and its files; raises the first problem of one that is wrong."""
    found = examined(path, as_base=as_base)
    for error in found.problems:
        raise error
    if found.side is None or found.chain is None:  # cannot be: no policy without a problem
        raise PolicyError("cannot be used", where=path)
    return found.side, found.chain


def counted(count: int, one: str, many: str = "") -> str:
    """Return `1 error`, `2 errors`."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def _below(folder: str) -> list[Path]:
    """Return every file below a folder, sorted, but for hidden ones."""
    found = (file for file in Path(folder).rglob("*") if not _hidden(file, folder))
    return sorted(found, key=str)


def _hidden(file: Path, folder: str) -> bool:
    return any(part.startswith(".") for part in file.relative_to(folder).parts)
