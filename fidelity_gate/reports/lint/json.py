"""A lint report record as strict JSON, for other tools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate import record_json
from fidelity_gate.text import quiet_json

if TYPE_CHECKING:
    from fidelity_gate.records import LintReport

SCHEMA = "fidelity-gate/lint/v1"


@dataclass(frozen=True, slots=True)
class LintJson:
    """Everything: models, findings, skipped rules and why, what the rules say of themselves; one line, sorted keys."""

    suffix: ClassVar[str] = ".json"

    def render(self, report: LintReport) -> str:
        """Return the record as JSON; raises Internal rather than write a number that JSON has no word for."""
        return quiet_json(record_json.dump(report, SCHEMA).decode("ascii"))
