"""FG210: rounding that a recursion may just survive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.analysis.rules._rounding import COARSE_DB, LOST_DB, between
from fidelity_gate.records import Need, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject
    from fidelity_gate.records import Found


@dataclass(frozen=True, slots=True)
class CoarseRounding:
    """Looks for block matrices that stand 12 to 16 dB above the rounding that their scales foretell.

    As FG209, one band up: whether a model bears it depends on the model. INT4 with one symmetric scale a channel lies
    there when the rows have outliers of their own; zero points and clipping win about a decibel each. The line is not
    sharp: at 16.3 dB symmetric INT4 cost hrm-sudoku 4 points and trm-attention-sudoku none.

    Attributes:
        from_db: fewer decibels are FG209's.
        below_db: as many or more are no finding.
    """

    from_db: float = LOST_DB
    below_db: float = COARSE_DB

    code: ClassVar[str] = "FG210"
    title: ClassVar[str] = "coarse-rounding"
    severity: ClassVar[Severity] = Severity.WARN
    why: ClassVar[str] = (
        "In the zoo every rung of integers that may ship keeps 16 dB in each matrix; trm-addition in symmetric INT4 a "
        "channel has one at 15.3 dB and lost 7 points of exact accuracy, in asymmetric INT4 16.4 dB and less than 1."
    )
    fix: ClassVar[str] = (
        "Use zero points or clip=mse (--recipe int4-calibrated), smaller groups, or 8 bits for this matrix."
    )
    needs: ClassVar[tuple[Need, ...]] = (Need.TENSORS, Need.WEIGHTS)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding a matrix."""
        yield from between(subject, self.from_db, self.below_db)
