"""How much of a channel's range is worth a grid: clipping outliers refines all other weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fidelity_gate.storage.integers import IntegerScheme, round_trip

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHRINKS = tuple(round(1.0 - 0.02 * step, 2) for step in range(36))  # 1.00, 0.98, ... 0.30


def best_shrink(
    values: NDArray[np.float32], scheme: IntegerScheme, moments: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return, for every output channel, the shrink of its range that costs its output least.

    Args:
        values: (out, in) weights.
        scheme: a grid with one scale an output channel.
        moments: (in, in) sum of `x x^T` over every input the matrix saw.

    Returns:
        (out,) factors out of `SHRINKS`; of equal ones the largest. The full range is among them, so no channel's
        output error on those inputs is larger than without clipping.
    """
    best = np.ones(values.shape[0])
    lowest = output_errors(values, round_trip(values, scheme, best), moments)
    for shrink in SHRINKS[1:]:
        factors = np.full(values.shape[0], shrink)
        errors = output_errors(values, round_trip(values, scheme, factors), moments)
        better = errors < lowest
        best[better], lowest[better] = shrink, errors[better]
    return best


def output_errors(
    values: NDArray[np.float32], stored: NDArray[np.float32], moments: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return, for every output channel, the squared error of its output summed over the inputs behind `moments`.

    With e the channel's weight error, the sum over inputs of (e x)^2 is e M e^T.
    """
    error = stored.astype(np.float64) - values
    errors: NDArray[np.float64] = np.einsum("oi,oi->o", error @ moments, error)
    return errors
