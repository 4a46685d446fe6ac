"""Sudoku on a bitmask board: solving, counting solutions, and digging puzzles out of solved grids."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fidelity_gate.inputs.seeded import Draws

EMPTY = 0
# Fewest givens of any unique puzzle, proven by exhaustive search (4x4, 6x6 with 2x3 boxes, 9x9).
FEWEST_GIVENS = {4: 4, 6: 8, 9: 17}


@dataclass(frozen=True)
class Board:
    """A board of `size` x `size` cells with boxes of `box_rows` x `box_columns`; cells are numbered row by row.

    A grid is a list of digits 1 .. size, `EMPTY` where there is none.
    """

    size: int
    box_rows: int
    box_columns: int

    @cached_property
    def units(self) -> tuple[tuple[int, int, int], ...]:
        """Return the row, column and box of every cell, numbered through all three kinds."""
        size, across = self.size, self.size // self.box_columns
        return tuple(
            (row, size + column, 2 * size + row // self.box_rows * across + column // self.box_columns)
            for row in range(size)
            for column in range(size)
        )

    def used(self, grid: Sequence[int]) -> list[int] | None:
        """Return a bitmask of the digits in every unit, or None where a digit stands twice in one."""
        masks = [0] * (3 * self.size)
        for cell, digit in enumerate(grid):
            if digit == EMPTY:
                continue
            bit = 1 << digit
            for unit in self.units[cell]:
                if masks[unit] & bit:
                    return None
                masks[unit] |= bit
        return masks

    def count_solutions(self, grid: Sequence[int], limit: int = 2) -> int:
        """Return the number of solutions, counted up to `limit`."""
        masks = self.used(grid)
        if masks is None:
            return 0
        return _Search(self, list(grid), masks).count(limit)

    def is_solution(self, grid: Sequence[int], puzzle: Sequence[int]) -> bool:
        """Return whether `grid` is complete, breaks no rule and keeps every given of `puzzle`."""
        complete = len(grid) == self.size**2 and all(1 <= digit <= self.size for digit in grid)
        kept = len(grid) == len(puzzle) and all(
            given in (EMPTY, digit) for given, digit in zip(puzzle, grid, strict=True)
        )
        return complete and kept and self.used(grid) is not None

    def solved(self, draws: Draws) -> list[int]:
        """Return a random solved grid."""
        grid = draws.shuffled(range(1, self.size + 1)) + [EMPTY] * (self.size * (self.size - 1))
        masks = self.used(grid)
        search = _Search(self, grid, masks or [])
        search.fill(draws)
        return search.grid

    def dug(self, solution: Sequence[int], fewest: int, draws: Draws) -> list[int]:
        """Return a unique puzzle with `fewest` givens, or with more where no further one can go.

        Cells are tried in random order; one is emptied if no other digit could then stand there. A cell that could not
        go can never go later (fewer givens allow only more solutions), so one pass is enough.
        """
        grid = list(solution)
        masks = self.used(grid) or []
        left = len(grid)
        for cell in draws.shuffled(range(len(grid))):
            if left == fewest:
                break
            left -= self._emptied(grid, masks, cell)
        return grid

    def _emptied(self, grid: list[int], masks: list[int], cell: int) -> bool:
        """Empty `cell` unless another digit could stand there; return whether it was emptied."""
        digit, mine = grid[cell], self.units[cell]
        grid[cell] = EMPTY
        for unit in mine:
            masks[unit] &= ~(1 << digit)
        allowed = ~(masks[mine[0]] | masks[mine[1]] | masks[mine[2]])
        for other in range(1, self.size + 1):
            if other == digit or not allowed & (1 << other):
                continue
            if self._solvable_with(grid, masks, cell, other):
                grid[cell] = digit
                for unit in mine:
                    masks[unit] |= 1 << digit
                return False
        return True

    def _solvable_with(self, grid: list[int], masks: list[int], cell: int, digit: int) -> bool:
        trial = list(grid)
        trial[cell] = digit
        trial_masks = list(masks)
        for unit in self.units[cell]:
            trial_masks[unit] |= 1 << digit
        return _Search(self, trial, trial_masks).count(1) == 1


class _Search:
    """Depth-first search that always branches on the cell with the fewest candidates."""

    def __init__(self, board: Board, grid: list[int], masks: list[int]) -> None:
        self.grid = grid
        self.masks = masks
        self.units = board.units
        self.full = (1 << (board.size + 1)) - 2
        self.empty = [cell for cell, digit in enumerate(grid) if digit == EMPTY]

    def count(self, limit: int) -> int:
        """Return the number of solutions, counted up to `limit`."""
        if not self.empty:
            return 1
        place, candidates = self._narrowest()
        found = 0
        cell = self._take(place)
        while candidates and found < limit:
            bit = candidates & -candidates
            candidates ^= bit
            self._flip(cell, bit)
            found += self.count(limit - found)
            self._flip(cell, bit)
        self._put_back(place, cell)
        return found

    def fill(self, draws: Draws) -> bool:
        """Complete the grid at random; return whether that was possible."""
        if not self.empty:
            return True
        place, candidates = self._narrowest()
        cell = self._take(place)
        for digit in draws.shuffled(digit for digit in range(self.full.bit_length()) if candidates >> digit & 1):
            self._flip(cell, 1 << digit)
            self.grid[cell] = digit
            if self.fill(draws):
                return True
            self._flip(cell, 1 << digit)
        self.grid[cell] = EMPTY
        self._put_back(place, cell)
        return False

    def _narrowest(self) -> tuple[int, int]:
        """Return the place (in `self.empty`) with the fewest candidates, and these as a bitmask."""
        masks, units, full = self.masks, self.units, self.full
        best, best_candidates, fewest = 0, 0, full
        for place, cell in enumerate(self.empty):
            row, column, box = units[cell]
            candidates = full & ~(masks[row] | masks[column] | masks[box])
            number = candidates.bit_count()
            if number < fewest:
                best, best_candidates, fewest = place, candidates, number
                if number <= 1:
                    break
        return best, best_candidates

    def _take(self, place: int) -> int:
        empty = self.empty
        empty[place], empty[-1] = empty[-1], empty[place]
        return empty.pop()

    def _put_back(self, place: int, cell: int) -> None:
        empty = self.empty
        empty.append(cell)
        empty[place], empty[-1] = empty[-1], empty[place]

    def _flip(self, cell: int, bit: int) -> None:
        masks = self.masks
        row, column, box = self.units[cell]
        masks[row] ^= bit
        masks[column] ^= bit
        masks[box] ^= bit
