"""The tasks that zoo models learn: four disjoint sets of rows each, and batches for training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from fidelity_gate.errors import UsageError
from fidelity_gate.inputs import modular_addition, sudoku, sudoku_board
from fidelity_gate.zoo.augmentation import revealed, shuffled_sudoku

if TYPE_CHECKING:
    from fidelity_gate.zoo.recipe import TrainingRecipe

EVALUATION = 500
CALIBRATION = 128
VALIDATION = 250

Rows = tuple[NDArray[np.int32], NDArray[np.int32]]  # inputs and labels, (N, S) each


class Task(Protocol):
    """What a trainer needs of a task."""

    @property
    def vocab_size(self) -> int:
        """Return how many tokens there are."""

    @property
    def sets(self) -> Sets:
        """Return the rows."""

    def batch(self, count: int, draws: np.random.Generator) -> Rows:
        """Return `count` training rows, augmented where the task has symmetries."""

    def units(self) -> NDArray[np.int64] | None:
        """Return (S, U): the units that each token is in, where the task has such; numbered through all kinds."""


@dataclass(frozen=True, slots=True, eq=False)
class Sets:
    """Rows that share nothing with one another."""

    evaluation: Rows
    calibration: Rows
    validation: Rows
    training: Rows

    @property
    def seq_len(self) -> int:
        """Return S."""
        return int(self.training[0].shape[1])


@dataclass(frozen=True, slots=True, eq=False)
class SudokuTask:
    """Unique-solution sudoku; every batch shows training puzzles under new symmetries."""

    sets: Sets
    box: tuple[int, int]
    reveal: float = 0.0

    @property
    def vocab_size(self) -> int:
        """Return padding, blank and the digits."""
        return self.box[0] * self.box[1] + 2

    def batch(self, count: int, draws: np.random.Generator) -> Rows:
        """Return `count` training puzzles."""
        inputs, labels = self.sets.training
        picked = draws.integers(len(inputs), size=count)
        shown = revealed(inputs[picked], labels[picked], self.reveal, draws)
        return shuffled_sudoku(shown, labels[picked], self.box, draws)

    def units(self) -> NDArray[np.int64]:
        """Return (S, 3): row, column and box of every cell."""
        return np.asarray(sudoku_board.Board(self.box[0] * self.box[1], *self.box).units, np.int64)


@dataclass(frozen=True, slots=True, eq=False)
class AdditionTask:
    """Addition modulo p, from half of all pairs."""

    sets: Sets
    modulus: int

    @property
    def vocab_size(self) -> int:
        """Return the numbers and `=`."""
        return self.modulus + 1

    def batch(self, count: int, draws: np.random.Generator) -> Rows:
        """Return `count` training pairs."""
        inputs, labels = self.sets.training
        picked = draws.integers(len(inputs), size=count)
        return inputs[picked], labels[picked]

    def units(self) -> None:
        """Return nothing: three tokens need no help."""


def task_of(recipe: TrainingRecipe) -> SudokuTask | AdditionTask:
    """Return the task of a recipe, its rows generated.

    Raises:
        InputsRefused: no such puzzles exist.
        UsageError: a modulus with too few pairs.
    """
    if recipe.task == "sudoku":
        return _sudoku(recipe)
    train, held_out = modular_addition.split(recipe.size, 0.5, recipe.data_seed)
    if len(held_out) <= EVALUATION + CALIBRATION:
        raise UsageError(f"addition modulo {recipe.size} leaves too few pairs to hold out", field="size", hint="59")
    rows = modular_addition.examples(np.concatenate((held_out, train)), recipe.size)
    return AdditionTask(_cut(rows, len(held_out) - EVALUATION - CALIBRATION), recipe.size)


def _sudoku(recipe: TrainingRecipe) -> SudokuTask:
    """Take all sets from one run of the generator, which never gives a puzzle twice; training comes last."""
    board = sudoku.board_of(recipe.size)
    count = EVALUATION + CALIBRATION + VALIDATION + recipe.pool
    rows = sudoku.generate(count, recipe.size, recipe.givens, recipe.data_seed)
    return SudokuTask(_cut(rows, VALIDATION), (board.box_rows, board.box_columns), recipe.reveal)


def _cut(rows: Rows, validation: int) -> Sets:
    ends = np.cumsum((EVALUATION, CALIBRATION, validation))
    inputs, labels = (np.split(part, ends) for part in rows)
    return Sets(*zip(inputs, labels, strict=True))
