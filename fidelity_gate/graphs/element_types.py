"""The element types of ONNX tensors: their names, their sizes, and how numpy reads them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ElementType:
    """One element type.

    Attributes:
        code: its number in an ONNX file.
        name: as numpy and ml_dtypes spell it, without the suffixes that say which special values a type lacks.
        bits: stored bits of one value; 0 where values have no fixed size, or cannot be read here.
        library: the name of the dtype in ml_dtypes; "" for types that numpy has itself.
        typed: the field of a TensorProto that holds such values when they are not raw bytes.
    """

    code: int
    name: str
    bits: int
    library: str = ""
    typed: str = "int32_data"

    @property
    def integer(self) -> bool:
        """Return whether it counts in whole numbers."""
        return self.name.startswith(("int", "uint"))

    @property
    def limits(self) -> tuple[int, int]:
        """Return the smallest and the largest integer of the type."""
        if self.name.startswith("uint"):
            return 0, (1 << self.bits) - 1
        return -(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1


_ALL = (
    ElementType(1, "float32", 32, typed="float_data"),
    ElementType(2, "uint8", 8),
    ElementType(3, "int8", 8),
    ElementType(4, "uint16", 16),
    ElementType(5, "int16", 16),
    ElementType(6, "int32", 32),
    ElementType(7, "int64", 64, typed="int64_data"),
    ElementType(8, "string", 0, typed="string_data"),
    ElementType(9, "bool", 8),
    ElementType(10, "float16", 16),
    ElementType(11, "float64", 64, typed="double_data"),
    ElementType(12, "uint32", 32, typed="uint64_data"),
    ElementType(13, "uint64", 64, typed="uint64_data"),
    ElementType(14, "complex64", 64, typed="float_data"),
    ElementType(15, "complex128", 128, typed="double_data"),
    ElementType(16, "bfloat16", 16, "bfloat16"),
    ElementType(17, "float8_e4m3", 8, "float8_e4m3fn"),
    ElementType(18, "float8_e4m3fnuz", 8, "float8_e4m3fnuz"),
    ElementType(19, "float8_e5m2", 8, "float8_e5m2"),
    ElementType(20, "float8_e5m2fnuz", 8, "float8_e5m2fnuz"),
    ElementType(21, "uint4", 4),
    ElementType(22, "int4", 4),
    ElementType(23, "float4_e2m1", 4, "float4_e2m1fn"),
    ElementType(24, "float8_e8m0", 8, "float8_e8m0fnu"),
    ElementType(25, "uint2", 2),
    ElementType(26, "int2", 2),
    ElementType(27, "float6_e2m3", 0),
    ElementType(28, "float6_e3m2", 0),
)


@cache
def element_types() -> Mapping[int, ElementType]:
    """Return code -> element type."""
    return {element.code: element for element in _ALL}


def element_type(code: int) -> ElementType | None:
    """Return the element type with this number; None for one that is not known, and for 0 (not said)."""
    return element_types().get(code)


def stored_size(element: ElementType, values: int) -> int:
    """Return the bytes that so many values take; the last byte of a packed type may be half empty."""
    return (values * element.bits + 7) // 8


def values_of(element: ElementType, data: bytes | memoryview, shape: tuple[int, ...]) -> NDArray[Any]:
    """Return the values that raw bytes hold, one array element each; packed integers are unpacked to (u)int8.

    Args:
        element: a type with a fixed size.
        data: exactly `stored_size` bytes, little-endian; packed types have their first value in the lowest bits.
        shape: of the result.
    """
    if element.bits >= 8:
        return np.frombuffer(data, dtype=_dtype(element)).reshape(shape)
    count = int(np.prod(shape, dtype=np.int64))
    codes = unpacked(np.frombuffer(data, dtype=np.uint8), element.bits)[:count].reshape(shape)
    if element.library:
        return codes.view(_dtype(element))
    if element.name.startswith("uint"):
        return codes
    half = np.uint8(1 << (element.bits - 1))
    return (codes ^ half).astype(np.int8) - np.int8(half)


def unpacked(packed: NDArray[np.uint8], bits: int) -> NDArray[np.uint8]:
    """Return the 2- or 4-bit numbers in `packed`, lowest bits first, along the last axis; 8 bits as they are."""
    if bits == 8:
        return packed
    parts = np.empty((*packed.shape, 8 // bits), dtype=np.uint8)
    for place in range(8 // bits):  # one shift at a time runs along the array, not along the few parts of a byte
        np.right_shift(packed, place * bits, out=parts[..., place])
    parts &= (1 << bits) - 1
    return parts.reshape(*packed.shape[:-1], -1)


def _dtype(element: ElementType) -> np.dtype[Any]:
    if element.library:
        import ml_dtypes

        found: np.dtype[Any] = np.dtype(getattr(ml_dtypes, element.library))
        return found
    return np.dtype(element.name).newbyteorder("<")
