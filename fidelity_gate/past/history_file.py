"""A history file: JSON lines, one a run, candidate and device; lines are added, and never changed.

A line is written in one piece under a lock and synced. A writer that dies in the middle, or a machine, leaves a line
that is cut short or never reached the disk: it is told and passed over, the next line starts on its own, and what is
there is left as it is. Any other line that is no record is refused: it was edited, or it is of another version.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from fidelity_gate import json_fields, record_json
from fidelity_gate.errors import Refused, ReportNotWritten
from fidelity_gate.files import read_file
from fidelity_gate.past.sealing import is_whole, sealed
from fidelity_gate.records import PastRun

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SCHEMA = "fidelity-gate/history/v1"
SUFFIX = ".jsonl"
LIMIT_BYTES = 64 * 2**20
LOCK_SECONDS = 30.0
MEND = "restore the line, or start another history"
_START = b'{"'  # of every line
_FLAGS = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)


def read(path: str) -> tuple[tuple[PastRun, ...], tuple[str, ...]]:
    """Return the runs of a file, oldest first, and what had to be passed over, for people.

    The same run of the same candidate and device counts once, and so does the same job of a device service. A file that
    is not there holds no runs.

    Raises:
        Refused: it is no history, or a line of it was edited.
    """
    data = _content(path)
    if _is_cut_short(data.rpartition(b"\n")[2]):
        with contextlib.suppress(OSError, ReportNotWritten), _locked(path):  # perhaps somebody is just writing
            data = _content(path)
    runs, notes = [], []
    for number, line in enumerate(data.split(b"\n"), 1):
        where = f"{path}:{number}"
        try:
            runs += [_record(line, where)] if line else []
        except Refused:
            if not _is_cut_short(line):
                raise
            notes.append(f"{where}: the line is cut short, and was passed over")
    ordered = sorted(runs, key=lambda run: run.date)
    return tuple(_once(ordered)), tuple(notes)


def append(path: str, runs: Sequence[PastRun]) -> int:
    """Add a line for every run that is not there yet, and return how many were added.

    Raises:
        Refused: the file is no history.
        ReportNotWritten: no folder, no permission, disk full, not a regular file, or somebody holds the lock.
    """
    with _locked(path):
        known, _ = read(path)
        added = list(_once([*known, *runs]))[len(known) :]
        if added:
            _write(path, b"".join(record_json.dump(sealed(run, SCHEMA), SCHEMA) for run in added))
    return len(added)


def refuse_unwritable(path: str) -> None:
    """Raise where lines could not be added anyway, before hours are spent on a run whose figures belong there.

    Raises:
        ReportNotWritten: no folder, or no permission to write there.
    """
    _refuse_no_folder(path)
    for wanted in (os.path.realpath(path), _lock_of(path)):
        place = wanted if os.path.lexists(wanted) else Path(wanted).parent
        if not os.access(place, os.W_OK):
            raise ReportNotWritten("cannot be added to: permission denied", where=path, hint=f"look at {place}")


def _lock_of(path: str) -> str:
    """Return the name of the lock: one for one file, by whatever name it goes."""
    return f"{os.path.realpath(path)}.lock"


def _refuse_no_folder(path: str) -> None:
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir():
        raise ReportNotWritten("its folder does not exist", where=path, hint=f"create {Path(path).parent}")


def _once(runs: Sequence[PastRun]) -> Iterator[PastRun]:
    """Yield the first of all runs that are the same measurement, or the same job of a device service."""
    seen: set[tuple[str, ...]] = set()
    for run in runs:
        whose = (run.policy_name, run.candidate, run.device)
        names = {(*whose, "run", run.run_id), *([(*whose, "job", run.job)] if run.job else [])}
        if not names & seen:
            yield run
        seen |= names


def _content(path: str) -> bytes:
    try:
        if Path(path).stat().st_size == 0:  # made by `touch`, perhaps: nothing is in it, and nothing is wrong with it
            return b""
    except FileNotFoundError:
        if not os.path.islink(path):  # noqa: PTH114  (a link to nothing is told by whoever opens it)
            return b""
    except (OSError, ValueError):
        pass  # told by whoever opens it
    return read_file(path, limit_bytes=LIMIT_BYTES).data


def _is_cut_short(line: bytes) -> bool:
    """Return whether a line is what is left of one whose writing was cut short; zeros are what no disk ever got."""
    left = line.rstrip(b"\0")
    if not line or not (left.startswith(_START) or _START.startswith(left)):
        return False
    try:
        json_fields.parse(line)
    except Refused:
        return True
    return False


def _record(line: bytes, where: str) -> PastRun:
    run = record_json.load(line, PastRun, SCHEMA, where=where, mend=MEND)
    if not is_whole(line, run.seal):
        raise Refused("the line was edited after it was written", where=where, hint="restore it, or remove the line")
    return run


@contextlib.contextmanager
def _locked(path: str) -> Iterator[None]:
    """Hold the lock beside a file; whoever has it in the same process may take it again."""
    from filelock import FileLock, Timeout

    _refuse_no_folder(path)  # which the lock would make
    try:
        with FileLock(_lock_of(path), timeout=LOCK_SECONDS, is_singleton=True):
            yield
    except Timeout as error:
        what = f"somebody else has held its lock for {LOCK_SECONDS:g} s"
        raise ReportNotWritten(what, where=path, hint=f"wait, or look who holds {path}.lock") from error
    except OSError as error:
        raise ReportNotWritten(f"cannot be locked: {error.strerror or error}", where=path) from error


def _write(path: str, lines: bytes) -> None:
    try:
        descriptor = os.open(path, _FLAGS, 0o666)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ReportNotWritten("is not a regular file", where=path, hint="name a file")
            size = os.fstat(descriptor).st_size
            torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            _write_all(descriptor, b"\n" + lines if torn else lines)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise ReportNotWritten(f"cannot be written: {error.strerror or error}", where=path) from error


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
