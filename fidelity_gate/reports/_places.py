"""What the figures of devices ran on, told once and numbered: a dozen checks rest on one job."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fidelity_gate.wording import behind

if TYPE_CHECKING:
    from fidelity_gate.records import CheckResult, Report


@dataclass(slots=True)
class Places:
    """Numbers what details ran on, in the order in which they are shown.

    Attributes:
        report: whose checks are shown.
        found: what they ran on -> its number, from 1.
    """

    report: Report
    found: dict[str, int] = field(default_factory=dict)

    def detail(self, result: CheckResult) -> str:
        """Return what a metric had to say, with the number of what it ran on: `[1] p50 of 100 runs ...`."""
        measurement = behind(self.report, result)
        if measurement is None or not measurement.ran_on:
            return measurement.detail if measurement else ""
        number = self.found.setdefault(measurement.ran_on, len(self.found) + 1)
        return f"[{number}] {measurement.detail}".rstrip()

    def lines(self) -> list[str]:
        """Return `[1] on qai_hub (Samsung Galaxy S24, ..., job j123 https://...)`, a line each."""
        return [f"[{number}] {place}" for place, number in self.found.items()]
