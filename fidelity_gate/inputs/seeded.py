"""Seeded draws that give the same puzzles on every Python, numpy and machine."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Item = TypeVar("Item")


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
