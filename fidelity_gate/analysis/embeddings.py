"""What an embedding table costs in memory: resident, quantized, factored, or streamed from flash a row at a time.

Source: the paper's section 4.1 and Table 1, for the puzzle embedding. Unlike the paper's figures, scales are counted.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fidelity_gate.analysis.footprint import FLOAT32_BYTES, embedding_bytes
from fidelity_gate.analysis.low_rank import row_cosines
from fidelity_gate.records import Role

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from fidelity_gate.records import TensorFact

SVD_RANK = 16  # of the paper's Table 1


@dataclass(frozen=True, slots=True)
class EmbeddingTable:
    """One table, and the bytes it takes in SRAM by strategy."""

    name: str
    rows: int
    width: int
    stored_as: str
    stored_bytes: int  # resident as it is, scales and zero points included
    overhead_bytes: int  # of those, scales and zero points
    float32_bytes: int  # resident in float32
    int8_bytes: int  # resident in INT8 with a float32 scale a row
    int8_scale_bytes: int  # of those, the scales
    row_bytes: int  # one row as stored, with its share of the scales: the rest stays in flash
    svd_rank: int
    svd_bytes: int  # the two factors in float32
    svd_cosine: float | None = None  # mean over the rows between the table and its reconstruction; None: not computed
    svd_lowest: float | None = None  # of the row that loses most
    zero_rows: int | None = None  # they have no direction, so they are in neither figure
    tied_to: str = ""  # the tensor that has the same bytes: resident anyway where that one is

    @property
    def bits(self) -> float:
        """Return the stored bits of one value, scales and zero points included."""
        return 8 * self.stored_bytes / (self.rows * self.width)


def embedding_tables(tensors: tuple[TensorFact, ...], rank: int = SVD_RANK) -> tuple[EmbeddingTable, ...]:
    """Return what every embedding table of a file costs; nothing is read for it."""
    return tuple(
        _table(tensor, rank) for tensor in tensors if tensor.role is Role.EMBEDDING and _is_table(tensor.shape)
    )


def projected_tables(
    tensors: Mapping[str, tuple[tuple[int, ...], Role]], rank: int = SVD_RANK
) -> tuple[EmbeddingTable, ...]:
    """Return what the embedding tables of an architecture would cost, stored in float32.

    Args:
        tensors: name -> (shape, role), as a family lists them.
        rank: of the decomposition.
    """
    return tuple(
        _costs(name, (shape[0], shape[1]), rank, "float32", (FLOAT32_BYTES * math.prod(shape), 0))
        for name, (shape, role) in sorted(tensors.items())
        if role is Role.EMBEDDING and _is_table(shape)
    )


def with_cosine(table: EmbeddingTable, values: NDArray[np.float32]) -> EmbeddingTable:
    """Return the table with what the decomposition costs on its real values.

    Args:
        table: as `embedding_tables` describes it.
        values: (rows, width)
    """
    cosines = row_cosines(values, table.svd_rank)
    told = cosines[np.isfinite(cosines)]
    return replace(
        table,
        svd_cosine=float(told.mean()) if told.size else None,
        svd_lowest=float(told.min()) if told.size else None,
        zero_rows=len(cosines) - told.size,
    )


def _is_table(shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 and math.prod(shape) > 0


def _table(tensor: TensorFact, rank: int) -> EmbeddingTable:
    rows, width = tensor.shape
    stored = math.ceil(tensor.values * tensor.bits / 8) if tensor.tied_to else tensor.stored_bytes
    costs = _costs(tensor.name, (rows, width), rank, tensor.stored_as, (stored, tensor.overhead_bytes))
    return replace(costs, tied_to=tensor.tied_to)


def _costs(name: str, shape: tuple[int, int], rank: int, stored_as: str, stored: tuple[int, int]) -> EmbeddingTable:
    rows, width = shape
    scales = rows * FLOAT32_BYTES
    return EmbeddingTable(
        name=name,
        rows=rows,
        width=width,
        stored_as=stored_as,
        stored_bytes=stored[0],
        overhead_bytes=stored[1],
        float32_bytes=embedding_bytes(rows, width),
        int8_bytes=embedding_bytes(rows, width, bytes_per_value=1) + scales,
        int8_scale_bytes=scales,
        row_bytes=math.ceil(stored[0] / rows),
        svd_rank=rank,
        svd_bytes=embedding_bytes(rows, width, rank=rank),
    )
