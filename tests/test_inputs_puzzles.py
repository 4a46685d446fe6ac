"""Seeded puzzles: each has one answer, and the seed alone decides which they are."""

from __future__ import annotations

from collections import deque

import numpy as np
import pytest

from fidelity_gate.errors import InputsRefused
from fidelity_gate.inputs import maze, modular_addition, sudoku
from fidelity_gate.inputs.checking import check_probes
from fidelity_gate.inputs.maze import Maze
from fidelity_gate.inputs.modular_addition import ModularAddition
from fidelity_gate.inputs.seeded import Draws
from fidelity_gate.inputs.sudoku import Sudoku

# ---------------------------------------------------------------- sudoku


def solutions_by_brute_force(grid: list[int], size: int, box_rows: int, box_columns: int, limit: int = 2) -> int:
    """Count solutions cell by cell, with none of the solver's ideas."""
    if 0 not in grid:
        return 1
    cell = grid.index(0)
    row, column = divmod(cell, size)
    top, left = row // box_rows * box_rows, column // box_columns * box_columns
    box = {grid[(top + down) * size + left + right] for down in range(box_rows) for right in range(box_columns)}
    taken = set(grid[row * size : (row + 1) * size]) | set(grid[column::size]) | box
    found = 0
    for digit in sorted(set(range(1, size + 1)) - taken):
        filled = [*grid[:cell], digit, *grid[cell + 1 :]]
        found += solutions_by_brute_force(filled, size, box_rows, box_columns, limit - found)
        if found >= limit:
            break
    return found


@pytest.mark.parametrize(
    ("plug", "box"),
    [
        (Sudoku(size=4, givens="4-6", count=60), (2, 2)),
        (Sudoku(size=6, givens="9-12", count=60), (2, 3)),
        (Sudoku(size=6, box_rows=3, givens=12, count=20), (3, 2)),
        (Sudoku(size=9, givens=32, count=3), (3, 3)),
    ],
)
def test_every_sudoku_has_exactly_one_solution_which_is_its_label(plug: Sudoku, box: tuple[int, int]) -> None:
    probes = plug.probes("")
    board = sudoku.board_of(plug.size, *box)
    assert probes.labels is not None
    for puzzle, solution in zip(probes.inputs, probes.labels, strict=True):
        assert solutions_by_brute_force(sudoku.digits_of(puzzle), plug.size, *box) == 1
        assert board.is_solution(sudoku.digits_of(solution), sudoku.digits_of(puzzle))


@pytest.mark.parametrize(("size", "givens"), [(4, 5), (6, 10), (9, 30)])
def test_sudoku_tokens_are_those_of_the_official_data_sets(size: int, givens: int) -> None:
    probes = Sudoku(size=size, givens=givens, count=8).probes("")
    assert probes.labels is not None
    assert probes.inputs.shape == probes.labels.shape == (8, size * size)
    assert probes.inputs.dtype == probes.labels.dtype == np.int32
    assert probes.grid == (size, size)
    assert ((probes.inputs != sudoku.BLANK_TOKEN).sum(axis=1) == givens).all()
    assert set(np.unique(probes.inputs)) <= set(range(1, size + 2))
    assert set(np.unique(probes.labels)) == set(range(2, size + 2))
    check_probes(probes, vocab=size + 2, seq_len=size * size, minimum=8)


def test_a_range_of_givens_is_kept() -> None:
    given = (Sudoku(givens="10-12", count=200).probes("").inputs != sudoku.BLANK_TOKEN).sum(axis=1)
    assert set(given) == {10, 11, 12}


@pytest.mark.parametrize(
    ("make", "digest"),
    [
        (Sudoku(count=50, seed=7), "103fba2ecf56d1d1"),
        (Sudoku(size=9, count=5, seed=7), "dc4b03293d5a8680"),
        (Maze(count=20, seed=7), "121b709a0a9e4622"),
        (ModularAddition(seed=7), "32a393a765da1b83"),
    ],
)
def test_the_puzzles_of_a_seed_never_change(make: Sudoku | Maze | ModularAddition, digest: str) -> None:
    assert make.probes("").digest[:16] == digest


@pytest.mark.parametrize("kind", [Sudoku, Maze])
def test_the_first_puzzles_do_not_depend_on_how_many_are_made(kind: type[Sudoku | Maze]) -> None:
    few, many = kind(count=10, seed=3).probes(""), kind(count=25, seed=3).probes("")
    assert np.array_equal(few.inputs, many.inputs[:10])
    assert not np.array_equal(few.inputs, kind(count=10, seed=4).probes("").inputs)


def test_all_sudoku_are_different_even_when_hardly_any_are_left() -> None:
    inputs, _ = sudoku.generate(250, 4, 16, seed=0)  # 288 solved grids of 4x4 exist
    assert len(np.unique(inputs, axis=0)) == 250


