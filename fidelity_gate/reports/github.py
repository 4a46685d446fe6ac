"""Workflow commands of GitHub Actions: at most nine annotations a level and one that counts the others.

A composite action has one budget of ten annotations a level; what comes after it is dropped without a word.
https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.records import Outcome
from fidelity_gate.reports._rows import shown
from fidelity_gate.text import printable
from fidelity_gate.wording import blocks, detail_of, headline, verdict_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.records import CheckResult, Report

BUDGET = 10  # annotations a level
LEVELS = ("error", "warning", "notice")
TITLE_LIMIT, MESSAGE_LIMIT, PATH_LIMIT = 120, 800, 400
_PLACE = re.compile(r"(?P<file>[^:]+\.ya?ml):(?P<line>[1-9][0-9]{0,6})(?::[0-9]+)?: ")
_LEVEL_OF = {Outcome.PASS: "", Outcome.WARN: "warning", Outcome.WAIVED: "notice"}  # anything else blocks: error


@dataclass(frozen=True, slots=True)
class GitHub:
    """One `::error` or `::warning` line for each check that was not met, at its place in the policy."""

    suffix: ClassVar[str] = ".txt"

    def render(self, report: Report) -> str:
        """Return the lines; what a stranger wrote in them can neither end a command nor begin one."""
        found: dict[str, list[str]] = {level: [] for level in LEVELS}
        for result in shown(report):
            level = _LEVEL_OF.get(result.outcome, "error")
            if level:
                found[level].append(_annotation(level, result, report))
        if blocks(report) and not found["error"]:
            found["error"].append(
                _command("error", {**_stopped_at(report), "title": "fidelity-gate"}, verdict_line(report))
            )
        return "".join(f"{line}\n" for level in LEVELS for line in _in_budget(level, found[level]))


def _stopped_at(report: Report) -> dict[str, str]:
    """Return the place that an error names (`FILE:LINE:COL: ...`), or the policy where it names none."""
    named = _PLACE.match(report.error)
    if named is not None:
        return {"file": named["file"], "line": named["line"]}
    return {"file": report.policy.path} if report.policy else {}


def _annotation(level: str, result: CheckResult, report: Report) -> str:
    place = result.check.place
    at: dict[str, str] = {}
    if place.file:
        at = {"file": place.file, **({"line": str(place.line)} if place.line else {})}
    detail = detail_of(report, result)
    said = f"{headline(result)} ({detail})" if detail else headline(result)
    return _command(level, {**at, "title": f"{result.outcome.value}: {result.check.id}"}, said)


def _in_budget(level: str, lines: list[str]) -> Iterator[str]:
    if len(lines) <= BUDGET:
        yield from lines
        return
    yield from lines[: BUDGET - 1]
    more = len(lines) - (BUDGET - 1)
    yield _command(level, {"title": "fidelity-gate"}, f"{more:,} more, see the summary")


def _command(level: str, properties: dict[str, str], message: str) -> str:
    """Return `::error file=a,line=3,title=b::message`, escaped as the runner reads it."""
    limits = {"file": PATH_LIMIT}
    told = ",".join(
        f"{name}={_property(printable(value, limits.get(name, TITLE_LIMIT)))}" for name, value in properties.items()
    )
    return f"::{level} {told}::{_data(printable(message, MESSAGE_LIMIT))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
