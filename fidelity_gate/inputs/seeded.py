"""Seeded draws that give the same puzzles on every Python, numpy and machine."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, TypeVar

from fidelity_gate.errors import InputsRefused

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Item = TypeVar("Item")

MOST_PUZZLES = 1_000_000


def check_count_and_seed(count: int, seed: int) -> None:
    """Refuse numbers of puzzles that never end, and seeds that would silently be another seed.

    Raises:
        InputsRefused: a count below 1 or above a million; a negative seed (Python takes its absolute value).
    """
    if not 1 <= count <= MOST_PUZZLES:
        raise InputsRefused("must be at least 1, at most a million", field="count")
    if seed < 0:
        raise InputsRefused("must not be negative", field="seed")


class Draws:
    """A stream of draws that `seed` decides alone.

    Only `random.Random.random` is used: Python promises its sequence for a given seed, and neither numpy's generators
    nor the other methods of `random` come with such a promise. A shipped evaluation set must not change with a library.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed).random  # noqa: S311  (puzzles, not secrets)

    def below(self, limit: int) -> int:
        """Return a whole number of 0 .. limit - 1."""
        return int(self._random() * limit)

    def chance(self, share: float) -> bool:
        """Return true in `share` of all calls."""
        return self._random() < share

    def choice(self, items: Sequence[Item]) -> Item:
        """Return one of `items`."""
        return items[self.below(len(items))]

    def shuffled(self, items: Iterable[Item]) -> list[Item]:
        """Return `items` in a random order (Fisher-Yates)."""
        order = list(items)
        for last in range(len(order) - 1, 0, -1):
            other = self.below(last + 1)
            order[last], order[other] = order[other], order[last]
        return order
