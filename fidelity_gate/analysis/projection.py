"""What an architecture would cost at each precision, before any file exists (paper Tables 1, 2 and 15)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fidelity_gate.analysis.footprint import backbone_bytes, embedding_bytes, flash_row_bytes, paper_footprint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fidelity_gate.records import Footprint, Geometry, Role

PRECISIONS = (("fp32", 32), ("fp16", 16), ("int8", 8), ("int4", 4))
PUZZLE_TABLE = "puzzle_emb.weights"
SVD_RANK = 16  # the rank of the paper's Table 1


@dataclass(frozen=True, slots=True)
class Projection:
    """One precision: bytes of the backbone (all parameters but the puzzle-embedding table) and peak SRAM."""

    precision: str
    bits: int
    backbone: int
    sram: Footprint


@dataclass(frozen=True, slots=True)
class EmbeddingProjection:
    """Bytes in SRAM of the puzzle-embedding table under the paper's strategies (Table 1)."""

    rows: int
    width: int
    resident_fp32: int
    resident_int8: int
    svd_rank_16: int
    flash_row: int


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


def project_embedding(tensors: Mapping[str, tuple[tuple[int, ...], Role]]) -> EmbeddingProjection | None:
    """Return what the puzzle-embedding table costs, or None for an architecture without one."""
    if PUZZLE_TABLE not in tensors:
        return None
    rows, width = tensors[PUZZLE_TABLE][0]
    return EmbeddingProjection(
        rows=rows,
        width=width,
        resident_fp32=embedding_bytes(rows, width),
        resident_int8=embedding_bytes(rows, width, bytes_per_value=1),
        svd_rank_16=embedding_bytes(rows, width, rank=SVD_RANK),
        flash_row=flash_row_bytes(width),
    )