def test_a_grid_that_breaks_a_rule_is_no_solution() -> None:
    board = sudoku.board_of(4)
    good = [1, 2, 3, 4, 3, 4, 1, 2, 2, 1, 4, 3, 4, 3, 2, 1]
    blank = [0] * 16
    assert board.is_solution(good, blank)
    assert not board.is_solution([*good[:-1], 2], blank)  # a digit twice in a row
    assert not board.is_solution([*good[:-1], 0], blank)  # not complete
    assert not board.is_solution([*good[:-1], 5], blank)  # no such digit
    assert not board.is_solution(good, [2, *blank[1:]])  # another given
    assert not board.is_solution(good[:-1], blank)


def test_solutions_are_counted_as_brute_force_counts_them() -> None:
    board = sudoku.board_of(4)
    inputs, _ = sudoku.generate(30, 4, 5, seed=2)
    for row in inputs:
        puzzle = sudoku.digits_of(row)
        first = next(cell for cell, digit in enumerate(puzzle) if digit)
        puzzle[first] = 0
        assert board.count_solutions(puzzle, 1000) == solutions_by_brute_force(puzzle, 4, 2, 2, 1000)
    assert board.count_solutions([1, 1, *[0] * 14]) == 0
    assert board.count_solutions([0] * 16, 1000) == 288


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 5}, r"size: no sudoku of size 5 \(4, 6 or 9\)"),
        ({"size": 4, "box_rows": 2, "box_columns": 3}, "boxes of 2x3 cells do not hold 4 digits"),
        ({"box_rows": 0}, "at least one row"),
        ({"box_rows": 4}, "do not hold 6 digits"),
        ({"givens": 7}, "8 to 36"),
        ({"givens": 37}, "8 to 36"),
        ({"givens": "12-10"}, "12-10 givens"),
        ({"givens": "ten"}, "'ten' is not a number of cells"),
        ({"givens": "1-2-3"}, "not a number of cells"),
        ({"givens": "٣"}, "not a number of cells"),
        ({"size": 9, "givens": 16}, "17 to 81"),
        ({"count": 0}, "count: must be at least 1"),
    ],
)
def test_a_sudoku_nobody_can_make_is_refused_at_once(options: dict[str, int], message: str) -> None:
    with pytest.raises(InputsRefused, match=message):
        Sudoku(**options)


def test_more_puzzles_than_there_are_is_refused_and_not_waited_for() -> None:
    with pytest.raises(InputsRefused, match="found 288 of 289 different 4x4 sudoku with 16 givens"):
        sudoku.generate(289, 4, 16, seed=0)


# ---------------------------------------------------------------- mazes


def shortest_paths(grid: np.ndarray) -> tuple[int, int]:
    """Return the length of the shortest path from start to goal, and how many such paths there are."""
    start, goal = (tuple(np.argwhere(grid == token)[0]) for token in (maze.START, maze.GOAL))
    length, count = {start: 0}, {start: 1}
    queue = deque([start])
    while queue:
        row, column = queue.popleft()
        for down, right in ((0, 1), (1, 0), (0, -1), (-1, 0)):
            there = (row + down, column + right)
            inside = 0 <= there[0] < grid.shape[0] and 0 <= there[1] < grid.shape[1]
            if not inside or grid[there] == maze.WALL:
                continue
            if there not in length:
                length[there], count[there] = length[row, column] + 1, 0
                queue.append(there)
            if length[there] == length[row, column] + 1:
                count[there] += count[row, column]
    return length[goal], count[goal]


@pytest.mark.parametrize(
    "plug",
    [
        Maze(count=40),
        Maze(rows=6, columns=9, count=40, loops=0.2),
        Maze(rows=3, columns=3, count=10),
        Maze(rows=8, columns=8, count=20, loops=0.0),
        Maze(rows=30, columns=30, count=2, shortest=60),
    ],
)
def test_every_maze_has_one_shortest_path_and_the_label_marks_it(plug: Maze) -> None:
    probes = plug.probes("")
    assert probes.labels is not None
    for plain, solved in zip(probes.inputs, probes.labels, strict=True):
        grid, answer = plain.reshape(plug.rows, plug.columns), solved.reshape(plug.rows, plug.columns)
        length, count = shortest_paths(grid)
        assert count == 1
        assert length >= (plug.shortest or 2)
        assert (answer == maze.PATH).sum() == length - 1
        changed = grid != answer
        assert (grid[changed] == maze.FREE).all()
        assert (answer[changed] == maze.PATH).all()
        only_path = np.where(np.isin(answer, (maze.PATH, maze.START, maze.GOAL)), answer, maze.WALL)
        assert shortest_paths(only_path) == (length, 1)


