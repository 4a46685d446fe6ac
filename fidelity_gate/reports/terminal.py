"""The report for people: a table, failures first, and the verdict as the last line."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.energy import ESTIMATED
from fidelity_gate.records import Outcome
from fidelity_gate.reports._places import Places
from fidelity_gate.reports._rows import (
    COLUMNS,
    NAME_LIMIT,
    ORDER,
    broken,
    cells,
    fidelity_curves,
    floor_line,
    shown,
)
from fidelity_gate.text import printable
from fidelity_gate.units import format_value
from fidelity_gate.wording import (
    blocks,
    device_of,
    finding_lines,
    findings_count,
    headline,
    past_of,
    verdict_line,
)

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from fidelity_gate.records import CheckResult, Measurement, Report

STYLES = {Outcome.PASS: "green", Outcome.WARN: "yellow", Outcome.WAIVED: "yellow"}  # anything else blocks: red
VERDICT_WIDTH = max(len(outcome.value) for outcome in ORDER)
BARS = "▁▂▃▄▅▆▇█"
NAMES = (0, 1)
NAME_WIDTH = 24  # a name up to here is not folded to save room, where there is some
GAP = 3  # columns between two cells
NARROWEST = 6  # below this much room for a name, everything folds
LINE_LIMIT = 400


@dataclass(frozen=True, slots=True)
class Terminal:
    """A table of checks, the noise floor, fidelity by step, and the verdict.

    Attributes:
        color: with ANSI colours; plain text without.
        unicode: with lines and bars; ASCII without.
        width: columns the table may take.
    """

    color: bool = False
    unicode: bool = True
    width: int = 118
    suffix: ClassVar[str] = ".txt"

    def render(self, report: Report) -> str:
        """Return the text; its last line is the verdict."""
        from rich.console import Console

        out = io.StringIO()
        console = Console(
            file=out,
            width=self.width,
            force_terminal=self.color,
            color_system="standard" if self.color else None,
            no_color=not self.color,
            highlight=False,
            markup=False,
            emoji=False,
            legacy_windows=False,
        )
        self._print(console, report)
        return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())

    def _print(self, console: Console, report: Report) -> None:
        results = shown(report)
        for line in _heading(report):
            _line(console, line)
        if results:
            console.print(self._table(report, results))
        places = Places(report)
        for result in results:
            detail, device = places.detail(result), device_of(result)
            missed = detail and result.outcome is not Outcome.PASS
            if result.reason or missed or detail.startswith(ESTIMATED) or device or past_of(result):
                told = f"{headline(result)} ({detail})" if detail else headline(result)
                _line(console, told, STYLES.get(result.outcome, "red"))
        for line in places.lines():
            _line(console, line)
        for line in (*(report.past.notes if report.past else ()), *_finding_lines(report), *self._evidence(report)):
            _line(console, line)
        _line(console, verdict_line(report), "bold red" if blocks(report) else "bold green")

    def _table(self, report: Report, results: list[CheckResult]) -> Table:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        rows = [tuple(map(_stacked, cells(report, result))) for result in results]
        fit = _fitted(self.width, rows, max(len(result.outcome.value) for result in results))
        table = Table(
            box=box.SIMPLE_HEAD if self.unicode else box.ASCII,
            pad_edge=False,
            header_style="",
            padding=(0, 1, 0, 1 if fit.gap == GAP else 0),
        )
        table.add_column("verdict", no_wrap=True, min_width=fit.verdict)
        for index, name in enumerate(COLUMNS):
            table.add_column(
                name,
                justify="left" if index in NAMES else "right",
                overflow="fold",
                min_width=fit.columns[index] if fit.columns else None,
            )
        for row, result in zip(rows, results, strict=True):
            style = STYLES.get(result.outcome, "red")
            told = [
                broken(cell, fit.columns[at]) if at in NAMES and fit.columns else cell for at, cell in enumerate(row)
            ]
            table.add_row(Text(result.outcome.value, style=style), *map(Text, told))
        return table

    def _evidence(self, report: Report) -> list[str]:
        measured = report.measured
        if measured is None:
            return []
        lines = [floor_line(measured.noise_floor, report.policy)]
        curves = fidelity_curves(measured)
        if curves:
            lines.append("carry fidelity by step, mean over probes:")
            name_width = max(len(printable(name, NAME_LIMIT)) for name in curves)
            low = min([0.9, *(point.mean for curve in curves.values() for point in curve.curve)])
            lines += [
                f"  {printable(name, NAME_LIMIT):<{name_width}}  {self._curve_text(curve, low)}"
                for name, curve in sorted(curves.items())
            ]
        return lines

    def _curve_text(self, curve: Measurement, low: float) -> str:
        first, last = curve.curve[0], curve.curve[-1]
        bars = "".join(_bar(point.mean, low) for point in curve.curve) if self.unicode else "..."
        ends = [format_value(point.mean, curve.unit) for point in (first, last)]
        return f"{ends[0]} {bars} {ends[1]} (step {first.step} to {last.step})"


@dataclass(frozen=True, slots=True)
class _Fit:
    """How wide everything is in a table: `columns` is empty where there is too little room, and everything folds."""

    verdict: int
    gap: int
    columns: tuple[int, ...]


def _fitted(width: int, rows: list[tuple[str, ...]], widest_verdict: int) -> _Fit:
    """Return widths with which no figure folds: a figure that is cut says something else.

    Where not even names fit, the columns move closer together; then names fold, the longer one first.
    """
    widths = [max(map(_widest, (name, *(row[at] for row in rows)))) for at, name in enumerate(COLUMNS)]
    figures = sum(wide for at, wide in enumerate(widths) if at not in NAMES)
    wanted = sum(min(widths[at], NAME_WIDTH) for at in NAMES)
    verdict, gap = VERDICT_WIDTH, GAP
    room = width - verdict - figures - gap * (len(COLUMNS) + 1)
    if room < wanted:
        verdict, gap = max(widest_verdict, len("verdict")), GAP - 1
        room = width - verdict - figures - gap * (len(COLUMNS) + 1)
    if room < NARROWEST * len(NAMES):
        return _Fit(verdict, gap, ())
    first, second = (widths[at] if room >= wanted else min(widths[at], room) for at in NAMES)
    if first + second > room:
        second = min(second, max(room // 2, room - first))
        first = min(first, room - second)
    names = {NAMES[0]: first, NAMES[1]: second}
    return _Fit(verdict, gap, tuple(names.get(at, wide) for at, wide in enumerate(widths)))


def _stacked(text: str) -> str:
    """Return `8 MiB (8.389 MB)` on two lines, so that the table stays narrow."""
    return text.replace(" (", "\n(").replace(" and ", "\n")


def _widest(cell: str) -> int:
    return max(len(line) for line in cell.split("\n"))


def _line(console: Console, text: str, style: str = "") -> None:
    """Print one line whatever its length: the last line of a report is the verdict, not the tail of it."""
    from rich.text import Text

    console.print(Text(printable(text, LINE_LIMIT), style=style), soft_wrap=True)


def _heading(report: Report) -> list[str]:
    measured, name = report.measured, report.verdict.policy_name
    if measured is None:
        return [name] if name else []
    candidates = "1 candidate" if len(measured.candidates) == 1 else f"{len(measured.candidates)} candidates"
    probes = measured.provenance.probes
    return [
        f"{name}: {candidates} against {measured.reference.facts.path}, {probes} probes, {measured.reference.depth}",
        *(
            f"{record.name} runs at {record.depth}, compared {record.alignment}"
            for record in measured.candidates
            if record.depth != measured.reference.depth
        ),
        *(
            f"{record.name}: {note}"
            for record in (measured.reference, *measured.candidates)
            for note in record.facts.notes
        ),
    ]


def _finding_lines(report: Report) -> list[str]:
    """Return what lint found, candidate by candidate."""
    lines: list[str] = []
    for record in report.measured.candidates if report.measured else ():
        if record.linted is not None:
            findings, rules = record.linted.findings, len(record.linted.checked)
            told = f"lint of {printable(record.name, NAME_LIMIT)}: {findings_count(findings)}"
            lines.append(f"{told} ({rules} rules looked, {len(record.linted.skipped)} could not)")
            lines += [f"  {line}" for line in finding_lines(findings)]
    return lines


def _bar(value: float, low: float) -> str:
    share = (value - low) / (1.0 - low)
    return BARS[max(0, min(len(BARS) - 1, round(share * (len(BARS) - 1))))]
