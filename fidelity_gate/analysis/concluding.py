"""What linting one or many models comes to: the worst outcome wins, and a sentence says it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from fidelity_gate.errors import WORST_FIRST, ExitCode
from fidelity_gate.records import LintedModel, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fidelity_gate.records import Linted

BLOCKING = {Severity.ERROR: (Severity.ERROR,), Severity.WARN: (Severity.ERROR, Severity.WARN)}


def code_of(linted: Linted, fail_on: Severity) -> ExitCode:
    """Return FAILED where a finding is at least as severe as `fail_on`, else PASSED."""
    fails = any(finding.severity in BLOCKING[fail_on] for finding in linted.findings)
    return ExitCode.FAILED if fails else ExitCode.PASSED


def worst(codes: Iterable[int]) -> ExitCode:
    """Return the code that explains most to the user; PASSED only where all of them are, and there is one."""
    found = set(codes)
    if found == {ExitCode.PASSED}:
        return ExitCode.PASSED
    return next((code for code in WORST_FIRST if code in found), ExitCode.INTERNAL)


def sentence(models: tuple[LintedModel, ...], fail_on: Severity) -> str:
    """Return `2 errors and 1 warning in 1 of 3 models`, and what could not be looked at."""
    looked_at = [model.linted for model in models if model.linted]
    if not looked_at:
        return f"{counted(len(models), 'model')} could not be looked at"
    severities = Counter(finding.severity for linted in looked_at for finding in linted.findings)
    found = [
        counted(severities[severity], word)
        for severity, word in ((Severity.ERROR, "error"), (Severity.WARN, "warning"))
        if severities[severity]
    ]
    hit = sum(bool(linted.findings) for linted in looked_at)
    refused = len(models) - len(looked_at)
    checked = len({code for linted in looked_at for code in linted.checked})
    said = f"{' and '.join(found) or 'nothing found'} in {_of(hit, len(looked_at))}"
    said += f" by {counted(checked, 'rule')}" if not found else ""
    said += ", none as severe as error" if found and fail_on is Severity.ERROR and not severities[fail_on] else ""
    return said + (f"; {counted(refused, 'model')} could not be looked at" if refused else "")


def counted(count: int, thing: str) -> str:
    """Return `1 rule`, `2 rules`."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"


def _of(hit: int, whole: int) -> str:
    return counted(whole, "model") if hit in (0, whole) else f"{hit} of {counted(whole, 'model')}"
