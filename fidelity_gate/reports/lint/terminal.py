"""Lint for people: findings by file and rule, why they matter and how to mend them once a rule, the outcome last."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.errors import ExitCode
from fidelity_gate.records import LocationKind, Severity
from fidelity_gate.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.records import Finding, LintedModel, LintReport

NAME_LIMIT = 160
TEXT_LIMIT = 400
LINE_LIMIT = 1000
STYLES = {Severity.ERROR: "1;31", Severity.WARN: "1;33"}
BOLD, DIM, RED, GREEN, YELLOW = "1", "2", "1;31", "1;32", "1;33"
OUTCOMES = {
    ExitCode.PASSED: "PASSED",
    ExitCode.FAILED: "FAILED",
    ExitCode.REFUSED: "REFUSED",
    ExitCode.UNDECIDED: "UNDECIDED",
}


@dataclass(frozen=True, slots=True)
class LintTerminal:
    """Findings by file and rule; what was skipped and why; the outcome as the last line.

    Attributes:
        color: with ANSI colours; plain text without.
        width: columns to wrap at; names are never broken.
        places: how many places of one rule in one file are shown; 0 for all.
    """

    color: bool = False
    width: int = 118
    places: int = 10
    suffix: ClassVar[str] = ".txt"

    def __post_init__(self) -> None:
        if self.places < 0:
            raise ValueError("places counts from 0, which means all of them")

    def render(self, report: LintReport) -> str:
        """Return the text; its last line is the outcome."""
        return _Text(self, report).whole()


@dataclass(slots=True)
class _Text:
    """One report being written."""

    look: LintTerminal
    report: LintReport
    explained: set[str] = field(default_factory=set)
    lines: list[str] = field(default_factory=list)

    def whole(self) -> str:
        for model in self.report.models:
            self.model(model)
        if any(model.linted for model in self.report.models):
            self.skipped()
        code = self.report.exit_code
        word = OUTCOMES.get(ExitCode(code), "BROKEN") if code in set(ExitCode) else "BROKEN"
        said = printable(self.report.error or self.report.reason, TEXT_LIMIT)
        style = RED if code else YELLOW if any(map(_hit, self.report.models)) else GREEN
        self.lines.append(self.styled(f"{word} (exit {code}): {said}" if code else f"{word}: {said}", style))
        return "".join(f"{line}\n" for line in self.lines)

    def model(self, model: LintedModel) -> None:
        name = printable(model.path, NAME_LIMIT)
        title = printable(f"{name} ({model.candidate})", 2 * NAME_LIMIT) if model.candidate else name
        if model.linted is None:
            # The one line of an error names its file already, where there is one to name.
            self.lines += [f"{self.styled('refused', RED)} {printable(model.error, TEXT_LIMIT)}", ""]
        elif not model.linted.findings:
            self.lines += [f"{self.styled(title, BOLD)} nothing found", ""]
        else:
            self.lines.append(self.styled(title, BOLD))
            for _, group in groupby(model.linted.findings, key=lambda finding: finding.code):
                self.rule(list(group))
            self.lines.append("")

    def rule(self, findings: list[Finding]) -> None:
        first = findings[0]
        count = f" in {len(findings)} places" if len(findings) > 1 else ""
        head = f"{first.severity.value} {first.code}"
        self.lines.append(f"  {self.styled(head, STYLES.get(first.severity, BOLD))} {first.rule}{count}")
        shown = findings[: self.look.places or None]
        for finding in shown:
            self.place(finding)
        if len(findings) > len(shown):
            self.wrapped(f"and {len(findings) - len(shown)} more places (all: --report terminal,places=0)", 4, DIM)
        if first.code not in self.explained:
            self.explained.add(first.code)
            self.wrapped(f"why: {first.why}", 4, DIM)
            self.wrapped(f"fix: {first.fix}", 4)

    def place(self, finding: Finding) -> None:
        at = finding.location
        where = "" if at.kind is LocationKind.FILE else f"{at.kind.value} {printable(at.name, NAME_LIMIT)}: "
        meant = f" [{printable(finding.target, NAME_LIMIT)}]" if finding.target else ""
        # Once more as a whole: a name that ends in a colon makes a pair of it with ours.
        self.wrapped(printable(f"{where}{printable(finding.message, TEXT_LIMIT)}{meant}", LINE_LIMIT), 4)
        if at.context:
            self.wrapped(printable(at.context, TEXT_LIMIT), 8, DIM)

    def skipped(self) -> None:
        checked = {code for model in self.report.models if model.linted for code in model.linted.checked}
        reasons = list(_skipped(self.report.models))
        told = "1 rule checked" if len(checked) == 1 else f"{len(checked)} rules checked"
        if reasons:
            told += f", {len({code for _, codes in reasons for code in codes})} skipped"
        self.wrapped(told, 0, DIM)
        for reason, codes in reasons:
            self.wrapped(f"skipped: {', '.join(codes)} ({reason})", 2, DIM)

    def wrapped(self, text: str, indent: int, style: str = "") -> None:
        """Add a text, its later lines further in; a name that is longer than a line stays whole."""
        lines = textwrap.wrap(
            text,
            self.look.width,
            initial_indent=" " * indent,
            subsequent_indent=" " * (indent + 2),
            break_long_words=False,
            break_on_hyphens=False,
        )
        self.lines += [self.styled(line, style) for line in lines]

    def styled(self, text: str, style: str) -> str:
        return f"\x1b[{style}m{text}\x1b[0m" if self.look.color and style else text


def _hit(model: LintedModel) -> bool:
    return model.linted is None or bool(model.linted.findings)


def _skipped(models: tuple[LintedModel, ...]) -> Iterator[tuple[str, list[str]]]:
    """Yield why rules were skipped, and which; where only some models lacked something, how many."""
    lacking: dict[tuple[str, str], int] = defaultdict(int)  # (code, reason) -> models
    for model in models:
        for code, reason in model.linted.skipped if model.linted else ():
            lacking[code, str(reason)] += 1
    looked = sum(model.linted is not None for model in models)
    by_reason: dict[str, list[str]] = defaultdict(list)
    for (code, reason), count in sorted(lacking.items()):
        by_reason[reason if count == looked else f"{reason}; {count} of {looked} models"].append(code)
    yield from sorted(by_reason.items(), key=lambda pair: pair[1])
