"""What `run` does about the past: looks at it before the models run, and adds what was judged to the history."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click

from fidelity_gate.errors import PolicyError, UsageError
from fidelity_gate.records import HistorySpec
from fidelity_gate.text import printable

if TYPE_CHECKING:
    from fidelity_gate.records import Policy, Report

HISTORY = "--history"
LONGEST_REVISION = 200


def checked_revision(revision: str | None) -> str:
    """Return the name that a run goes by, "" for none; raises UsageError for one that cannot be shown."""
    given = revision or ""
    if printable(given, LONGEST_REVISION) != given or given != given.strip():
        what = "holds characters that cannot be shown, or is too long"
        raise UsageError(what, field="--revision", hint=f"a commit or a tag, at most {LONGEST_REVISION} characters")
    return given


def with_history(policy: Policy, path: str | None) -> Policy:
    """Return the policy with the command line's history, after reading what it names of the past.

    Raises:
        UsageError: the path is no name of a history, or the policy's own is locked.
        Refused: there is no baseline, or a file of the past is not what it should be.
        ReportNotWritten: nothing can be added to the history.
    """
    if path is not None:
        from fidelity_gate.past.history_file import SUFFIX

        if not path.endswith(SUFFIX) or printable(path, 1000) != path:
            raise UsageError(f"'{path}' is no name of a history", field=HISTORY, hint=f"it ends in {SUFFIX}")
        _refuse_locked(policy)
        policy = replace(policy, history=replace(policy.history or HistorySpec(path), path=path))
    if policy.baseline is not None or policy.history is not None:
        from fidelity_gate.past.reading import refuse_unreadable

        refuse_unreadable(policy)
    if policy.history is not None:
        from fidelity_gate.past.history_file import refuse_unwritable

        refuse_unwritable(policy.history.path)
    return policy


def _refuse_locked(policy: Policy) -> None:
    from fidelity_gate.files import read_file
    from fidelity_gate.policy.extending import read_chain
    from fidelity_gate.policy.locking import refuse_other_history
    from fidelity_gate.policy.yaml_reader import LIMIT_BYTES

    data = read_file(policy.path, limit_bytes=LIMIT_BYTES, kind=PolicyError).data
    refuse_other_history(read_chain(data, policy.path), policy)


def add_to_history(report: Report, revision: str) -> None:
    """Add what a run found on devices to its history, and say so on stderr.

    Raises:
        ReportNotWritten: it cannot be written.
    """
    if report.policy is None or report.policy.history is None:
        return
    from fidelity_gate.past.adding import lines_of
    from fidelity_gate.past.history_file import append
    from fidelity_gate.wording import counted

    path = report.policy.history.path
    for note in report.past.notes if report.past else ():
        click.echo(f"history: {printable(note, 400)}", err=True)
    lines = lines_of(report, revision)
    added = append(path, lines) if lines else 0
    told = f"{counted(added, 'line')} added to {path}" if added else _nothing(bool(lines), path)
    click.echo(f"history: {printable(told, 400)}", err=True)


def _nothing(known: bool, path: str) -> str:
    why = "this run is in it already" if known else "no device measured anything that was judged"
    return f"nothing added to {path}: {why}"
