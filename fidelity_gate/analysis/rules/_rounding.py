"""How far weights stand above the rounding that their scales foretell."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fidelity_gate.analysis.grids import decibels
from fidelity_gate.analysis.rules._common import tensor_place
from fidelity_gate.analysis.rules._matrices import grids
from fidelity_gate.analysis.rules.fg201_per_tensor_low_bits import LOW_BITS
from fidelity_gate.records import Found, Granularity, Role

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject

LOST_DB = 12.0
COARSE_DB = 16.0


def between(subject: Subject, lowest: float, limit: float) -> Iterator[Found]:
    """Yield the block matrices whose ratio of signal to rounding noise is in [lowest, limit) decibels."""
    for tensor, grid in grids(subject, Role.BLOCK):
        if tensor.granularity is Granularity.TENSOR and tensor.bits <= LOW_BITS:
            continue  # FG201 tells of it, and how to mend it
        kept = decibels(grid.power.mean(), grid.noise.mean())
        if lowest <= kept < limit:
            message = f"its scales foretell a signal-to-quantization-noise ratio of {kept:.1f} dB"
            yield Found(tensor_place(tensor), message, (("sqnr_db", kept),))
