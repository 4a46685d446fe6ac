"""Sudoku with exactly one solution, made by a seed: 4x4, 6x6 (2x3 boxes) and 9x9."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fidelity_gate.errors import InputsRefused
from fidelity_gate.inputs.making import make_probes
from fidelity_gate.inputs.seeded import Draws, check_count_and_seed
from fidelity_gate.inputs.sudoku_board import EMPTY, FEWEST_GIVENS, Board
from fidelity_gate.records import Probes

Rows = NDArray[np.int32]

BLANK_TOKEN = 1  # digits follow: token = digit + 1, as in the official data sets; 0 is padding
_BOXES = {4: (2, 2), 6: (2, 3), 9: (3, 3)}
_DEFAULT_GIVENS = {4: 6, 6: 12, 9: 30}
_FAILURES_IN_A_ROW = 500


@dataclass(frozen=True, slots=True)
class Sudoku:
    """Unique-solution sudoku puzzles.

    Tokens are those of the official data sets: 0 padding (never used), 1 blank, 2 .. size + 1 the digits, so a model
    needs a vocabulary of size + 2. Labels are the solved grid; every cell counts.

    Attributes:
        size: 4, 6 or 9 cells a side.
        box_rows: rows of a box; by default 2, 2 and 3.
        box_columns: columns of a box; by default 2, 3 and 3.
        givens: how many cells are given: `12`, or a range `10-12`; by default 6, 12 and 30.
        count: how many puzzles.
        seed: decides every puzzle; the first puzzles of a seed do not depend on `count`.
    """

    size: int = 6
    box_rows: int | None = None
    box_columns: int | None = None
    givens: int | str | None = None
    count: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what no board can be."""
        board = board_of(self.size, self.box_rows, self.box_columns)
        givens_range(board, self.givens)
        check_count_and_seed(self.count, self.seed)

    def probes(self, base: str) -> Probes:
        """Return the puzzles with their solutions; `base` is not used."""
        del base
        board = board_of(self.size, self.box_rows, self.box_columns)
        inputs, labels = generate(self.count, self.size, self.givens, self.seed, board=board)
        low, high = givens_range(board, self.givens)
        kind = f"{self.size}x{self.size} sudoku, {_range_text(low, high)} givens, seed {self.seed}"
        return make_probes(inputs, labels, source=kind, grid=(self.size, self.size), symbols=symbols(self.size))


def generate(
    count: int, size: int, givens: int | str | tuple[int, int] | None, seed: int, *, board: Board | None = None
) -> tuple[Rows, Rows]:
    """Return `count` different puzzles and their solutions, each (count, size * size) tokens.

    Args:
        count: how many.
        size: 4, 6 or 9.
        givens: cells given, exactly or as a range (`(10, 12)` or `10-12`); None for a usual number.
        seed: decides every puzzle, on every machine; the first n do not depend on `count`.
        board: a board with other boxes than the usual ones.

    Raises:
        InputsRefused: no or hardly any such puzzle exists.
    """
    board = board or board_of(size)
    low, high = givens_range(board, givens)
    draws = Draws(seed)
    seen: set[bytes] = set()
    found: list[tuple[bytes, bytes]] = []
    failures = 0
    while len(found) < count:
        solution = board.solved(draws)
        puzzle = board.dug(solution, low + draws.below(high - low + 1), draws)
        row = bytes(puzzle)
        if len(puzzle) - puzzle.count(EMPTY) <= high and row not in seen:
            seen.add(row)
            found.append((row, bytes(solution)))
            failures = 0
            continue
        failures += 1
        if failures == _FAILURES_IN_A_ROW:
            raise InputsRefused(
                f"found {len(found)} of {count} different {size}x{size} sudoku with {high} givens in {failures} tries",
                field="givens",
                hint="allow more givens, or ask for fewer puzzles",
            )
    grids = np.frombuffer(b"".join(puzzle + solution for puzzle, solution in found), np.uint8)
    tokens = grids.reshape(count, 2, size * size).astype(np.int32) + BLANK_TOKEN
    return np.ascontiguousarray(tokens[:, 0]), np.ascontiguousarray(tokens[:, 1])


def board_of(size: int, box_rows: int | None = None, box_columns: int | None = None) -> Board:
    """Return the board of this size; boxes of one number of rows or columns decide the other.

    Raises:
        InputsRefused: boxes do not tile such a board.
    """
    if size not in _BOXES:
        raise InputsRefused(f"no sudoku of size {size}", field="size", hint="4, 6 or 9")
    usual = _BOXES[size]
    if box_rows is None and box_columns is None:
        return Board(size, *usual)
    if min(value for value in (box_rows, box_columns) if value is not None) < 1:
        raise InputsRefused("a box has at least one row and one column", field="box_rows")
    rows = box_rows if box_rows is not None else size // (box_columns or 1)
    columns = box_columns if box_columns is not None else size // rows
    if rows * columns != size:
        raise InputsRefused(
            f"boxes of {rows}x{columns} cells do not hold {size} digits",
            field="box_rows",
            hint=f"box_rows: {usual[0]}, box_columns: {usual[1]}",
        )
    return Board(size, rows, columns)


def givens_range(board: Board, givens: int | str | tuple[int, int] | None) -> tuple[int, int]:
    """Return the fewest and the most givens that are asked for.

    Raises:
        InputsRefused: not a number or a range, or outside what a unique puzzle can have.
    """
    if givens is None:
        givens = _DEFAULT_GIVENS[board.size]
    if isinstance(givens, str):
        ends = givens.split("-")
        if len(ends) > 2 or not all(end.isascii() and end.isdigit() and len(end) <= 3 for end in ends):
            raise InputsRefused(f"'{givens[:40]}' is not a number of cells", field="givens", hint="12, or 10-12")
        givens = (int(ends[0]), int(ends[-1]))
    low, high = (givens, givens) if isinstance(givens, int) else givens
    # Proven only for the usual boxes; any other board has no unique puzzle with fewer than size - 1 givens.
    usual = (board.box_rows, board.box_columns) == _BOXES[board.size]
    least = FEWEST_GIVENS[board.size] if usual else board.size - 1
    if not least <= low <= high <= board.size**2:
        raise InputsRefused(
            f"no {board.size}x{board.size} sudoku with {_range_text(low, high)} givens",
            field="givens",
            hint=f"{least} to {board.size**2}; fewer than {least} never give one solution",
        )
    return low, high


def _range_text(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}-{high}"


def symbols(size: int) -> tuple[str, ...]:
    """Return how the tokens are shown: padding, blank, digits."""
    return tuple("_." + "123456789"[:size])


def digits_of(row: Rows) -> list[int]:
    """Return tokens as digits (0 where blank)."""
    return [int(token) - BLANK_TOKEN for token in row]
