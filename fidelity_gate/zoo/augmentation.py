"""Sudoku symmetries, drawn anew for every puzzle of a batch: they keep a puzzle's solution unique."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

FIRST_DIGIT = 2  # tokens below stand for padding and blank


def shuffled_sudoku(
    inputs: NDArray[np.int32], labels: NDArray[np.int32], box: tuple[int, int], draws: np.random.Generator
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return each puzzle under its own random symmetry.

    Digits are relabelled; bands and the rows inside them, stacks and the columns inside them are permuted; where boxes
    are square, half of the puzzles are transposed too.

    Args:
        inputs: (B, n * n) tokens.
        labels: (B, n * n) tokens.
        box: rows and columns of a box; n is their product.
        draws: where chance comes from.
    """
    size, count = box[0] * box[1], len(inputs)
    rows, columns = _lines(count, size, box[0], draws), _lines(count, size, box[1], draws)
    cells = rows[:, :, None] * size + columns[:, None, :]  # (B, n, n): where each cell comes from
    if box[0] == box[1]:
        cells = np.where(draws.random(count)[:, None, None] < 0.5, cells.transpose(0, 2, 1), cells)
    cells = cells.reshape(count, size * size)
    kept = np.tile(np.arange(FIRST_DIGIT), (count, 1))
    digits = draws.random((count, size)).argsort(axis=1) + FIRST_DIGIT
    table = np.concatenate((kept, digits), axis=1).astype(np.int32)  # (B, n + 2): token -> token
    moved = (np.take_along_axis(grid, cells, axis=1) for grid in (inputs, labels))
    first, second = (np.take_along_axis(table, grid, axis=1) for grid in moved)
    return first, second


def revealed(
    inputs: NDArray[np.int32], labels: NDArray[np.int32], share: float, draws: np.random.Generator
) -> NDArray[np.int32]:
    """Return the puzzles with more givens, in a `share` of them: each such puzzle shows its own part of the solution.

    Attention learns which cells constrain each other from nearly full grids, long before it can from sparse ones.
    """
    chosen = draws.random((len(inputs), 1)) < share
    part = draws.random((len(inputs), 1))
    shown = draws.random(inputs.shape) < part
    return np.where(chosen & shown, labels, inputs)


def _lines(count: int, size: int, thick: int, draws: np.random.Generator) -> NDArray[np.int64]:
    """Return `count` orders (B, n) of rows that keep bands of `thick` rows together."""
    bands = draws.random((count, size // thick)).argsort(axis=1)
    inside = draws.random((count, size // thick, thick)).argsort(axis=2)
    return (bands[:, :, None] * thick + inside).reshape(count, size)
