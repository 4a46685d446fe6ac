"""Arrays -> `Probes`: the one place that decides dtypes, the digest and the grid."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any

from fidelity_gate.digests import is_frames, row_bytes
from fidelity_gate.lazy import Postponed
from fidelity_gate.records import Probes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
else:
    np = Postponed("numpy")

IGNORED = -100  # the usual "this cell does not count" of PyTorch's losses


def make_probes(  # noqa: PLR0913  (the fields of one record)
    inputs: NDArray[Any],
    labels: NDArray[np.int32] | None,
    *,
    identifiers: NDArray[np.int32] | None = None,
    source: str,
    ignore_label: int = IGNORED,
    grid: tuple[int, int] | None = None,
    answer_slice: tuple[int, int] | None = None,
    symbols: tuple[str, ...] = (),
) -> Probes:
    """Return probes with the digest of what they hold.

    Args:
        inputs: (N, S) tokens; or (N, T, ...) frames as float32, see `frame_arrays.frame_rows`.
        labels: (N, S') or None.
        identifiers: (N,) puzzle identifiers; zeros when not given.
        source: where they came from, for people.
        ignore_label: the label of a cell that does not count.
        grid: rows and columns of a probe, where it is a grid.
        answer_slice: first and last-but-one token that the labels speak about, where not all.
        symbols: how tokens are shown to people, by token.
    """
    if identifiers is None:
        identifiers = np.zeros(len(inputs), np.int32)
    return Probes(
        inputs=inputs,
        labels=labels,
        identifiers=identifiers,
        digest=digest_of(inputs, labels, identifiers, ignore_label),
        source=source,
        ignore_label=ignore_label,
        grid=grid,
        answer_slice=answer_slice,
        frames=is_frames(inputs),
        symbols=symbols,
    )


def digest_of(
    inputs: NDArray[Any], labels: NDArray[np.int32] | None, identifiers: NDArray[np.int32], ignore_label: int
) -> str:
    """Return the sha256 of the values, whatever kind of file or generator they came from."""
    digest = hashlib.sha256()
    parts = (("frames" if is_frames(inputs) else "inputs", inputs), ("labels", labels), ("identifiers", identifiers))
    for name, array in parts:
        shape = "none" if array is None else "x".join(map(str, array.shape))
        digest.update(f"{name} {shape}\n".encode())
        if array is not None:
            digest.update(
                b"".join(row_bytes(array)) if is_frames(array) else np.ascontiguousarray(array, "<i4").tobytes()
            )
    digest.update(f"ignore {ignore_label}\n".encode())
    return digest.hexdigest()


def square_grid(length: int) -> tuple[int, int] | None:
    """Return the grid of a probe of `length` tokens if that is a square number, as in every official data set."""
    side = math.isqrt(length)
    return (side, side) if side > 1 and side * side == length else None
