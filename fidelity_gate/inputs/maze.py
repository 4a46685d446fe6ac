"""Mazes with exactly one shortest path, made by a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fidelity_gate.errors import InputsRefused
from fidelity_gate.inputs.making import make_probes
from fidelity_gate.inputs.maze_grid import Lattice
from fidelity_gate.inputs.seeded import Draws, check_count_and_seed
from fidelity_gate.records import Probes

Rows = NDArray[np.int32]

WALL, FREE, START, GOAL, PATH = 1, 2, 3, 4, 5  # 0 is padding: the tokens of Maze-Hard
SYMBOLS = tuple("_# SGo")  # the characters of that data set
_SIDES = (3, 64)
_FAILURES_IN_A_ROW = 500


@dataclass(frozen=True, slots=True)
class Maze:
    """Mazes with exactly one shortest path from start to goal.

    Tokens are those of the Maze-Hard data set: 0 padding (never used), 1 wall, 2 free, 3 start, 4 goal, 5 path, so a
    model needs a vocabulary of 6. Labels are the maze with the path marked; every cell counts. Copying the input gives
    most cells right: look at changed cells and exact mazes.

    Attributes:
        rows: 3 to 64.
        columns: 3 to 64.
        loops: the share of walls between two corridors that are opened, so that there is more than one way; 0 for none.
        shortest: the fewest steps from start to goal; by default rows + columns, at most a quarter of all cells.
        count: how many mazes.
        seed: decides every maze; the first mazes of a seed do not depend on `count`.
    """

    rows: int = 10
    columns: int = 10
    loops: float = 0.05
    shortest: int | None = None
    count: int = 500
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what no maze can be."""
        for field, side in (("rows", self.rows), ("columns", self.columns)):
            if not _SIDES[0] <= side <= _SIDES[1]:
                raise InputsRefused(f"{side} is not a size of a maze", field=field, hint="3 to 64")
        if not 0 <= self.loops <= 1:
            raise InputsRefused("not a share", field="loops", hint="0 to 1")
        if self.shortest is not None and not 2 <= self.shortest < self.rows * self.columns:
            raise InputsRefused(f"no path of {self.shortest} steps fits", field="shortest", hint="2 or more")
        check_count_and_seed(self.count, self.seed)

    def probes(self, base: str) -> Probes:
        """Return the mazes with their paths; `base` is not used."""
        del base
        inputs, labels = generate(self)
        source = f"{self.rows}x{self.columns} mazes, seed {self.seed}"
        return make_probes(inputs, labels, source=source, grid=(self.rows, self.columns), symbols=SYMBOLS)


def generate(maze: Maze) -> tuple[Rows, Rows]:
    """Return `maze.count` different mazes and the same with their paths, each (count, rows * columns) tokens.

    Raises:
        InputsRefused: hardly any such maze exists.
    """
    lattice, draws = Lattice(maze.rows, maze.columns), Draws(maze.seed)
    shortest = maze.shortest or min(maze.rows + maze.columns, maze.rows * maze.columns // 4)
    seen: set[bytes] = set()
    found: list[tuple[bytes, bytes]] = []
    failures = 0
    while len(found) < maze.count:
        made = _one(lattice, maze.loops, shortest, draws)
        if made and made[0] not in seen:
            seen.add(made[0])
            found.append(made)
            failures = 0
            continue
        failures += 1
        if failures == _FAILURES_IN_A_ROW:
            raise InputsRefused(
                f"found {len(found)} of {maze.count} different mazes with a path of {shortest} steps",
                field="shortest",
                hint="ask for shorter paths, larger mazes or fewer of them",
            )
    tokens = np.frombuffer(b"".join(plain + solved for plain, solved in found), np.uint8).astype(np.int32)
    tokens = tokens.reshape(maze.count, 2, maze.rows * maze.columns)
    return np.ascontiguousarray(tokens[:, 0]), np.ascontiguousarray(tokens[:, 1])


def _one(lattice: Lattice, loops: float, shortest: int, draws: Draws) -> tuple[bytes, bytes] | None:
    """Return a maze and its solution, or None where the one carved has no path that is long and single."""
    free = lattice.carved(loops, draws)
    start = draws.choice([cell for cell, is_free in enumerate(free) if is_free])
    distance, paths = lattice.distances(free, start)
    goals = [cell for cell in sorted(distance) if distance[cell] >= shortest and paths[cell] == 1]
    if not goals:
        return None
    goal = draws.choice(goals)
    plain = bytearray(FREE if is_free else WALL for is_free in free)
    plain[start], plain[goal] = START, GOAL
    solved = bytearray(plain)
    for cell in lattice.path(distance, goal)[1:-1]:
        solved[cell] = PATH
    return bytes(plain), bytes(solved)
