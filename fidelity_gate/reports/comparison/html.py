"""A comparison as one self-contained page: both verdicts, what the runs do not share, every check before and after."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.records import Change
from fidelity_gate.reports.comparison.lines import check_row, figure_row, shortened, summary, verdict_of
from fidelity_gate.reports.html.environment import render
from fidelity_gate.reports.html.margins import place_of
from fidelity_gate.reports.html.outcomes import Mark

if TYPE_CHECKING:
    from fidelity_gate.records import CheckChange, Comparison, SavedRun
    from fidelity_gate.reports.comparison.lines import Row

TEMPLATE = "comparison.html.j2"
MOST_ROWS = 800
MARKS = {
    Change.REGRESSION: Mark("fail", "regression"),
    Change.REMOVED: Mark("unmeasured", "removed"),
    Change.ADDED: Mark("inconclusive", "added"),
    Change.MENDED: Mark("pass", "mended"),
    Change.WORSE: Mark("warn", "worse"),
    Change.BETTER: Mark("pass", "better"),
    Change.DIFFERENT: Mark("waived", "different"),
    Change.SAME: Mark("off", "same"),
}


@dataclass(frozen=True, slots=True)
class Shown:
    """One row, its sign, and where its margins are in the picture."""

    mark: Mark
    row: Row
    before: float | None = None
    after: float | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Half:
    """One of the two runs."""

    title: str
    path: str
    name: str
    created: str
    kind: str  # "pass", "fail", "unmeasured"
    verdict: str
    reason: str


@dataclass(frozen=True, slots=True)
class ComparisonHtml:
    """One page like that of `--report html`: it needs no network and runs no script."""

    suffix: ClassVar[str] = ".html"

    def render(self, comparison: Comparison) -> str:
        """Return the page."""
        checks = [_shown(one) for one in comparison.checks]
        figures = [Shown(MARKS[one.change], figure_row(one)) for one in comparison.figures]
        moved, still = _parted(checks)
        moved_figures, still_figures = _parted(figures)
        return render(
            TEMPLATE,
            halves=(_half("Before", comparison.before), _half("After", comparison.after)),
            summary=summary(comparison),
            error=comparison.error,
            comparable=comparison.comparable,
            differences=comparison.differences,
            models=comparison.models,
            shortened=shortened,
            moved=moved[:MOST_ROWS],
            still=still[:MOST_ROWS],
            figures=moved_figures[:MOST_ROWS],
            still_figures=len(still_figures),
            left_out_rows=sum(max(0, len(rows) - MOST_ROWS) for rows in (moved, still, moved_figures)),
            regressions=comparison.regressions,
        )


def _shown(one: CheckChange) -> Shown:
    before, after = (None if result is None else place_of(result) for result in (one.before, one.after))
    reason = one.after.reason if one.after else "the check, or its candidate, is gone"
    told = reason if one.change in (Change.REGRESSION, Change.REMOVED) else ""
    row = check_row(one)
    required = row.required.replace(">= ", "≥ ").replace("<= ", "≤ ").replace("->", "→")
    return Shown(MARKS[one.change], replace(row, required=required), before, after, told)


def _parted(rows: list[Shown]) -> tuple[list[Shown], list[Shown]]:
    moved = [row for row in rows if row.row.change is not Change.SAME]
    return moved, [row for row in rows if row.row.change is Change.SAME]


def _half(title: str, run: SavedRun) -> Half:
    kind = "unmeasured" if run.passed is None else "pass" if run.passed else "fail"
    return Half(title, run.path, run.name, run.created[:16].replace("T", " "), kind, verdict_of(run), run.reason)
