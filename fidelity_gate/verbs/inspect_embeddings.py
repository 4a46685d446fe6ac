"""The part of `inspect` that says what every embedding table costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fidelity_gate.analysis.embeddings import SVD_RANK, EmbeddingTable, embedding_tables, with_cosine
from fidelity_gate.text import printable
from fidelity_gate.units import format_value
from fidelity_gate.verbs.columns import columns
from fidelity_gate.verbs.inspect_file import in_bytes

if TYPE_CHECKING:
    from fidelity_gate.protocols import OpenedModel

CHEAP = 2**20  # values of a table that is decomposed without being asked: some ten milliseconds


def tables_of(opened: OpenedModel, rank: int | None) -> tuple[EmbeddingTable, ...]:
    """Return the tables of a file, with the cosine of the decomposition where that is cheap or was asked for.

    Args:
        opened: the file; only its embedding tables are read.
        rank: as asked for; None: the paper's.
    """
    tables = embedding_tables(opened.facts.tensors, rank or SVD_RANK)
    weights = opened.stored_weights() if tables else None
    if weights is None:
        return tables
    return tuple(
        with_cosine(table, weights.dense(table.name)) if rank or table.rows * table.width <= CHEAP else table
        for table in tables
    )


def table_text(table: EmbeddingTable, *, projected: bool = False) -> str:
    """Return one table for people; `projected`: a configuration's, which has no weights."""
    rows = [
        (f"embedding {printable(table.name)}", f"{table.rows:,} x {table.width:,}"),
        _as_stored(table, projected=projected),
        ("  resident, int8", f"{in_bytes(table.int8_bytes)} (a scale a row, {in_bytes(table.int8_scale_bytes)})"),
        (f"  SVD of rank {table.svd_rank}, float32", in_bytes(table.svd_bytes) + _cosine(table, projected=projected)),
        ("  one row from flash", in_bytes(table.row_bytes)),
    ]
    return columns(rows)


def _as_stored(table: EmbeddingTable, *, projected: bool) -> tuple[str, str]:
    if projected:
        return f"  resident, {table.stored_as}", in_bytes(table.stored_bytes)
    scales = f", scales {in_bytes(table.overhead_bytes)}" if table.overhead_bytes else ""
    tied = f"; tied to {printable(table.tied_to)}, so nothing of its own" if table.tied_to else ""
    return "  resident, as stored", f"{in_bytes(table.stored_bytes)} ({table.stored_as}{scales}{tied})"


def _cosine(table: EmbeddingTable, *, projected: bool) -> str:
    most = min(table.rows, table.width)
    if table.svd_rank >= most:
        return f", larger than the table and without loss: a rank of {most} is all it has"
    larger = ", larger than the table" if table.svd_bytes >= table.stored_bytes else ""
    if table.svd_cosine is None:
        reason = "the table is all zeros" if table.zero_rows else "not computed (say --svd-rank)"
        if projected:
            reason = "not known without the weights"
        return f"{larger}, cosine {reason}"
    zeros = f", {table.zero_rows:,} rows of zeros left out" if table.zero_rows else ""
    mean, lowest = (format_value(value or 0.0, "cosine") for value in (table.svd_cosine, table.svd_lowest))
    return f"{larger}, cosine {mean} a row, lowest {lowest}{zeros}"
