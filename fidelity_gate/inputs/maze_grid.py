"""Walls, breadth-first search, and the number of shortest paths through a maze."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fidelity_gate.inputs.seeded import Draws

_BRANCHING = 0.05  # how often a corridor is left for another: rarely, so that corridors are long and winding


@dataclass(frozen=True)
class Lattice:
    """Cells of a `rows` x `columns` grid, numbered row by row, joined to their four neighbours."""

    rows: int
    columns: int

    @cached_property
    def neighbours(self) -> tuple[tuple[int, ...], ...]:
        """Return every cell's neighbours."""
        return tuple(
            tuple(
                (row + down) * self.columns + column + right
                for down, right in ((-1, 0), (0, -1), (0, 1), (1, 0))
                if 0 <= row + down < self.rows and 0 <= column + right < self.columns
            )
            for row in range(self.rows)
            for column in range(self.columns)
        )

    def carved(self, loops: float, draws: Draws) -> list[bool]:
        """Return which cells are free: a random tree of corridors, then `loops` of the walls that part two of them.

        A wall is opened while it has just one free neighbour, so corridors never meet; the walls opened afterwards make
        them meet, which is what gives a maze more than one way.
        """
        free = [False] * (self.rows * self.columns)
        waiting = [draws.below(len(free))]
        while waiting:
            if draws.chance(_BRANCHING):
                place = draws.below(len(waiting))
                waiting[place], waiting[-1] = waiting[-1], waiting[place]
            cell = waiting.pop()
            if not free[cell] and sum(free[beside] for beside in self.neighbours[cell]) <= 1:
                free[cell] = True
                waiting.extend(draws.shuffled(beside for beside in self.neighbours[cell] if not free[beside]))
        for cell in [cell for cell, is_free in enumerate(free) if not is_free]:
            if draws.chance(loops) and sum(free[beside] for beside in self.neighbours[cell]) >= 2:
                free[cell] = True
        return free

    def distances(self, free: list[bool], start: int) -> tuple[dict[int, int], dict[int, int]]:
        """Return, for every free cell within reach of `start`, its distance and its number of shortest paths."""
        distance, paths = {start: 0}, {start: 1}
        layer = [start]
        while layer:
            following: list[int] = []
            for cell in layer:
                for beside in self.neighbours[cell]:
                    if not free[beside]:
                        continue
                    if beside not in distance:
                        distance[beside], paths[beside] = distance[cell] + 1, 0
                        following.append(beside)
                    if distance[beside] == distance[cell] + 1:
                        paths[beside] += paths[cell]
            layer = following
        return distance, paths

    def path(self, distance: dict[int, int], goal: int) -> list[int]:
        """Return the cells of a shortest path, from the start of `distance` to `goal`."""
        way = [goal]
        while distance[way[-1]]:
            nearer = distance[way[-1]] - 1
            way.append(next(beside for beside in self.neighbours[way[-1]] if distance.get(beside) == nearer))
        return way[::-1]
