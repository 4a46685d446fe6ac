"""Counts what the integers and scales of a quantized weight come to, without a copy of them as a whole.

The noise is that of the uniform model: rounding to steps of size s adds a mean square of s**2 / 12 (Bennett 1948;
Widrow and Kollar, Quantization Noise, 2008). On the zoo the ratio of signal to noise that follows meets the measured
one within 1 dB from 10 dB up; below, most values round to zero, and the model foretells more noise than there is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from string import ascii_letters
from typing import TYPE_CHECKING, Any

import numpy as np

from fidelity_gate.records import Grid

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from fidelity_gate.records import QuantizedWeight

_SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)
_CHUNK = 1 << 17  # values looked at at once: their float copies stay in the cache and out of the peak memory
_FEWEST_IN_USE = 4  # integers: with fewer, half of all values lie on the ends by themselves
_ROUNDING = 1 / 12  # mean square of a rounding error, in steps


def decibels(power: float, noise: float) -> float:
    """Return 10 log10(power / noise): infinite without noise, minus infinite without power."""
    if not noise:
        return math.inf
    return 10 * math.log10(power / noise) if power else -math.inf


def grid_of(weight: QuantizedWeight, *, axis: int = 0) -> Grid:
    """Return what a weight's integers and scales come to.

    Args:
        weight: integers of any shape, at least one; `scale` and `zero` broadcast against them.
        axis: of the output channels, where the scales do not tell it.
    """
    cells = _cells(weight, axis)
    seen = _counted(cells)
    extent = np.maximum(seen.high - cells.zero, cells.zero - seen.low)
    shared = weight.scale.size == 1 == weight.zero.size
    varied = np.broadcast_to(seen.high.max() > seen.low.min(), extent.shape) if shared else seen.high > seen.low
    groups = (0,) * extent.ndim if shared else ...  # one cell of each group
    scale = np.where(np.isfinite(cells.scale), cells.scale, 0)  # what is no scale is told of, and adds nothing
    ends, next_to_ends = _ends(cells, seen, varied)
    return Grid(
        bits=weight.bits,
        granularity=weight.granularity,
        values=weight.integers.size,
        groups=1 if shared else extent.size,
        scale_faults=scale_faults(cells.scale[groups], varied[groups]),
        zero_faults=_zero_faults(cells.stored_zero[groups], weight),
        reach=_reach(extent.max() if shared else extent, cells.zero[groups], weight),
        ends=ends,
        next_to_ends=next_to_ends,
        ends_due=int(varied[groups].sum()) * (1 if _is_symmetric(weight) else 2),
        largest=cells.by_channel(extent * np.abs(scale)).max(axis=1),
        power=cells.by_channel(seen.square * scale**2).mean(axis=1) / cells.values,
        noise=cells.by_channel(((extent > 0) | shared) * scale**2).mean(axis=1) * _ROUNDING,
    )


def scale_faults(scale: NDArray[np.float64], varied: NDArray[np.bool_] | None = None) -> Mapping[str, int]:
    """Return what is wrong with scales -> how many have it; nothing where all are positive, finite and normal.

    Args:
        scale: of any shape.
        varied: whether the integers under a scale differ from one another; where they do not, the scale 0 erases
            nothing, and is how some quantizers store a block of zeros. All do where left out.
    """
    size = np.abs(scale)
    faults = {
        "not a number": np.isnan(scale),
        "infinite": np.isinf(scale),
        "zero": (scale == 0) & (True if varied is None else varied),
        "negative": (scale < 0) & np.isfinite(scale),
        "denormal": (size > 0) & (size < _SMALLEST_NORMAL),
    }
    return {fault: int(np.sum(found)) for fault, found in faults.items() if np.any(found)}


@dataclass(frozen=True, slots=True, eq=False)
class _Cells:
    """A weight cut into cells that have one scale, one zero point and one output channel each.

    The integers stay as they lie. What is counted of cells has their shape with a 1 where an axis is counted over.
    """

    codes: NDArray[Any]
    low: int  # smallest and largest integer of the type
    high: int
    over: tuple[int, ...]  # axes that are counted over
    channel: int  # the axis of the output channels
    scale: NDArray[np.float64]  # of the cells' shape, as all that follow
    zero: NDArray[np.float64]  # 0 where the stored one is not finite
    stored_zero: NDArray[np.float64]

    @property
    def values(self) -> int:
        """Return how many values a cell has."""
        return math.prod(self.codes.shape[axis] for axis in self.over)

    def pieces(self) -> Iterator[tuple[slice, NDArray[Any]]]:
        """Yield the integers a few at a time along the first axis, and which cells of that axis they are of."""
        rows = max(1, _CHUNK // max(1, math.prod(self.codes.shape[1:])))
        for first in range(0, len(self.codes), rows):
            yield slice(None) if 0 in self.over else slice(first, first + rows), self.codes[first : first + rows]

    def by_channel(self, counted: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what was counted of cells as (channels, cells of a channel)."""
        return np.moveaxis(counted, self.channel, 0).reshape(counted.shape[self.channel], -1)


