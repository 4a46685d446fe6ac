"""Where buffers lie in one arena: greedily as TensorFlow Lite Micro places them, and better where that leaves gaps.

The buffers are placed one after the other, the largest first (of equals the one made last), each at the lowest gap
among the placed ones that are needed at the same time and into which it fits: `GreedyMemoryPlanner` of TensorFlow Lite
Micro. Sizes are rounded up to 16 bytes, its `MicroArenaBufferAlignment()`.

Where that takes more than the most bytes alive at once, other orders are tried, and every order is revised: what stuck
out of the arena that would do comes earlier in the next round (squeaky-wheel optimization, Joslin and Clements 1999).
The smallest plan is kept. Nothing is random, and the work is limited.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from fidelity_gate.analysis.lifetimes import Lifetime

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

ALIGNMENT = 16  # bytes
CLOSE = 1.01  # of the bytes alive at once: such a plan is not revised any further
MOST_ROUNDS = 40  # of one order
MOST_PLACEMENTS = 30_000  # of buffers, in all rounds together: a third of a second; the first order is always placed

_Key: TypeAlias = Callable[[int, Lifetime], tuple[int, ...]]


def aligned(size: int) -> int:
    """Return `size` rounded up to whole alignments."""
    return -(-size // ALIGNMENT) * ALIGNMENT


def _size(one: Lifetime) -> int:
    return aligned(one.size_bytes)


# Name -> what the buffers are sorted by. The first is TensorFlow Lite Micro's.
FIRST_ORDER = "size"
ORDERS: Mapping[str, _Key] = {
    FIRST_ORDER: lambda place, one: (-_size(one), -place),
    "size, then lifetime": lambda place, one: (-_size(one), one.first - one.last, place),
    "size times lifetime": lambda place, one: (-_size(one) * (one.last - one.first + 1), place),
    "lifetime": lambda place, one: (one.first - one.last, -_size(one), place),
    "first use": lambda place, one: (one.first, -_size(one), place),
    "last use": lambda place, one: (-one.last, -_size(one), place),
}


@dataclass(frozen=True, slots=True)
class Layout:
    """Where every buffer lies: one offset for each, in the buffers' order."""

    offsets: tuple[int, ...]
    arena_bytes: int
    order: str


def best_layout(buffers: Sequence[Lifetime], lower_bound: int) -> Layout:
    """Return the smallest plan that is found; the first order's as soon as it is close to the lower bound.

    Args:
        buffers: what to place.
        lower_bound: the most bytes alive at once.
    """
    plans = _tried(buffers, lower_bound)
    best = next(plans)
    left = MOST_PLACEMENTS // max(1, len(buffers)) - 1
    while best.arena_bytes > CLOSE * lower_bound and left > 0 and (layout := next(plans, None)):
        best = min(best, layout, key=lambda one: one.arena_bytes)
        left -= 1
    return best


def layout_of(buffers: Sequence[Lifetime], order: str = FIRST_ORDER) -> Layout:
    """Place every buffer at the lowest gap that is free for as long as it is needed, in one of the `ORDERS`."""
    return _placed(buffers, _ranked(buffers, order), order)


def alive_bytes(buffers: Sequence[Lifetime], moments: int) -> NDArray[np.int64]:
    """Return the bytes alive at every moment, from before the first node (-1) to after the last: (moments + 2,)."""
    change = np.zeros(moments + 3, dtype=np.int64)
    for one in buffers:
        change[one.first + 1] += _size(one)
        change[one.last + 2] -= _size(one)
    return np.cumsum(change[:-1])


def _tried(buffers: Sequence[Lifetime], lower_bound: int) -> Iterator[Layout]:
    """Yield plan after plan: every order as it is, then every order revised round by round."""
    yield from (layout_of(buffers, order) for order in ORDERS)
    for order in ORDERS:
        ranked = _ranked(buffers, order)
        wish = {place: float(rank) for rank, place in enumerate(ranked)}
        for count in range(1, MOST_ROUNDS + 1):
            layout = _placed(buffers, ranked, f"{order}, revised {count - 1} times")
            for place, offset in enumerate(layout.offsets):
                over = offset + _size(buffers[place]) - lower_bound
                if over > 0:
                    wish[place] -= 1 + len(buffers) * over / (2 * lower_bound)
            if count > 1:
                yield layout
            ranked = sorted(ranked, key=wish.__getitem__)


def _ranked(buffers: Sequence[Lifetime], order: str) -> list[int]:
    return sorted(range(len(buffers)), key=lambda place: ORDERS[order](place, buffers[place]))


def _placed(buffers: Sequence[Lifetime], ranked: Sequence[int], order: str) -> Layout:
    offsets = [0] * len(buffers)
    placed = _Placed(len(buffers))
    for place in ranked:
        offsets[place] = placed.add(buffers[place])
    return Layout(tuple(offsets), placed.end, order)


class _Placed:
    """The buffers placed so far, sorted by offset."""

    def __init__(self, most: int) -> None:
        self._rows = np.empty((4, most), dtype=np.int64)  # offset, end, first, last
        self._count = 0
        self.end = 0

    def add(self, buffer: Lifetime) -> int:
        """Place a buffer and return its offset."""
        size = _size(buffer)
        offset = self._gap(size, buffer)
        rows, count = self._rows, self._count
        place = int(np.searchsorted(rows[0, :count], offset, side="right"))
        rows[:, place + 1 : count + 1] = rows[:, place:count].copy()
        rows[:, place] = offset, offset + size, buffer.first, buffer.last
        self._count += 1
        self.end = max(self.end, offset + size)
        return offset

    def _gap(self, size: int, buffer: Lifetime) -> int:
        offset, end, first, last = self._rows[:, : self._count]
        meets = (first <= buffer.last) & (last >= buffer.first)
        if not meets.any():
            return 0
        free_from = np.concatenate(([0], np.maximum.accumulate(end[meets])))
        fits = offset[meets] - free_from[:-1] >= size
        return int(free_from[fits.argmax()] if fits.any() else free_from[-1])
