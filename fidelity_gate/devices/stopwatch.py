"""Times a recursion, step by step or puzzle by puzzle; the clock is an argument, so that tests bring their own."""

from __future__ import annotations

import time
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from fidelity_gate.errors import ModelRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fidelity_gate.records import StepState


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to time: `runs` runs after `warmup` more that do not count; one run makes `steps` ACT steps."""

    steps: int
    warmup: int
    runs: int


@dataclass(frozen=True, slots=True)
class Taken:
    """What the clock said, in nanoseconds and in order; steps of a puzzle follow one another."""

    steps: tuple[int, ...] = ()
    puzzles: tuple[int, ...] = ()


def by_puzzle(
    start: Callable[[], Iterable[StepState]], plan: Plan, clock: Callable[[], int] = time.perf_counter_ns
) -> Taken:
    """Time whole puzzles, and every step of them.

    Args:
        start: begins a puzzle; what it returns makes a step each time it is asked.
        plan: how much to time; a run is a puzzle.
        clock: nanoseconds.

    Raises:
        ModelRefused: the model makes other steps than its depth has.
    """
    puzzles = [_puzzle(start, plan.steps, clock) for _ in range(plan.warmup + plan.runs)][plan.warmup :]
    steps = tuple(step for marks in puzzles for step in _between(marks[:-1]))
    return Taken(steps, tuple(marks[-1] - marks[0] for marks in puzzles))


def by_step(
    start: Callable[[], Iterable[StepState]], plan: Plan, clock: Callable[[], int] = time.perf_counter_ns
) -> Taken:
    """Time steps alone, of as many puzzles as it takes; arguments and errors as for `by_puzzle`, a run is a step."""
    wanted = plan.warmup + plan.runs
    taken: list[int] = []
    while len(taken) < wanted:
        here = min(plan.steps, wanted - len(taken))
        marks = [clock(), *(clock() for _ in zip(range(here), start(), strict=False))]
        _refuse_other_depth(len(marks) - 1, here)
        taken += _between(marks)
    return Taken(tuple(taken[plan.warmup :]))


def _puzzle(start: Callable[[], Iterable[StepState]], steps: int, clock: Callable[[], int]) -> list[int]:
    """Return the clock before a puzzle, after every step, and after its end."""
    marks = [clock(), *(clock() for _ in start()), clock()]
    _refuse_other_depth(len(marks) - 2, steps)
    return marks


def _between(marks: list[int]) -> Iterator[int]:
    return (after - before for before, after in pairwise(marks))


def _refuse_other_depth(made: int, steps: int) -> None:
    if made != steps:
        raise ModelRefused(f"makes {made} steps, and its depth has {steps}", hint="correct recursion:")