def _cells(weight: QuantizedWeight, axis: int) -> _Cells:
    codes = weight.integers.reshape(weight.integers.shape or (1,))
    ones = (1,) * codes.ndim
    scale, zero = (np.broadcast_to(part, np.broadcast_shapes(ones, part.shape)) for part in (weight.scale, weight.zero))
    varied = [place for place in range(codes.ndim) if max(scale.shape[place], zero.shape[place]) > 1]
    channel = axis if axis in varied or not varied else varied[0]
    over = tuple(place for place in range(codes.ndim) if place not in varied and place != channel)
    shape = tuple(1 if place in over else codes.shape[place] for place in range(codes.ndim))
    stored = np.broadcast_to(zero, shape)
    known = np.where(np.isfinite(stored), stored, 0)
    return _Cells(codes, weight.low, weight.high, over, channel, np.broadcast_to(scale, shape), known, stored)


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    low: NDArray[Any]  # smallest integer of every cell
    high: NDArray[Any]  # largest
    square: NDArray[np.float64]  # sum of (integer - zero)**2


def _counted(cells: _Cells) -> _Seen:
    shape = cells.scale.shape
    low = np.full(shape, np.iinfo(cells.codes.dtype).max, dtype=cells.codes.dtype)
    high = np.full(shape, np.iinfo(cells.codes.dtype).min, dtype=cells.codes.dtype)
    square = np.zeros(shape)
    letters = ascii_letters[: len(shape)]
    kept = "".join(letter for place, letter in enumerate(letters) if place not in cells.over)
    for part, codes in cells.pieces():
        np.minimum(low[part], codes.min(axis=cells.over, keepdims=True), out=low[part])
        np.maximum(high[part], codes.max(axis=cells.over, keepdims=True), out=high[part])
        steps = codes.astype(np.float32)
        steps -= cells.zero[part].astype(np.float32)
        square[part] += np.einsum(f"{letters},{letters}->{kept}", steps, steps).reshape(square[part].shape)
    return _Seen(low, high, square)


def _ends(cells: _Cells, seen: _Seen, varied: NDArray[np.bool_]) -> tuple[int, int]:
    """Return how many values lie on the two outermost integers in use, and on the two beside them.

    Cells of one integer are left out, and on the ends what stands for 0: zeros, real or filled up, were not cut off.
    """
    first, last = int(seen.low.min()), int(seen.high.max())
    if last - first < _FEWEST_IN_USE - 1:
        return 0, 0
    ends = sum(_on(cells, end, varied & (cells.zero != end)) for end in (first, last))
    return ends, sum(_on(cells, beside, varied) for beside in (first + 1, last - 1))


def _on(cells: _Cells, integer: int, counts: NDArray[np.bool_]) -> int:
    """Return how many values lie on an integer, in the cells that count."""
    if counts.all():
        return sum(int(np.count_nonzero(codes == integer)) for _, codes in cells.pieces())
    return sum(int(np.count_nonzero((codes == integer) & counts[part])) for part, codes in cells.pieces())


def _reach(
    extent: NDArray[np.float64] | np.float64, zero: NDArray[np.float64] | np.float64, weight: QuantizedWeight
) -> NDArray[np.float64]:
    room = np.maximum(np.abs(weight.high - zero), np.abs(weight.low - zero))
    reach: NDArray[np.float64] = np.atleast_1d(extent / room)
    return reach[reach > 0]


def _zero_faults(zero: NDArray[np.float64], weight: QuantizedWeight) -> int:
    return int(np.sum(~((zero >= weight.low) & (zero <= weight.high))))  # negated, so that NaN is one


def _is_symmetric(weight: QuantizedWeight) -> bool:
    return bool((np.abs(weight.zero - (weight.low + weight.high) / 2) <= 0.5).all())
