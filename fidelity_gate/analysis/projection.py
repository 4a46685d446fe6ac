"""What an architecture would cost at each precision, before any file exists (paper Tables 2 and 15)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fidelity_gate.analysis.footprint import backbone_bytes, paper_footprint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fidelity_gate.records import Footprint, Geometry, Role

PRECISIONS = (("fp32", 32), ("fp16", 16), ("int8", 8), ("int4", 4))
PUZZLE_TABLE = "puzzle_emb.weights"


@dataclass(frozen=True, slots=True)
class Projection:
    """One precision: bytes of the backbone (all parameters but the puzzle-embedding table) and peak SRAM."""

    precision: str
    bits: int
    backbone: int
    sram: Footprint


def project(tensors: Mapping[str, tuple[tuple[int, ...], Role]], geometry: Geometry) -> tuple[Projection, ...]:
    """Return one projection a precision. Scales are not counted: no file exists yet.

    Args:
        tensors: name -> (shape, role), as a family lists them.
        geometry: of the recursive block.
    """
    parameters = sum(math.prod(shape) for name, (shape, _) in tensors.items() if name != PUZZLE_TABLE)
    return tuple(
        Projection(name, bits, backbone_bytes(parameters, bits), paper_footprint(geometry, bits / 8))
        for name, bits in PRECISIONS
    )
