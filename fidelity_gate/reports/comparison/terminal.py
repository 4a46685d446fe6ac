"""A comparison for people: what the runs do not share, what changed, and the summary as the last line."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.records import Change
from fidelity_gate.reports.comparison.lines import check_row, figure_row, shortened, summary, verdict_of
from fidelity_gate.text import printable

if TYPE_CHECKING:
    from rich.console import Console

    from fidelity_gate.records import Comparison, SavedRun
    from fidelity_gate.reports.comparison.lines import Row

STYLES = {Change.REGRESSION: "red", Change.MENDED: "green", Change.WORSE: "yellow", Change.BETTER: "green"}
HEADS = ("check", "candidate", "before", "after", "required", "change", "probes +-")
FIGURE_HEADS = ("figure without a check", *HEADS[1:])
RIGHT = frozenset({"change"})
NAMES = (0, 1)
NAME_WIDTH = 24  # a name up to here is not folded before figures are
LINE_LIMIT = 400
WARNING = "The numbers of these two runs are not comparable:"
MOST_ROWS = 2_000


@dataclass(frozen=True, slots=True)
class ComparisonTerminal:
    """Differences of the runs first, then every check and figure that changed.

    Attributes:
        color: with ANSI colours; plain text without.
        unicode: with lines; ASCII without.
        width: columns the table may take.
        all: with what did not change, too.
    """

    color: bool = False
    unicode: bool = True
    width: int = 118
    all: bool = False
    suffix: ClassVar[str] = ".txt"

    def render(self, comparison: Comparison) -> str:
        """Return the text; its last line is the summary."""
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
        self._print(console, comparison)
        return "".join(f"{line.rstrip()}\n" for line in out.getvalue().splitlines())

    def _print(self, console: Console, comparison: Comparison) -> None:
        _line(console, _run("before", comparison.before))
        _line(console, _run("after ", comparison.after))
        forbidding = [one for one in comparison.differences if not one.comparable]
        if forbidding:
            _line(console, WARNING, "bold red")
        for one in comparison.differences:
            told = f"  {one.what}: {shortened(one.before)} -> {shortened(one.after)} ({one.says})"
            _line(console, told, "" if one.comparable else "red")
        for change in comparison.models:
            _line(console, f"  {change.model}: {change.what} {shortened(change.before)} -> {shortened(change.after)}")
        self._table(console, [check_row(one) for one in comparison.checks], HEADS)
        self._table(console, [figure_row(one) for one in comparison.figures], FIGURE_HEADS)
        bad = bool(comparison.error) or comparison.regressions > 0 or not comparison.comparable
        _line(console, summary(comparison), "bold red" if bad else "bold")

    def _table(self, console: Console, rows: list[Row], heads: tuple[str, ...]) -> None:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        told = [row for row in rows if self.all or row.change is not Change.SAME]
        if not told:
            return
        shown = told[:MOST_ROWS]
        empty = {place for place in range(len(heads)) if not any(row.cells[place] for row in shown)}
        table = Table(box=box.SIMPLE_HEAD if self.unicode else box.ASCII, pad_edge=False, header_style="")
        table.add_column("", no_wrap=True)
        for place, name in enumerate(heads):
            if place not in empty:
                widest = max(len(line) for row in shown for line in _stacked(row.cells[place]).split("\n"))
                least = min(widest, NAME_WIDTH) if place in NAMES else widest
                table.add_column(name, justify="right" if name in RIGHT else "left", overflow="fold", min_width=least)
        for row in shown:
            cells = (Text(_stacked(cell)) for place, cell in enumerate(row.cells) if place not in empty)
            table.add_row(Text(row.change.value, style=STYLES.get(row.change, "")), *cells)
        console.print(table)
        if len(told) > len(shown):
            _line(console, f"and {len(told) - len(shown)} more: --report json has them all")


def _stacked(cell: str) -> str:
    return cell.replace(" and ", "\nand ").replace(" -> ", "\n-> ")


def _run(which: str, run: SavedRun) -> str:
    said = [run.name, run.created[:16].replace("T", " "), verdict_of(run)]
    told = f"{which}: {printable(run.path, 200)}: {', '.join(part for part in said if part)}"
    return f"{told}: {run.reason}" if run.reason else told


def _line(console: Console, text: str, style: str = "") -> None:
    from rich.text import Text

    console.print(Text(printable(text, LINE_LIMIT), style=style), soft_wrap=True)
