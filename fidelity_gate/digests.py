"""What identifies one row of inputs, so that calibration rows can be told from evaluation rows."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from fidelity_gate.lazy import Postponed

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray
else:
    np = Postponed("numpy")

ROW_DIGEST_CHARACTERS = 32


def row_digests(inputs: NDArray[Any]) -> tuple[str, ...]:
    """Return one digest a row: 128 bits of the sha256 of its tokens as little-endian int32, in hexadecimal.

    Args:
        inputs: (N, S) tokens, or (N, T, ...) frames in floating point, whose float32 bytes follow their shape. Equal
            rows of equal shape have equal digests wherever they stand in whichever file.
    """
    heading = f"frames {inputs.shape[1:]}\n".encode() if is_frames(inputs) else b""
    return tuple(hashlib.sha256(heading + row).hexdigest()[:ROW_DIGEST_CHARACTERS] for row in row_bytes(inputs))


def row_bytes(inputs: NDArray[Any]) -> Iterator[bytes]:
    """Yield the little-endian bytes of every row: equal for equal values, whichever sign a zero has."""
    framed = is_frames(inputs)
    for row in inputs:
        yield (np.asarray(row, "<f4") + np.float32(0)).tobytes() if framed else np.asarray(row, "<i4").tobytes()


def is_frames(inputs: NDArray[Any]) -> bool:
    """Return whether an array of inputs holds frames, which are floating point numbers, and not tokens."""
    return inputs.dtype.kind == "f"
