"""The error tree and the exit codes: every way a gate can refuse to say yes.

    GateError
    |- Refused             exit 2: something given to the gate is unusable
    |  |- UsageError           the command line
    |  |- PolicyError          the policy file
    |  |- ModelRefused         a model file (unreadable, wrong tensors, wrong depth)
    |  |- InputsRefused        probes, labels, calibration rows
    |  `- UnsafeContent        content that could run code or exhaust the machine
    |- Undecided           exit 3: the gate could not decide
    |  |- NotMeasured          evidence is missing (a metric, a device, a runtime)
    |  |- OutOfTime            a stated time limit passed
    |  |- OutOfMemory          a stated memory limit was hit
    |  `- WorkerDied           a child process ended without an answer
    `- Internal            exit 4: our own bug, or a report that could not be written
       `- ReportNotWritten

Every code but 0 blocks the release.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.text import printable

if TYPE_CHECKING:
    from pathlib import Path

LINE_LIMIT = 200


class ExitCode(IntEnum):
    """What the process says to CI; every code but 0 blocks the release."""

    PASSED = 0
    FAILED = 1
    REFUSED = 2
    UNDECIDED = 3
    INTERNAL = 4
    INTERRUPTED = 130
    TERMINATED = 143


# When several apply, the worst explanation for the user wins (first match).
WORST_FIRST = (ExitCode.INTERNAL, ExitCode.REFUSED, ExitCode.FAILED, ExitCode.UNDECIDED)


class GateError(Exception):
    """An expected way of failing, told in one line.

    Attributes:
        what: what is wrong, as a sentence without a full stop.
        where: the file, or `FILE:LINE:COL`, or empty.
        field: the key, tensor or option that is at fault, or empty.
        hint: what is allowed, or how to mend it, or empty.
        told: whether a report on the same screen has said it already.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.INTERNAL

    def __init__(self, what: str, *, where: str | Path = "", field: str = "", hint: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = str(where)
        self.field = field
        self.hint = hint
        self.told = False

    def __str__(self) -> str:
        """Return `WHERE: FIELD: what (hint)`, escaped and cut to one line of `LINE_LIMIT`."""
        parts = [printable(part, LINE_LIMIT) for part in (self.where, self.field, self.what) if part]
        tail = f" ({printable(self.hint, LINE_LIMIT)})" if self.hint else ""
        return printable(": ".join(parts) + tail, LINE_LIMIT)

    def __reduce__(self) -> tuple[object, ...]:
        """Keep every field when the error crosses a process boundary."""
        return (_rebuild, (type(self), self.what, self.where, self.field, self.hint))


def _rebuild(kind: type[GateError], what: str, where: str, field: str, hint: str) -> GateError:
    return kind(what, where=where, field=field, hint=hint)


class Refused(GateError):
    """Something given to the gate cannot be used; nothing was judged."""

    exit_code = ExitCode.REFUSED


class UsageError(Refused):
    """The command line asks for something impossible."""


class PolicyError(Refused):
    """The policy file is wrong."""


class ModelRefused(Refused):
    """A model file cannot be read as what it claims to be."""


class InputsRefused(Refused):
    """Probes, labels or calibration rows cannot be used."""


class UnsafeContent(Refused):
    """A file holds content that could run code or exhaust the machine."""


class Undecided(GateError):
    """The gate ran, and could not decide."""

    exit_code = ExitCode.UNDECIDED


class NotMeasured(Undecided):
    """Evidence that a check needs is missing."""


class OutOfTime(Undecided):
    """A stated time limit passed."""


class OutOfMemory(Undecided):
    """A stated memory limit was hit."""


class WorkerDied(Undecided):
    """A child process ended without giving an answer."""


class Internal(GateError):
    """A bug of ours."""


class ReportNotWritten(Internal):
    """A report that was asked for could not be written whole."""
