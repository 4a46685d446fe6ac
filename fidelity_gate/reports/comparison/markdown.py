"""A comparison as Markdown, for a comment on a pull request: what changed first, the rest folded away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.records import Change
from fidelity_gate.reports.comparison.lines import check_row, figure_row, shortened, summary, verdict_of
from fidelity_gate.reports.markdown import Page, escaped, refuse_limit, table_row

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.records import Comparison, SavedRun
    from fidelity_gate.reports.comparison.lines import Row

MOST = 60_000  # bytes; GitHub takes 65,536 characters of a comment
LOUD = (Change.REGRESSION, Change.REMOVED)
HEADS = ("check", "candidate", "before", "after", "required", "change", "probes +-")
ALIGN = ("---", "---", "---", "---:", "---:", "---:", "---:", "---:")
INCOMPARABLE = "**The numbers of these two runs are not comparable.**"


@dataclass(frozen=True, slots=True)
class ComparisonMarkdown:
    """What it comes to, both verdicts, and a table of what changed; what the runs do not share folds away.

    Attributes:
        limit: the most bytes of text; rows that do not fit are counted instead.
    """

    limit: int = MOST
    suffix: ClassVar[str] = ".md"

    def __post_init__(self) -> None:
        """Refuse a limit under which not even the verdicts fit, or over which GitHub shows nothing."""
        refuse_limit(self.limit)

    def render(self, comparison: Comparison) -> str:
        """Return the text; the first line says what it comes to, whatever is cut."""
        page = Page(self.limit)
        page.add([f"## {escaped(summary(comparison))}", ""])
        if not comparison.comparable:
            page.add([INCOMPARABLE, ""])
            page.add([*(f"- {line}" for line in _differences(comparison, comparable=False)), ""])
        page.add(_runs(comparison))
        checks = [check_row(one) for one in comparison.checks]
        _table(page, [row for row in checks if row.change is not Change.SAME], "check")
        if checks and all(row.change is Change.SAME for row in checks):
            page.add(["", "No check changed."])
        page.fold("Candidates that are not what they were", [f"- {line}" for line in _models(comparison)])
        page.fold(
            "What else the runs do not share", [f"- {line}" for line in _differences(comparison, comparable=True)]
        )
        figures = [figure_row(one) for one in comparison.figures]
        page.fold("Figures without a check", _rows([row for row in figures if row.change is not Change.SAME], "figure"))
        return page.text()


def _runs(comparison: Comparison) -> Iterator[str]:
    yield table_row(["", "run", "verdict", "made", "policy"])
    yield table_row(["---", "---", "---", "---", "---"])
    for which, run in (("before", comparison.before), ("after", comparison.after)):
        told = (run.path, _verdict(run), run.created[:16].replace("T", " "), run.name)
        yield table_row([which, *map(escaped, told)])


def _verdict(run: SavedRun) -> str:
    said = verdict_of(run)
    return f"{said}: {run.reason}" if run.reason else said


def _differences(comparison: Comparison, *, comparable: bool) -> list[str]:
    return [
        escaped(f"{one.what}: {shortened(one.before)} -> {shortened(one.after)} ({one.says})")
        for one in comparison.differences
        if one.comparable is comparable
    ]


def _models(comparison: Comparison) -> list[str]:
    return [
        escaped(f"{one.model}: {one.what} {shortened(one.before)} -> {shortened(one.after)}")
        for one in comparison.models
    ]


def _table(page: Page, rows: list[Row], what: str) -> None:
    if rows:
        head, align, *lines = _rows(rows, what)
        page.add(["", head, align])
        page.rows(lines, "rows")


def _rows(rows: list[Row], what: str) -> list[str]:
    """Return a table with its head, or nothing where there is nothing to show."""
    if not rows:
        return []
    lines = [table_row([_mark(row.change), *(escaped(cell) for cell in row.cells)]) for row in rows]
    return [table_row(["", what, *HEADS[1:]]), table_row(list(ALIGN)), *lines]


def _mark(change: Change) -> str:
    return f"**{change.value.upper()}**" if change in LOUD else change.value
