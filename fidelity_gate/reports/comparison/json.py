"""A comparison record as strict JSON, for other tools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate import record_json
from fidelity_gate.text import quiet_json

if TYPE_CHECKING:
    from fidelity_gate.records import Comparison

SCHEMA = "fidelity-gate/comparison/v1"


@dataclass(frozen=True, slots=True)
class ComparisonJson:
    """Everything: both verdicts, what the runs do not share, every check and figure in both; one line, sorted keys."""

    suffix: ClassVar[str] = ".json"

    def render(self, comparison: Comparison) -> str:
        """Return the record as JSON; raises Internal rather than write a number that JSON has no word for."""
        return quiet_json(record_json.dump(comparison, SCHEMA).decode("ascii"))
