"""A comparison for people: what the runs do not share, what changed, and the summary as the last line."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.records import Change
from fidelity_gate.reports._rows import broken
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
NARROW_HEADS = ("before", "after", "required")
WIDE_GAP, GAP = 3, 2  # columns between two cells
NAME_WIDTH, NARROWEST = 24, 8  # a name up to here is not folded in a wide table; room below which everything folds
NAMES = (0, 1)
CHANGE_WIDTH = max(len(change.value) for change in Change)
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
        laid = _laid_out(heads, [tuple(map(_stacked, row.cells)) for row in shown], self.width)
        table = Table(
            box=box.SIMPLE_HEAD if self.unicode else box.ASCII,
            pad_edge=False,
            header_style="",
            padding=(0, 1, 0, 1 if laid.gap == WIDE_GAP else 0),
        )
        table.add_column("", no_wrap=True, min_width=CHANGE_WIDTH)
        for name, wide in zip(laid.heads, laid.widths, strict=True):
            table.add_column(name, justify="right" if name in RIGHT else "left", overflow="fold", min_width=wide)
        for row, cells in zip(shown, laid.rows, strict=True):
            table.add_row(Text(row.change.value, style=STYLES.get(row.change, "")), *map(Text, cells))
        console.print(table)
        if len(told) > len(shown):
            _line(console, f"and {len(told) - len(shown)} more: --report json has them all")


@dataclass(frozen=True, slots=True)
class _Table:
    """Columns as they fit a window; a width of None folds, where there is too little room for anything else."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    widths: tuple[int | None, ...]
    gap: int


def _laid_out(heads: tuple[str, ...], rows: list[tuple[str, ...]], width: int) -> _Table:
    """Return the columns that hold anything; in a narrow window what belongs together stands below one another.

    Names fold before figures do, and no column ends beyond the window: a figure that is cut says something else.
    """
    full = [place for place in range(len(heads)) if place in NAMES or any(row[place] for row in rows)]
    wide = tuple(heads[place] for place in full), [tuple(row[place] for place in full) for row in rows]
    narrow = (heads[0], *NARROW_HEADS), [_narrow(row) for row in rows]
    for (kept, lines), gap, least, names in (
        (wide, WIDE_GAP, NAME_WIDTH, 2),
        (wide, GAP, NAME_WIDTH * 2 // 3, 2),
        (narrow, WIDE_GAP, NAME_WIDTH, 1),
        (narrow, GAP, NARROWEST, 1),
    ):
        widths = _widths(kept, lines)
        room = width - CHANGE_WIDTH - sum(widths[names:]) - gap * (len(widths) + 1)
        if room >= sum(min(least, one) for one in widths[:names]):
            shares = _shares(widths[:names], room)
            cells = [(*(_folded(*pair) for pair in zip(row, shares, strict=False)), *row[names:]) for row in lines]
            return _Table(kept, tuple(cells), (*shares, *widths[names:]), gap)
    return _Table(narrow[0], tuple(narrow[1]), (None,) * len(narrow[0]), GAP)


def _shares(widths: list[int], room: int) -> list[int]:
    """Return how wide names may be, of one or two columns: what the second does not need is the first's."""
    if sum(widths) <= room:
        return widths
    second = [min(one, max(room // 2, room - widths[0])) for one in widths[1:]]
    return [min(widths[0], room - sum(second)), *second]


def _folded(cell: str, width: int) -> str:
    return "\n".join(broken(line, width) for line in cell.split("\n"))


def _narrow(row: tuple[str, ...]) -> tuple[str, ...]:
    name, subject, before, after, required, change, probes = row
    return (_below(name, subject), before, _below(after, change, f"{probes} probes" if probes else ""), required)


def _below(*cells: str) -> str:
    return "\n".join(cell for cell in cells if cell)


def _widths(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[int]:
    """Return how wide each column is when nothing in it folds."""
    return [
        max(len(line) for text in (head, *(row[place] for row in rows)) for line in text.split("\n"))
        for place, head in enumerate(heads)
    ]


def _stacked(cell: str) -> str:
    return cell.replace(" and ", "\nand ").replace(" -> ", "\n-> ")


def _run(which: str, run: SavedRun) -> str:
    said = [run.name, run.created[:16].replace("T", " "), verdict_of(run)]
    told = f"{which}: {printable(run.path, 200)}: {', '.join(part for part in said if part)}"
    return f"{told}: {run.reason}" if run.reason else told


def _line(console: Console, text: str, style: str = "") -> None:
    from rich.text import Text

    console.print(Text(printable(text, LINE_LIMIT), style=style), soft_wrap=True)
