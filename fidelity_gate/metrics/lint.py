"""lint: how many known mistakes the candidate's file contains; nothing runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from fidelity_gate.errors import NotMeasured
from fidelity_gate.records import Direction, Evidence, Measured, Severity
from fidelity_gate.wording import finding_text, findings_from

if TYPE_CHECKING:
    from fidelity_gate.records import Linted, ModelRecord

NAMED = 2  # findings in the detail; reports list more


@dataclass(frozen=True, slots=True)
class Lint:
    """Findings of the lint rules in the candidate's file, by the policy's `lint:` block.

    Attributes:
        severity: "error" counts errors; "warn" counts warnings too.
    """

    severity: Literal["error", "warn"] = "error"

    unit: ClassVar[str] = ""
    direction: ClassVar[Direction] = Direction.LOWER
    evidence: ClassVar[Evidence] = Evidence.FILE
    per_probe: ClassVar[bool] = False
    floored: ClassVar[bool] = False
    limits: ClassVar[tuple[float | None, float | None]] = (0.0, None)

    def measure(self, reference: ModelRecord, candidate: ModelRecord) -> Measured:
        """Return the number of findings; raises NotMeasured when no rule could look at the file."""
        linted = candidate.linted
        if linted is None:
            raise NotMeasured("lint cannot look into this model: it shows neither its weights nor a graph")
        if not linted.checked:
            raise NotMeasured(_nothing_looked(linted))
        found = findings_from(linted, Severity(self.severity))
        told = [finding_text(finding) for finding in found[:NAMED]]
        told += [f"and {len(found) - NAMED} more"] if len(found) > NAMED else []
        ran = "1 rule looked" if len(linted.checked) == 1 else f"{len(linted.checked)} rules looked"
        return Measured((float(len(found)),), detail="; ".join([ran, *told]))


def _nothing_looked(linted: Linted) -> str:
    """Return why no rule ran: the settings left none, or each lacked something."""
    if not linted.skipped:
        return "the lint settings leave no rule to look at the file"
    code, lacked = linted.skipped[0]
    return f"none of {len(linted.skipped)} lint rules could look at the file ({code}: {lacked})"
