"""csv: one line a check, for a spreadsheet."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.text import printable

if TYPE_CHECKING:
    from fidelity_gate.records import Report


@dataclass(frozen=True, slots=True)
class Csv:
    """One line for each check and candidate, and one for the verdict."""

    suffix: ClassVar[str] = ".csv"

    def render(self, report: Report) -> str:
        """Return the lines; names come from whoever made the candidate, so they are made printable."""
        told = io.StringIO()
        writer = csv.writer(told, lineterminator="\n")
        writer.writerow(("check", "candidate", "outcome", "observed"))
        for result in report.verdict.results:
            writer.writerow((result.check.id, printable(result.candidate), result.outcome.value, result.observed))
        passed = report.verdict.passed and not report.error  # a run that was refused has no results, and did not pass
        writer.writerow(("gate.verdict", "", "pass" if passed else "fail", ""))
        return told.getvalue()
