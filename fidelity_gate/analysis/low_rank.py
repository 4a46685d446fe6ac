"""How much of a table's rows a truncated singular value decomposition keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

MOST_EXACT = 2048  # of the shorter side: a table with longer sides is decomposed by a randomized method
OVERSAMPLING = 10
POWER_ITERATIONS = 3
_CHUNK = 4096  # rows


def row_cosines(table: NDArray[np.float32], rank: int) -> NDArray[np.float64]:
    """Return the cosine between every row and its reconstruction at `rank`, NaN for rows of zeros.

    The best reconstruction of that rank projects every row on the span of the first right singular vectors, so the
    cosine is the length of the projection over the length of the row. The vectors are the eigenvectors of the Gram
    matrix of the shorter side; where even that is long, they come from randomized subspace iteration with a fixed seed
    (Halko, Martinsson and Tropp, arXiv 0909.4061, algorithm 4.4).

    Args:
        table: (rows, width), finite.
        rank: from 1.

    Returns:
        (rows,)
    """
    largest = float(np.abs(table).max(initial=0.0))
    lengths = np.full(len(table), np.nan)
    if not largest:
        return lengths
    scaled = table / np.float32(largest)  # squares must not overflow
    basis = _basis(scaled, min(rank, *table.shape))
    for start, rows in _chunks(scaled):
        whole = np.linalg.norm(rows.astype(np.float64), axis=1)
        kept = np.linalg.norm((rows @ basis).astype(np.float64), axis=1)
        np.divide(kept, whole, out=lengths[start : start + len(rows)], where=whole > 0)
    cosines: NDArray[np.float64] = np.minimum(lengths, 1.0)
    return cosines


def _basis(table: NDArray[np.float32], rank: int) -> NDArray[np.float32]:
    """Return orthonormal columns that span the first `rank` right singular vectors: (width, rank)."""
    rows, width = table.shape
    if width <= min(rows, MOST_EXACT):
        return _leading(_gram(table), rank).astype(np.float32)
    if rows <= MOST_EXACT:
        left = _leading(_gram(table.T), rank)  # (rows, rank)
        return np.linalg.qr(table.T.astype(np.float64) @ left)[0].astype(np.float32)
    return _randomized(table, rank)


def _gram(table: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return `table.T @ table`, summed over chunks in float64."""
    total = np.zeros((table.shape[1], table.shape[1]))
    for _, rows in _chunks(table):
        total += rows.T @ rows
    return total


def _leading(gram: NDArray[np.float64], rank: int) -> NDArray[np.float64]:
    return np.linalg.eigh(gram)[1][:, -rank:]  # eigenvalues ascend


def _randomized(table: NDArray[np.float32], rank: int) -> NDArray[np.float32]:
    drawn = np.random.default_rng(0).standard_normal((table.shape[1], rank + OVERSAMPLING))
    basis = np.linalg.qr(drawn)[0].astype(np.float32)
    for _ in range(POWER_ITERATIONS):
        product = sum((rows.T @ (rows @ basis) for _, rows in _chunks(table)), np.zeros_like(basis))
        basis = np.linalg.qr(product)[0]
    inner = _gram(table @ basis)
    return basis @ _leading(inner, rank).astype(np.float32)


def _chunks(table: NDArray[np.float32]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield a few thousand rows at a time, and where they start."""
    for start in range(0, len(table), _CHUNK):
        yield start, table[start : start + _CHUNK]
