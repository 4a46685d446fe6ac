"""Markdown for a step summary or a comment: the verdict, a table of checks, and what there is behind it.

GitHub drops a step summary of over 1 MiB whole, and counts all steps of a job: the text is cut at a row, and says so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.errors import UsageError
from fidelity_gate.records import Outcome
from fidelity_gate.reports._rows import COLUMNS, cells, fidelity_curves, floor_line, shown
from fidelity_gate.text import printable
from fidelity_gate.units import format_value
from fidelity_gate.wording import blocks, counted, device_of, finding_lines, told_of, verdict_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fidelity_gate.records import CheckResult, Measurement, MeasurementSet, Report

LEAST, MOST = 4_000, 1_000_000  # bytes; GitHub takes 1,048,576 of all steps together
DIGEST = 12
LINE_LIMIT = 400
# Emoji are dropped by some readers and misread by others: the word is what counts.
MARKS = {Outcome.PASS: "pass", Outcome.WARN: "**warn**", Outcome.WAIVED: "**waived**"}
# What Markdown, its HTML, and GitHub's own references (@name, #1) would act on.
_ACTIVE = re.compile(r"([\\`*_{}\[\]()<>#+!|~@&$:])")


@dataclass(frozen=True, slots=True)
class Markdown:
    """The verdict, a table of checks with what blocks first, and details that fold away.

    Attributes:
        limit: the most bytes of text; rows that do not fit are counted instead.
    """

    limit: int = MOST
    suffix: ClassVar[str] = ".md"

    def __post_init__(self) -> None:
        """Refuse a limit under which not even the verdict fits, or over which GitHub shows nothing."""
        refuse_limit(self.limit)

    def render(self, report: Report) -> str:
        """Return the text; the first line says the verdict, whatever is cut."""
        page = Page(self.limit)
        page.add(_opening(report))
        _checks(page, report)
        for title, lines in _sections(report):
            page.fold(title, lines)
        return page.text()


def refuse_limit(limit: int) -> None:
    """Raise UsageError for a limit of bytes under which nothing fits, or over which GitHub shows nothing."""
    if not LEAST <= limit <= MOST:
        raise UsageError(f"must be from {LEAST:,} to {MOST:,} bytes, not {limit:,}", field="limit")


class Page:
    """Text that grows up to a limit of bytes."""

    def __init__(self, limit: int) -> None:
        self._parts: list[str] = []
        self._left = limit - 500  # for whatever says that something is missing

    def add(self, lines: Iterable[str]) -> bool:
        """Add all of these lines or none; return whether they fitted."""
        text = "".join(f"{line}\n" for line in lines)
        size = len(text.encode())
        if size > self._left:
            return False
        self._left -= size
        self._parts.append(text)
        return True

    def rows(self, rows: list[str], what: str) -> None:
        """Add as many of these lines as fit, and how many do not."""
        for place, row in enumerate(rows):
            if not self.add([row]):
                self._parts.append(
                    f"\n**{len(rows) - place:,} more {what} did not fit here; they are in the report.**\n"
                )
                self._left = -1
                return

    def fold(self, title: str, lines: list[str]) -> None:
        """Add lines that are shown when somebody asks for them."""
        if lines and not self.add(["", f"<details><summary>{title}</summary>", "", *lines, "", "</details>"]):
            self._left = -1

    def text(self) -> str:
        """Return all that was added."""
        return "".join(self._parts)


def escaped(text: str, limit: int = LINE_LIMIT) -> str:
    """Return text that Markdown shows as it is: on one line, no markup, no links, no mentions."""
    return _ACTIVE.sub(r"\\\1", printable(text, limit)).replace("www.", r"www\.")


def _opening(report: Report) -> Iterator[str]:
    name = report.verdict.policy_name or "fidelity-gate"
    word = "BLOCKED" if blocks(report) else "PASSED"
    yield f"## {word}: {escaped(name)}"
    yield ""
    yield escaped(verdict_line(report))
    yield ""


def _checks(page: Page, report: Report) -> None:
    results = shown(report)
    if not results:
        return
    header = ["verdict", *COLUMNS]
    align = ["---", "---", "---", "---:", "---:", "---:", "---:"]
    page.add([table_row(header), table_row(align)])
    page.rows([table_row([_mark(one), *map(escaped, cells(report, one))]) for one in results], "rows")


def table_row(texts: list[str]) -> str:
    """Return a row of a table of texts that are escaped already."""
    return f"| {' | '.join(texts)} |"


def _mark(result: CheckResult) -> str:
    return MARKS.get(result.outcome, f"**{result.outcome.value.upper()}**")


def _sections(report: Report) -> Iterator[tuple[str, list[str]]]:
    told = [one for one in shown(report) if one.outcome is not Outcome.PASS]
    yield "What is behind what was not met", [f"- {_told(report, one)}" for one in told]
    on_devices = [one for one in shown(report) if one.outcome is Outcome.PASS and device_of(one)]
    yield "What devices said", [f"- {_told(report, one)}" for one in on_devices]
    if report.measured is None:
        return
    yield "Carry fidelity by step", list(_fidelity(report, report.measured))
    findings = [
        f"- {escaped(record.name)}: {escaped(line)}"
        for record in report.measured.candidates
        if record.linted is not None
        for line in finding_lines(record.linted.findings)
    ]
    yield "Lint", findings
    yield "What was compared", list(_provenance(report))


def _told(report: Report, result: CheckResult) -> str:
    return escaped(told_of(report, result), 1000)


def _fidelity(report: Report, measured: MeasurementSet) -> Iterator[str]:
    """Yield the noise floor and a line for each candidate; nothing where no model was stepped."""
    curves = fidelity_curves(measured)
    if curves or measured.noise_floor is not None:
        yield f"- {escaped(floor_line(measured.noise_floor, report.policy))}"
    yield from (f"- {_curve(name, one)}" for name, one in sorted(curves.items()))


def _curve(name: str, measurement: Measurement) -> str:
    shown = (f"{point.step}: {format_value(point.mean, measurement.unit)}" for point in measurement.curve)
    return f"{escaped(name)}, mean over probes: {', '.join(shown)}"


def _provenance(report: Report) -> Iterator[str]:
    measured = report.measured
    if measured is None:
        return
    told = measured.provenance
    yield table_row(["", "file", "SHA-256", "size"])
    yield table_row(["---", "---", "---", "---:"])
    for record in (measured.reference, *measured.candidates):
        size = format_value(record.facts.size_bytes, "bytes")
        yield table_row([*map(escaped, (record.name, record.facts.path, record.facts.digest[:DIGEST], size))])
    source = escaped(told.inputs_source)
    yield table_row(["inputs", source, told.inputs_digest[:DIGEST], counted(told.probes, "probe")])
    yield table_row(["policy", escaped(report.policy.path if report.policy else ""), told.policy_digest[:DIGEST], ""])
    yield ""
    libraries = ", ".join(f"{name} {version}" for name, version in told.libraries)
    yield escaped(f"fidelity-gate {measured.tool_version}; {libraries}; judged {report.created}")
