"""What one session measured, shared by all of its processes: each policy once, whoever comes first, behind a lock.

An entry is begun before anything is measured and finished afterwards, so that a process that dies in between is told
from one that never began, and nobody measures again until something passes. Entries carry the session's token, the key
of everything that was compared, and the digest of the measurements; whatever does not fit is refused.
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from fidelity_gate import errors
from fidelity_gate.errors import GateError, OutOfTime, Refused, WorkerDied
from fidelity_gate.files import read_file, sha256_hex, write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fidelity_gate.pytest_parts.common import Meeting
    from fidelity_gate.records import MeasurementSet

STARTED, MEASURED, STOPPED = "started", "measured", "stopped"
ENTRY_LIMIT = 2**20


@dataclass(frozen=True, slots=True)
class Shelf:
    """A folder of this session alone.

    Attributes:
        meeting: where it is, and the token of its session.
        wait: seconds that a process waits for another one to measure.
    """

    meeting: Meeting
    wait: float

    def once(self, name: str, key: str, measure: Callable[[], MeasurementSet]) -> MeasurementSet:
        """Return what was measured under a name in this session; the first to ask measures, the others wait.

        Args:
            name: of what is measured: one policy with the paths that replace its own.
            key: digest of everything that can change the result.
            measure: called at most once in a session, whatever becomes of it.

        Raises:
            GateError: the measurement ended in it, in this process or in another one.
            OutOfTime: another process measures for too long.
            WorkerDied: the process that measured did not get to the end.
            Refused: what was compared has changed since it was measured.
        """
        from filelock import FileLock, Timeout

        folder = self._folder()
        lock = FileLock(folder / f"{name}.lock", timeout=self.wait)
        try:
            lock.acquire()
        except Timeout:
            what = f"another process of this session has been measuring for more than {self.wait:g} s"
            raise OutOfTime(what, hint="--fg-wait SECONDS, or measure first and give --fg-measurements") from None
        try:
            entry = self._entry(name)
            if entry is None:
                return self._measured(name, key, measure)
            if entry.get("key") != key:
                what = "the policy, a model or the inputs changed after they were measured in this session"
                raise Refused(what, hint="run pytest again")
            return self._taken(name, entry)
        finally:
            lock.release()

    def found(self, name: str) -> MeasurementSet | None:
        """Return what was measured under a name, or None where nobody tried; raises as `once`, and never measures."""
        entry = self._entry(name)
        return None if entry is None else self._taken(name, entry)

    def leave(self, name: str, told: object) -> None:
        """Leave a JSON value for the process that began the session."""
        folder = self._folder()
        write_atomically(folder / f"{name}.told", json.dumps({"token": self.meeting.token, "told": told}))

    def left(self) -> list[Any]:
        """Return what processes have left, by name."""
        files = sorted(self.meeting.folder.glob("*.told"))
        return [self._read(path).get("told") for path in files]

    def _folder(self) -> Path:
        """Return the folder, made by whoever needs it first and believed only where nobody else can write."""
        folder = self.meeting.folder
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            found = folder.lstat()
        except OSError as error:
            raise WorkerDied(f"the session's folder cannot be used: {error.strerror}", where=folder) from error
        foreign = hasattr(os, "getuid") and (found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077)
        if foreign or not stat.S_ISDIR(found.st_mode):
            raise Refused("the session's folder is not its own", where=folder)
        return folder

    def _measured(self, name: str, key: str, measure: Callable[[], MeasurementSet]) -> MeasurementSet:
        from fidelity_gate import measurements_file
        from fidelity_gate.verbs.failures import as_gate_error

        self._write(name, key, STARTED)
        try:
            measured = measure()
            data = measurements_file.dump(measured)
        except Exception as error:
            failure = as_gate_error(error)
            self._write(name, key, STOPPED, error=_told(failure))
            raise failure from error
        except BaseException as error:  # Ctrl-C, or a time limit of pytest-timeout: nobody tries again
            what = f"the measurement was interrupted ({type(error).__name__})"
            self._write(name, key, STOPPED, error=_told(WorkerDied(what, hint="no part of it can be believed")))
            raise
        write_atomically(self._data(name), data)
        self._write(name, key, MEASURED, digest=sha256_hex(data))
        return measured

    def _taken(self, name: str, entry: dict[str, Any]) -> MeasurementSet:
        from fidelity_gate import measurements_file

        if entry.get("state") == STOPPED:
            raise _error_of(entry.get("error"))
        if entry.get("state") != MEASURED:
            raise WorkerDied("the process that measured ended before it was done", hint="its own output may say why")
        file = read_file(self._data(name), limit_bytes=measurements_file.LIMIT_BYTES)
        if file.digest != entry.get("digest"):
            self._refuse("is not what was measured in this session", self._data(name))
        return measurements_file.load(file.data, str(self._data(name)))

    def _data(self, name: str) -> Path:
        return self.meeting.folder / f"{name}.json"

    def _write(self, name: str, key: str, state: str, **more: object) -> None:
        entry = {"token": self.meeting.token, "key": key, "state": state, **more}
        write_atomically(self.meeting.folder / f"{name}.entry", json.dumps(entry))

    def _entry(self, name: str) -> dict[str, Any] | None:
        path = self.meeting.folder / f"{name}.entry"
        return self._read(path) if path.exists() else None

    def _read(self, path: Path) -> dict[str, Any]:
        try:
            found = json.loads(read_file(path, limit_bytes=ENTRY_LIMIT).data)
        except ValueError:
            found = None
        if not isinstance(found, dict) or found.get("token") != self.meeting.token:
            self._refuse("is not of this session", path)
        return found

    def _refuse(self, what: str, path: Path) -> NoReturn:
        raise Refused(what, where=path, hint="run pytest again")


def _told(error: GateError) -> dict[str, str]:
    kind = type(error).__name__
    return {"kind": kind, "what": error.what, "where": error.where, "field": error.field, "hint": error.hint}


def _error_of(told: Any) -> GateError:  # noqa: ANN401  (JSON)
    """Return the error as the process that measured met it; one that cannot be read is an error too."""
    if not isinstance(told, dict):
        return WorkerDied("the process that measured ended in an error that it could not tell")
    kind = getattr(errors, str(told.get("kind")), None)
    if not (isinstance(kind, type) and issubclass(kind, GateError)):
        kind = WorkerDied
    what, where, field, hint = (str(told.get(name, "")) for name in ("what", "where", "field", "hint"))
    return kind(what, where=where, field=field, hint=hint)
