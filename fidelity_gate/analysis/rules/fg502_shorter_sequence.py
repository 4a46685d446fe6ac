"""FG502: another number of tokens than the reference's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.analysis.rules._common import tokens_of
from fidelity_gate.records import Found, Location, Need, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject


@dataclass(frozen=True, slots=True)
class ShorterSequence:
    """Looks for a candidate that sees fewer tokens than its reference.

    Tokens are those of the carry, puzzle-embedding tokens included: from the architecture of a family, or from state
    inputs of three axes (batch, tokens, width) of a step graph. A longer sequence is reported too: the two carries
    cannot be compared token by token.

    Source: the paper's appendix I (Table 12): halving the context collapses exact accuracy on every task.
    """

    code: ClassVar[str] = "FG502"
    title: ClassVar[str] = "shorter-sequence"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = (
        "Half the context collapsed puzzle-exact accuracy on all three tasks of the paper; and carries of unequal "
        "length cannot be compared token by token."
    )
    fix: ClassVar[str] = "Export the candidate at exactly the reference's length."
    needs: ClassVar[tuple[Need, ...]] = (Need.REFERENCE,)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding if both lengths are known and differ."""
        ours, theirs = tokens_of(subject), tokens_of(subject.reference) if subject.reference else None
        if ours and theirs and ours != theirs:
            message = f"sees {ours} tokens, its reference {theirs}"
            yield Found(Location(), message, (("reference_tokens", theirs), ("tokens", ours)))
