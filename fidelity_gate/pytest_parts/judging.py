"""Loads, measures and judges the policies of a session, each once; errors are kept and told again, never retried."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import pytest

from fidelity_gate import __version__, testing
from fidelity_gate.errors import GateError
from fidelity_gate.pytest_parts.asking import Source, settings_of
from fidelity_gate.pytest_parts.common import meeting_of
from fidelity_gate.pytest_parts.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fidelity_gate.pytest_parts.asking import Settings
    from fidelity_gate.records import InputsSpec, MeasurementSet, Policy, Report

_CHUNK = 2**20
_OPTION = re.compile(r"--(reference|candidate|inputs)\b")
T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Judging:
    """The policies of one process, and what became of them."""

    settings: Settings
    shelf: Shelf
    _policies: dict[Source, Policy | GateError] = field(default_factory=dict)
    _reports: dict[Source, Report | GateError] = field(default_factory=dict)

    def policy(self, source: Source) -> Policy:
        """Return the policy, loaded at the first call; raises GateError."""
        return _kept(self._policies, source, self._load, self._at_work)

    def report(self, source: Source) -> Report:
        """Return the report, measured and judged at the first call; raises the same GateError at every call."""
        __tracebackhide__ = True
        return _kept(self._reports, source, self._judge, self._at_work)

    def settled(self, source: Source) -> Report | None:
        """Return the report of what this session has measured, in whichever process; None where nothing was.

        Raises:
            GateError: the policy, or its measurement, ended in it.
        """
        if source in self._reports:
            return self.report(source)
        policy = self.policy(source)
        with self._at_work():
            measured = self.shelf.found(source.name)
            return None if measured is None else _judged(policy, measured)

    def _load(self, source: Source) -> Policy:
        from fidelity_gate import measurements_file
        from fidelity_gate.verbs import stages

        if source.measurements:
            return stages.prepare_for(source.policy, measurements_file.read(source.measurements))
        try:
            policy = stages.prepare(
                source.policy, reference=source.reference, candidates=source.candidates, inputs=source.inputs
            )
        except GateError as error:
            raise _in_words_of_pytest(error) from None
        return self._with_its_past(policy)

    def _with_its_past(self, policy: Policy) -> Policy:
        """Return the policy, after what it names of the past was read: what is not there is told before models run."""
        from fidelity_gate.past.reading import refuse_unreadable
        from fidelity_gate.verbs.keeping import with_history

        if self.settings.adds:
            return with_history(policy, None)
        if policy.baseline is not None or policy.history is not None:
            refuse_unreadable(policy)
        return policy

    def _judge(self, source: Source) -> Report:
        policy = self.policy(source)
        return _judged(
            policy,
            self.shelf.once(source.name, self._key(source, policy), lambda: self._measure(source, policy)),
        )

    def _measure(self, source: Source, policy: Policy) -> MeasurementSet:
        from fidelity_gate import measurements_file
        from fidelity_gate.verbs import stages

        if source.measurements:
            return measurements_file.read(source.measurements)
        return stages.measure(policy, allow_code=self.settings.allow_code, keep_going=self.settings.keep_going)

    def _key(self, source: Source, policy: Policy) -> str:
        """Return the digest of everything that can change what is measured."""
        files = [source.measurements] if source.measurements else _files(policy)
        parts = [
            *(self.shelf.meeting.token, __version__, repr(policy)),
            *(str(self.settings.allow_code), str(self.settings.keep_going)),
            *(f"{path} {_digest(path)}" for path in files),
        ]
        return hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).hexdigest()

    @contextlib.contextmanager
    def _at_work(self) -> Iterator[None]:
        """Work where the session was started, whatever folder a test has gone to, and survive `-W error`."""
        with contextlib.chdir(self.settings.folder), testing.plain_warnings():
            yield


_JUDGING = pytest.StashKey[Judging]()


def judging_of(config: pytest.Config) -> Judging:
    """Return the policies of this process."""
    if _JUDGING not in config.stash:
        settings = settings_of(config)
        config.stash[_JUDGING] = Judging(settings, Shelf(meeting_of(config), settings.wait))
    return config.stash[_JUDGING]


def _kept(
    found: dict[Source, T | GateError],
    source: Source,
    work: Callable[[Source], T],
    at_work: Callable[[], contextlib.AbstractContextManager[None]],
) -> T:
    """Return what the work came to, or raise what it ended in; it is done once."""
    __tracebackhide__ = True
    from fidelity_gate.verbs.failures import as_gate_error

    if source not in found:
        try:
            with at_work():
                found[source] = work(source)
        except Exception as error:  # noqa: BLE001  (a bug of ours too must block at every test, not run again)
            found[source] = as_gate_error(error)
    known = found[source]
    if isinstance(known, GateError):
        raise copy.copy(known)  # a fresh one, or its traceback would grow with every test that asks
    return known


def _in_words_of_pytest(error: GateError) -> GateError:
    """Return the error with the options as a session takes them: `--fg-candidate`, not `--candidate`."""
    told = copy.copy(error)
    told.field, told.hint = (_OPTION.sub(r"--fg-\1", text) for text in (error.field, error.hint))
    return told


def _judged(policy: Policy, measured: MeasurementSet) -> Report:
    from fidelity_gate.verbs import stages

    return stages.judged(policy, measured)


def _files(policy: Policy) -> list[str]:
    """Return the files that a policy compares and runs on."""
    sources = [policy.inputs, *([policy.calibration] if policy.calibration else [])]
    rows = [path for spec in sources for path in _row_files(spec)]
    return [policy.reference.path, *(spec.path for spec in policy.candidates), *rows]


def _row_files(spec: InputsSpec) -> list[str]:
    texts = [value for _, value in spec.options if isinstance(value, str) and value]
    paths = [os.path.join(spec.base, text) for text in texts]  # noqa: PTH118  ("" for the working folder)
    return [path for path in paths if os.path.exists(path)]  # noqa: PTH110


def _digest(path: str) -> str:
    """Return the digest of a file's bytes, those of every file in a folder, or "" for what is neither."""
    from pathlib import Path

    if Path(path).is_dir():
        inside = sorted(one for one in Path(path).iterdir() if one.is_file())
        return " ".join(f"{one.name} {_digest(str(one))}" for one in inside)
    found = hashlib.sha256()
    try:
        if not Path(path).is_file():
            return ""
        with Path(path).open("rb") as handle:
            while chunk := handle.read(_CHUNK):
                found.update(chunk)
    except (OSError, ValueError):
        return ""  # whoever opens it to measure says what is wrong with it
    return found.hexdigest()
