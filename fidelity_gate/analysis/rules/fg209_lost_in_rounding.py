"""FG209: more rounding than a recursion survives."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.analysis.rules._rounding import LOST_DB, between
from fidelity_gate.records import Need, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject
    from fidelity_gate.records import Found


@dataclass(frozen=True, slots=True)
class LostInRounding:
    """Looks for block matrices that stand less than 12 dB above the rounding that their scales foretell.

    The ratio is that of the mean square of the weights to the mean of scale**2 / 12 over all values; the reference is
    not needed. It meets the measured ratio within 1 dB from 10 dB up; below, fewer decibels are foretold than are left,
    and none of them is enough. Per-tensor scales at 4 bits or fewer are left to FG201, code books (NF4) have no even
    grid and are left out.

    Attributes:
        below_db: fewer decibels are a finding.
    """

    below_db: float = LOST_DB

    code: ClassVar[str] = "FG209"
    title: ClassVar[str] = "lost-in-rounding"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = (
        "INT3 and INT2 with one scale a channel have a matrix under 10 dB in every zoo model, and lose 3 to 98 "
        "points of exact accuracy; no rung of integers that may ship has one under 16 dB."
    )
    fix: ClassVar[str] = "Give this matrix more bits, or smaller groups of values under one scale."
    needs: ClassVar[tuple[Need, ...]] = (Need.TENSORS, Need.WEIGHTS)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding a matrix."""
        yield from between(subject, -math.inf, self.below_db)
