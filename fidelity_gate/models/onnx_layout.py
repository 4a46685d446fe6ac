"""How the arrays of step graphs become (B, L, D), and go back.

Metrics compare states as B probes of L tokens of D values. A graph may lay its states out in any way, as long as one
axis counts probes:

* the axis that counts probes comes first;
* the last of the others is D;
* all between them count tokens; where there is none, L is 1.

So (B, D) is (B, 1, D); a GRU's (layers, B, D) with batch axis 1 is (B, layers, D); (B, C, H, W) is (B, C x H, W).
Nothing is ever padded, broadcast or left out: every value of a state is in its tokens once, and `from_tokens` is the
exact inverse.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def to_tokens(array: NDArray[Any], axis: int) -> NDArray[Any]:
    """Return an array of rank 2 or more, whose `axis` counts probes, as (B, L, D); a view where that is possible."""
    moved = np.moveaxis(array, axis, 0)
    return moved.reshape(moved.shape[0], math.prod(moved.shape[1:-1]), moved.shape[-1])


def from_tokens(tokens: NDArray[Any], shape: tuple[int, ...], axis: int) -> NDArray[Any]:
    """Return (B, L, D) in the layout `shape`, in memory order; shares memory where that is possible.

    Args:
        tokens: (B, L, D).
        shape: of the result, with any number of probes at `axis`.
        axis: which axis counts probes.
    """
    rest = tuple(size for place, size in enumerate(shape) if place != axis)
    return np.ascontiguousarray(np.moveaxis(tokens.reshape(len(tokens), *rest), 0, axis))
