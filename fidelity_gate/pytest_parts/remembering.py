"""The end of a session, where it was asked for: what its policies found on devices is added to their histories."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING

from fidelity_gate.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pytest

    from fidelity_gate.records import Report

ADD, REVISION = "--fg-add-to-history", "--fg-revision"


def revision_of(config: pytest.Config) -> str:
    """Return what the histories call this session, "" for nothing.

    Raises:
        UsageError: one that cannot be shown, or that nothing is told.
    """
    from fidelity_gate.verbs.keeping import checked_revision

    given: str | None = config.getoption(REVISION)
    if given is not None and not config.getoption(ADD):
        raise UsageError("is the name of a run in a history, and this one is added to none", field=REVISION, hint=ADD)
    return checked_revision(given)


def remember(reports: Iterable[Report], revision: str) -> list[str]:
    """Add what was judged to the histories that the policies name, and return what to say of it.

    Args:
        reports: of policies; one that was never judged has nothing to add.
        revision: what the histories call this session.

    Raises:
        UsageError: no policy names a history.
        ReportNotWritten: a history cannot be written.
        Refused: a file is no history.
    """
    from fidelity_gate.verbs.keeping import add_to_history

    with_one = [report for report in reports if report.policy is not None and report.policy.history is not None]
    if not with_one:
        raise UsageError("no policy of this session names a history", field=ADD, hint="history: {path: ...}")
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        for report in with_one:
            add_to_history(report, revision)
    return said.getvalue().splitlines()
