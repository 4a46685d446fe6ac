"""Counts what the integers and scales of a quantized weight come to, in one pass over the integers.

The noise is that of the uniform model: rounding to steps of size s adds a mean square of s**2 / 12 (Bennett 1948;
Widrow and Kollar, Quantization Noise, 2008). On the zoo the ratio of signal to noise that follows meets the measured
one within 1 dB from 10 dB up; below, most values round to zero, and the model foretells more noise than there is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fidelity_gate.records import Grid

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from fidelity_gate.records import QuantizedWeight

_SMALLEST_NORMAL = float(np.finfo(np.float32).tiny)
_CHUNK = 1 << 17  # values looked at at once: their float copies stay in the cache and out of the peak memory
_MOST_LEVELS = 1 << 8  # wider integers have ends too rare to tell anything
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
    blocks = _blocks(weight, axis)
    counted = [_count(codes, zero, weight) for codes, zero in blocks.pieces()]
    square, low, high = (
        np.concatenate([getattr(piece, part) for piece in counted]) for part in ("square", "low", "high")
    )
    extent = np.maximum(high, -low)  # (C, B)
    varied = np.broadcast_to(high.max() > low.min(), high.shape) if blocks.shared else high > low
    scale = np.where(np.isfinite(blocks.scale), blocks.scale, 0)  # what is no scale is told of, and adds nothing
    ends, next_to_ends = _ends(np.sum([piece.histogram for piece in counted], axis=0))
    groups = slice(1) if blocks.shared else slice(None)
    return Grid(
        bits=weight.bits,
        granularity=weight.granularity,
        values=weight.integers.size,
        groups=1 if blocks.shared else extent.size,
        scale_faults=scale_faults(blocks.scale[groups], varied[groups]),
        zero_faults=_zero_faults(blocks.zero[groups], weight),
        reach=_reach(extent, blocks, weight),
        ends=ends,
        next_to_ends=next_to_ends,
        ends_due=int(varied[groups].sum()) * (1 if _is_symmetric(weight) else 2),
        largest=(extent * np.abs(scale)).max(axis=1),
        power=(square * scale**2).mean(axis=1) / blocks.codes.shape[2],
        noise=(((extent > 0) | blocks.shared) * scale**2).mean(axis=1) * _ROUNDING,
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
    return {fault: int(found.sum()) for fault, found in faults.items() if found.any()}


@dataclass(frozen=True, slots=True, eq=False)
class _Blocks:
    """A weight as C channels of B blocks of V values, each block with one scale and one zero point."""

    codes: NDArray[Any]  # (C, B, V)
    scale: NDArray[np.float64]  # (C, B)
    zero: NDArray[np.float64]  # (C, B)
    shared: bool  # all have the same scale: one group

    def pieces(self) -> Iterator[tuple[NDArray[Any], NDArray[np.float64]]]:
        """Yield (c, B, V) integers and (c, B) zero points, a few channels at a time."""
        channels, blocks, values = self.codes.shape
        rows = max(1, _CHUNK // (blocks * values))
        for first in range(0, channels, rows):
            yield self.codes[first : first + rows], self.zero[first : first + rows]


def _blocks(weight: QuantizedWeight, axis: int) -> _Blocks:
    codes = weight.integers
    missing = (1,) * (codes.ndim - np.broadcast(weight.scale, weight.zero).ndim)
    scale, zero = (part.reshape(missing + part.shape) for part in np.broadcast_arrays(weight.scale, weight.zero))
    varied = [place for place, size in enumerate(scale.shape) if size > 1]
    front = varied or [axis] * bool(codes.ndim)
    order = [*front, *(place for place in range(codes.ndim) if place not in front)]
    channels = codes.shape[order[0]] if order else 1
    blocks = math.prod(codes.shape[place] for place in varied[1:])
    grouped = codes.transpose(order).reshape(channels, blocks, -1)
    scale, zero = (
        np.broadcast_to(part.transpose(order).reshape(-1, blocks), (channels, blocks)) for part in (scale, zero)
    )
    return _Blocks(grouped, scale, zero, shared=not varied)


@dataclass(frozen=True, slots=True, eq=False)
class _Counted:
    square: NDArray[np.float64]  # (c, B) sum of (integer - zero)**2
    low: NDArray[np.float64]  # (c, B) smallest integer - zero
    high: NDArray[np.float64]  # (c, B) largest
    histogram: NDArray[np.int64]  # (levels,) how many values lie on each integer


def _count(codes: NDArray[Any], zero: NDArray[np.float64], weight: QuantizedWeight) -> _Counted:
    zero = np.where(np.isfinite(zero), zero, 0)[..., None].astype(np.float32)
    steps = codes.astype(np.float32)
    steps -= zero
    square = np.einsum("cbv,cbv->cb", steps, steps).astype(np.float64)
    low, high = steps.min(axis=2).astype(np.float64), steps.max(axis=2).astype(np.float64)
    levels = weight.high - weight.low + 1
    if levels > _MOST_LEVELS:
        return _Counted(square, low, high, np.zeros(1, dtype=np.int64))
    varied = (high > low)[..., None] | (weight.scale.size == 1)
    at_end = (zero <= weight.low) | (zero >= weight.high)
    if at_end.any() or not varied.all():
        codes = codes[varied & ((steps != 0) | ~at_end)]  # zeros, real or filled up, lie on an end and were not cut off
    places = np.clip(codes.reshape(-1), weight.low, weight.high).astype(np.intp)
    return _Counted(square, low, high, np.bincount(places - weight.low, minlength=levels))


def _ends(histogram: NDArray[np.int64]) -> tuple[int, int]:
    """Return how many values lie on the two outermost integers in use, and on the two beside them."""
    used = np.flatnonzero(histogram)
    if not used.size or used[-1] - used[0] < _FEWEST_IN_USE - 1:
        return 0, 0
    first, last = used[0], used[-1]
    return int(histogram[first] + histogram[last]), int(histogram[first + 1] + histogram[last - 1])


def _reach(extent: NDArray[np.float64], blocks: _Blocks, weight: QuantizedWeight) -> NDArray[np.float64]:
    if blocks.shared:
        extent = extent.max(keepdims=True)
    zero = np.where(np.isfinite(blocks.zero), blocks.zero, 0)[: len(extent)]
    room = np.maximum(np.abs(weight.high - zero), np.abs(weight.low - zero))
    reach: NDArray[np.float64] = (extent / room)[extent > 0]
    return reach


def _zero_faults(zero: NDArray[np.float64], weight: QuantizedWeight) -> int:
    return int((~((zero >= weight.low) & (zero <= weight.high))).sum())  # negated, so that NaN is one


def _is_symmetric(weight: QuantizedWeight) -> bool:
    return bool((np.abs(weight.zero - (weight.low + weight.high) / 2) <= 0.5).all())
