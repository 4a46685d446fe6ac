"""What identifies one row of inputs, so that calibration rows can be told from evaluation rows."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROW_DIGEST_CHARACTERS = 32


def row_digests(inputs: NDArray[np.int32]) -> tuple[str, ...]:
    """Return one digest a row: 128 bits of the sha256 of its tokens as little-endian int32, in hexadecimal.

    Args:
        inputs: (N, S) tokens. Equal rows of equal length have equal digests wherever they stand in whichever file.
    """
    rows = np.ascontiguousarray(inputs, dtype="<i4")
    return tuple(hashlib.sha256(row.tobytes()).hexdigest()[:ROW_DIGEST_CHARACTERS] for row in rows)
