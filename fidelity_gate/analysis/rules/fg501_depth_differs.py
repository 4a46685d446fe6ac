"""FG501: another recursion depth than the reference's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.records import Found, Location, LocationKind, Need, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject


@dataclass(frozen=True, slots=True)
class DepthDiffers:
    """Looks for a candidate that runs, or says it runs, at another depth than its reference.

    Compares H cycles, L cycles and ACT steps where both models have a depth (from the policy, the command line or the
    file). A candidate whose policy states its own `recursion:` differs on purpose; the finding is then a reminder
    that trajectories are compared by ACT step only.

    Source: the paper's Tables 15 to 18: fewer cycles keep ARC and Maze and always break Sudoku.
    """

    code: ClassVar[str] = "FG501"
    title: ClassVar[str] = "depth-differs"
    severity: ClassVar[Severity] = Severity.WARN
    why: ClassVar[str] = (
        "Depth is a compression of its own: INT8 at H=1 keeps the paper's ARC and Maze accuracy, and never Sudoku's."
    )
    fix: ClassVar[str] = "Run the candidate as deep as its reference, or state its recursion in the policy."
    needs: ClassVar[tuple[Need, ...]] = (Need.REFERENCE,)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding if both depths are known and differ."""
        ours, theirs = subject.depth, subject.reference.depth if subject.reference else None
        if ours and theirs and ours != theirs:
            place = Location(LocationKind.METADATA, "depth", str(ours))
            yield Found(place, f"runs at {ours}, its reference at {theirs}")
