"""The arithmetic of integer quantization: values to codes on an even grid, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A smaller scale would be denormal: some machines flush it to zero and then divide by it.
SCALE_FLOOR = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, slots=True)
class IntegerScheme:
    """Which grid of integers stands for the values.

    Symmetric grids are -(2^(b-1)-1)..2^(b-1)-1: the largest weight of either sign falls on the last code, zero on
    zero, and the one code more on the negative side stays unused, as the usual `w / (max|w| / 7)` does it.
    Asymmetric grids are 0..2^b-1 with a zero point; their range always contains 0, so that 0 stays exactly 0.

    Attributes:
        bits: 2, 3, 4 or 8.
        axis: 0 for one scale an output channel, None for one scale a tensor.
        symmetric: no zero points.
    """

    bits: int
    axis: int | None
    symmetric: bool

    @property
    def low(self) -> int:
        """Return the smallest code in use (codes are unsigned; symmetric ones are offset by 2^(b-1))."""
        return 1 if self.symmetric else 0

    @property
    def high(self) -> int:
        """Return the largest code."""
        return int(2**self.bits - 1)


def grid_of(
    values: NDArray[np.float32], scheme: IntegerScheme, shrink: NDArray[np.float64] | None = None
) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Return scales and zero points that span the range of the values.

    Args:
        values: finite, not empty; axis 0 counts channels.
        scheme: the grid.
        shrink: (1,) or (channels,) factors in (0, 1] on the range; values beyond it will be clipped.

    Returns:
        `scale` and `zero`, both (1,) or (channels,). A channel whose values are all zero (or too small for a normal
        float32 scale) gets the scale 1: its values become 0.
    """
    rows = values.reshape(1 if scheme.axis is None else values.shape[0], -1)
    factor = np.ones(1) if shrink is None else shrink
    low = np.minimum(rows.min(axis=1), 0).astype(np.float64) * factor
    high = np.maximum(rows.max(axis=1), 0).astype(np.float64) * factor
    # float64 until here: the difference of two float32 extremes may overflow float32.
    span = np.maximum(-low, high) / (2 ** (scheme.bits - 1) - 1) if scheme.symmetric else (high - low) / scheme.high
    scale = span.astype(np.float32)
    scale[scale < SCALE_FLOOR] = 1.0
    if scheme.symmetric:
        return scale, np.full(scale.shape, 2 ** (scheme.bits - 1), dtype=np.uint8)
    return scale, np.clip(np.rint(-low / scale), 0, scheme.high).astype(np.uint8)


def codes_of(
    values: NDArray[np.float32], scheme: IntegerScheme, scale: NDArray[np.float32], zero: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Return the nearest codes (halves to even), clipped to the grid, in the shape of the values."""
    steps = np.rint(values / _over_channels(scale, values.ndim))
    steps += _over_channels(zero, values.ndim)
    codes: NDArray[np.uint8] = np.clip(steps, scheme.low, scheme.high).astype(np.uint8)
    return codes


def values_of(codes: NDArray[np.uint8], scale: NDArray[np.float32], zero: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return `(code - zero) * scale`, rounded once."""
    steps = codes.astype(np.float32)
    steps -= _over_channels(zero, codes.ndim)
    steps *= _over_channels(scale, codes.ndim)
    return steps


def round_trip(
    values: NDArray[np.float32], scheme: IntegerScheme, shrink: NDArray[np.float64] | None = None
) -> NDArray[np.float32]:
    """Return what the values become by quantizing them and decoding them again."""
    scale, zero = grid_of(values, scheme, shrink)
    return values_of(codes_of(values, scheme, scale, zero), scale, zero)


def _over_channels(per_channel: NDArray[Any], dimensions: int) -> NDArray[np.float32]:
    return per_channel.astype(np.float32).reshape(-1, *(1,) * (dimensions - 1))
