"""What linting one or several models came to: the record that lint reports render."""

from __future__ import annotations

from dataclasses import dataclass, field

from fidelity_gate.records.analysis import Linted
from fidelity_gate.records.policies import Place, Severity


@dataclass(frozen=True, slots=True)
class RuleFacts:
    """What a lint rule says of itself, for reports that explain their findings."""

    code: str
    title: str
    severity: Severity  # as the settings have it
    summary: str  # the first line of its documentation
    documentation: str  # all of it
    why: str
    fix: str


@dataclass(frozen=True, slots=True)
class LintedModel:
    """One model that was looked at: what was found, or why nothing could be."""

    path: str  # as it was given, or the folder's path and the file's below it
    candidate: str = ""  # as the policy names it
    digest: str = ""  # sha256; "" where the file could not be read
    size_bytes: int = 0
    file_format: str = ""
    linted: Linted | None = None  # None where it was refused
    error: str = ""  # the one line of a refusal, with the file
    exit_code: int = 0  # of this model alone
    place: Place = field(default_factory=Place)  # where the policy names it


@dataclass(frozen=True, slots=True)
class LintReport:
    """What every lint report renders."""

    models: tuple[LintedModel, ...]
    rules: tuple[RuleFacts, ...]  # those that were chosen, by code
    fail_on: Severity  # findings at least this severe make the exit code 1
    exit_code: int
    reason: str  # one sentence: how many models and findings, and what became of them
    tool_version: str = ""
    policy_name: str = ""
    policy_path: str = ""
    created: str = ""  # ISO 8601, UTC
    error: str = ""  # the one line, when linting was refused or broke as a whole
