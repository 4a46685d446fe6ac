"""FG207: integers that use a small part of their range."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.analysis.rules._common import tensor_place
from fidelity_gate.analysis.rules._matrices import grids
from fidelity_gate.records import Found, Need, Role, Severity
from fidelity_gate.units import format_value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject


@dataclass(frozen=True, slots=True)
class UnusedRange:
    """Looks for scales so large that the integers under them use less than a quarter of their range.

    Compared is the largest distance of an integer from its zero point with the largest there could be, a scale at a
    time. A quarter means two bits that are stored and say nothing. Groups of zeros have no range and do not count;
    onnxruntime's `reduce_range` uses a half, which is meant.

    Attributes:
        used: a smaller part of the range is wasted.
        share: of a tensor's scales with wasted range; a larger one is a finding.
    """

    used: float = 0.25
    share: float = 0.1

    code: ClassVar[str] = "FG207"
    title: ClassVar[str] = "unused-range"
    severity: ClassVar[Severity] = Severity.WARN
    why: ClassVar[str] = (
        "Every halving of the range that is used costs a bit, 6 dB: INT8 that uses a sixteenth of its range is INT4 in "
        "twice the bytes. A scale of another tensor, of the activations, or of a wider type looks like this."
    )
    fix: ClassVar[str] = "Take every scale from the values under it, or store fewer bits."
    needs: ClassVar[tuple[Need, ...]] = (Need.TENSORS, Need.WEIGHTS)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding a tensor."""
        for tensor, grid in grids(subject, Role.BLOCK, Role.HEAD, Role.EMBEDDING):
            wasted = grid.reach[grid.reach < self.used]
            if not wasted.size or wasted.size <= self.share * grid.reach.size:
                continue
            middle = float(sorted(wasted)[wasted.size // 2])
            lost = -math.log2(middle)
            used = f"use {format_value(middle, 'fraction', digits=2)} of the integers' range or about that"
            message = f"{wasted.size:,} of {grid.reach.size:,} scales {used}: {lost:.1f} of {grid.bits} bits are lost"
            yield Found(tensor_place(tensor), message, (("bits_lost", lost), ("scales", int(wasted.size))))
