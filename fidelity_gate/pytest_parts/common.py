"""What the entry point and its parts share: imports nothing but pytest, because every pytest session loads it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from typing import Any

OPTION = "--fidelity-gate"
FILES_INI, REPORTS_INI, WAIT_INI, KEEP_GOING_INI = "fg_files", "fg_reports", "fg_wait", "fg_keep_going"
POLICY_FILES = "*.gate.yaml"
VERDICT = "gate.verdict"
MARKER, FIXTURE = "fidelity_gate", "fidelity_report"
WAIT_SECONDS = 3600.0
# What a workflow or a person says when the session starts; a file of the repository comes with the change it judges.
NOT_IN_INI = (
    *("--fg-reference", "--fg-candidate", "--fg-inputs", "--fg-measurements", "--fg-allow-code"),
    *("--fg-add-to-history", "--fg-revision"),
)
# What the end of a session does, and only one that was asked to gate has such an end.
NEED_OPTION = ("--fg-report", "--fg-add-to-history", "--fg-revision")

_STATUSES = 256
_WORKER_KEY = "fidelity_gate"


class FidelityGateWarning(pytest.PytestWarning):
    """A check of severity "warn" was missed, or a verdict that passed rests on simulated devices."""


@dataclass(frozen=True, slots=True)
class Meeting:
    """Where the processes of one session leave what was measured: a folder that nobody can guess, and its token."""

    folder: Path
    token: str


_MEETING = pytest.StashKey[Meeting]()


def is_worker(config: pytest.Config) -> bool:
    """Return whether this process runs tests for another one (pytest-xdist)."""
    return hasattr(config, "workerinput")


def is_zero(status: object) -> bool:
    """Return whether an exit status comes out as 0: Python makes a 0 of None, and systems keep one byte of a number."""
    return not status or (isinstance(status, int) and status % _STATUSES == 0)


def meeting_of(config: pytest.Config) -> Meeting:
    """Return where the processes of this session meet; nothing is made before something is measured."""
    if _MEETING not in config.stash:
        import secrets
        import tempfile

        told = getattr(config, "workerinput", {}).get(_WORKER_KEY)
        token = told["token"] if told else secrets.token_hex(16)
        folder = told["folder"] if told else str(Path(tempfile.gettempdir()) / f"fidelity-gate-{token}")
        config.stash[_MEETING] = Meeting(Path(folder), token)
    return config.stash[_MEETING]


def invite(node: Any) -> None:  # noqa: ANN401  (xdist's, which may not be installed)
    """Tell a worker of pytest-xdist where the processes of this session meet."""
    meeting = meeting_of(node.config)
    node.workerinput[_WORKER_KEY] = {"folder": str(meeting.folder), "token": meeting.token}


def clear_up(config: pytest.Config) -> None:
    """Remove what the processes of a session left, once the one that began it ends."""
    meeting = config.stash.get(_MEETING, None)
    if meeting is not None and not is_worker(config) and meeting.folder.exists():
        import shutil

        shutil.rmtree(meeting.folder, ignore_errors=True)