def test_mazes_with_loops_have_more_ways_than_one() -> None:
    """Without loops the free cells are a tree: one edge fewer than cells; with loops there are more edges."""

    def edges_beyond_a_tree(loops: float) -> int:
        free = maze.Maze(count=1, rows=12, columns=12, loops=loops).probes("").inputs[0].reshape(12, 12) != maze.WALL
        edges = (free[1:] & free[:-1]).sum() + (free[:, 1:] & free[:, :-1]).sum()
        return int(edges - (free.sum() - 1))

    assert edges_beyond_a_tree(0.0) == 0
    assert edges_beyond_a_tree(0.2) > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": 2}, r"rows: 2 is not a size of a maze \(3 to 64\)"),
        ({"columns": 65}, "columns: 65"),
        ({"loops": 1.5}, "loops: not a share"),
        ({"loops": float("nan")}, "loops: not a share"),
        ({"shortest": 1}, "shortest: no path of 1 steps fits"),
        ({"shortest": 100}, "no path of 100 steps fits"),
        ({"count": 0}, "count"),
    ],
)
def test_a_maze_nobody_can_make_is_refused_at_once(options: dict[str, int], message: str) -> None:
    with pytest.raises(InputsRefused, match=message):
        Maze(**options)


@pytest.mark.parametrize(("rows", "columns"), [(3, 3), (3, 4), (5, 5), (7, 20), (3, 64), (64, 3)])
def test_mazes_of_every_shape_have_a_usual_length(rows: int, columns: int) -> None:
    probes = Maze(rows=rows, columns=columns, count=10).probes("")
    check_probes(probes, vocab=6, seq_len=rows * columns, minimum=10)
    assert probes.labels is not None
    assert (probes.labels == maze.PATH).sum(axis=1).min() >= min(rows + columns, rows * columns // 4) - 1


def test_mazes_with_paths_too_long_for_them_are_refused_and_not_waited_for() -> None:
    with pytest.raises(InputsRefused, match="found 0 of 5 different mazes with a path of 20 steps"):
        Maze(rows=5, columns=5, shortest=20, count=5).probes("")


# ---------------------------------------------------------------- modular addition


def test_a_sum_is_asked_for_at_the_last_token_alone() -> None:
    probes = ModularAddition(modulus=59).probes("")
    assert probes.labels is not None
    assert probes.inputs.shape == probes.labels.shape == (1741, 3)
    assert (probes.inputs[:, 2] == 59).all()
    assert (probes.labels[:, :2] == probes.ignore_label).all()
    assert np.array_equal(probes.labels[:, 2], (probes.inputs[:, 0] + probes.inputs[:, 1]) % 59)
    assert probes.grid is None
    check_probes(probes, vocab=60, seq_len=3, minimum=1741)


@pytest.mark.parametrize(("modulus", "share"), [(2, 0.5), (7, 0.3), (59, 0.5)])
def test_training_and_held_out_pairs_are_all_pairs_each_once(modulus: int, share: float) -> None:
    train, held_out = modular_addition.split(modulus, share, seed=5)
    together = np.concatenate([train, held_out])
    assert len(train) == int(share * modulus**2)
    assert len(np.unique(together, axis=0)) == len(together) == modulus**2


def test_parts_can_be_cut_into_disjoint_sets() -> None:
    first = ModularAddition(count=128, part="train", seed=1).probes("")
    second = ModularAddition(count=128, skip=128, part="train", seed=1).probes("")
    assert not {bytes(row) for row in first.inputs} & {bytes(row) for row in second.inputs}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modulus": 1}, r"modulus: 1 is not a modulus this task takes \(2 to 1000\)"),
        ({"modulus": 1001}, "modulus"),
        ({"share": 0.0}, "share: 0.0 of 3481 pairs leaves a part empty"),
        ({"share": 1.0}, "leaves a part empty"),
        ({"count": 1742}, "the held-out part has 1741 pairs, 0 skipped and 1742 wanted"),
        ({"count": 0}, "must be at least 1"),
        ({"skip": -1}, "-1 skipped"),
        ({"skip": 1741}, "1741 skipped"),
    ],
)
def test_a_part_that_does_not_exist_is_refused_at_once(options: dict[str, int], message: str) -> None:
    with pytest.raises(InputsRefused, match=message):
        ModularAddition(**options)


# ---------------------------------------------------------------- draws


@pytest.mark.parametrize("kind", [Sudoku, Maze, ModularAddition])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 10**12}, "count: must be at least 1, at most a million"),
        ({"seed": -1}, "seed: must not be negative"),  # random.Random(-1) is random.Random(1)
    ],
)
def test_counts_that_never_end_and_seeds_that_are_others_are_refused(
    kind: type[Sudoku | Maze | ModularAddition], options: dict[str, int], message: str
) -> None:
    with pytest.raises(InputsRefused, match=message):
        kind(**options)


def test_draws_are_even_and_orders_are_all_possible() -> None:
    draws = Draws(0)
    counts = np.bincount([draws.below(6) for _ in range(6000)], minlength=6)
    assert counts.min() > 850
    orders = {tuple(draws.shuffled("abc")) for _ in range(200)}
    assert len(orders) == 6
    assert {draws.below(5) for _ in range(200)} == {draws.choice(range(5)) for _ in range(200)} == set(range(5))
