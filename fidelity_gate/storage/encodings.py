"""The table of encodings: how a tensor's values become bytes, each strict about what it decodes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import ml_dtypes
import numpy as np

from fidelity_gate.records import Granularity, QuantizedWeight
from fidelity_gate.storage.integers import SCALE_FLOOR, values_of
from fidelity_gate.storage.packing import packed_size, padding_is_zero, unpack

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fidelity_gate.records import StoredTensor

Layout: TypeAlias = Mapping[str, tuple[tuple[str, ...], tuple[int, ...]]]  # part -> (allowed dtypes, shape)

DENSE_DTYPES: Mapping[str, np.dtype[Any]] = {
    "float32": np.dtype(np.float32),
    "float16": np.dtype(np.float16),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}
NF4_BLOCK = 64
# The sixteen quantiles of the NF4 data type, as the QLoRA paper (arXiv 2305.14314, appendix E) prints them.
NF4_CODE = np.array(
    [
        -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
        -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634,
        0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
    ],
    dtype=np.float32,
)  # fmt: skip


class Encoding(Protocol):
    """One way to store a tensor."""

    def layout(self, stored: StoredTensor) -> Layout:
        """Return the parts that this tensor must consist of."""

    def fault(self, stored: StoredTensor) -> str:
        """Return what is wrong with the values of the parts (their layout is right), or ""."""

    def decode(self, stored: StoredTensor) -> NDArray[np.float32]:
        """Return the values, in the tensor's logical shape."""

    def quantized(self, stored: StoredTensor) -> QuantizedWeight | None:
        """Return the integers and what they mean; None for what is not on an even grid of integers."""

    def describe(self, stored: StoredTensor) -> str:
        """Return how a person would name it: "int4 per channel asymmetric"."""

    def granularity(self, stored: StoredTensor) -> Granularity:
        """Return how many values share one scale."""


@dataclass(frozen=True, slots=True)
class Dense:
    """The values themselves, in a float type."""

    def layout(self, stored: StoredTensor) -> Layout:
        """One part of the logical shape."""
        return {"data": (tuple(DENSE_DTYPES), stored.shape)}

    def fault(self, stored: StoredTensor) -> str:
        """Refuse values that are not finite, and scales that dense tensors do not have."""
        if stored.axis is not None or not stored.symmetric:
            return "a dense tensor has no scales, so neither an axis nor zero points"
        return "" if np.isfinite(stored.parts["data"]).all() else "holds NaN or infinite values"

    def decode(self, stored: StoredTensor) -> NDArray[np.float32]:
        """Widen to float32, exactly."""
        return stored.parts["data"].astype(np.float32)

    def quantized(self, stored: StoredTensor) -> QuantizedWeight | None:
        """Floats have no integers."""
        return None

    def describe(self, stored: StoredTensor) -> str:
        """Name the float type."""
        return stored.parts["data"].dtype.name

    def granularity(self, stored: StoredTensor) -> Granularity:
        """Floats have no scales."""
        return Granularity.NONE


@dataclass(frozen=True, slots=True)
class Integer:
    """Integers with one scale (and zero point) a tensor or an output channel: `value = (code - zero) * scale`."""

    bits: int

    def layout(self, stored: StoredTensor) -> Layout:
        """Int8 keeps the logical shape, narrower integers are one packed stream of bytes."""
        scales = _scales_shape(stored)
        if self.bits == 8:
            data = ("int8" if stored.symmetric else "uint8",), stored.shape
        else:
            data = ("uint8",), (packed_size(math.prod(stored.shape), self.bits),)
        layout: dict[str, tuple[tuple[str, ...], tuple[int, ...]]] = {"data": data, "scale": (("float32",), scales)}
        if not stored.symmetric:
            layout["zero"] = (("uint8",), scales)
        return layout

    def fault(self, stored: StoredTensor) -> str:
        """Refuse scales, zero points, codes and padding that `integer_tensor` never writes."""
        parts, top = stored.parts, 2**self.bits - 1
        if not _normal(parts["scale"]).all():
            return "a scale is not a finite, positive, normal number"
        if not stored.symmetric and int(parts["zero"].max()) > top:
            return f"a zero point is outside 0..{top}"
        if self.bits < 8 and not padding_is_zero(parts["data"], self.bits, math.prod(stored.shape)):
            return "the padding bits behind the last value are not zero"
        if stored.symmetric and int(self._codes(stored).min()) == 0:
            return f"a value is below the symmetric range of {self.bits} bits"
        return ""

    def decode(self, stored: StoredTensor) -> NDArray[np.float32]:
        """Unpack and scale."""
        zero = stored.parts.get("zero", np.full(1, 2 ** (self.bits - 1), dtype=np.uint8))
        return values_of(self._codes(stored), stored.parts["scale"], zero)

    def quantized(self, stored: StoredTensor) -> QuantizedWeight | None:
        """Codes as they lie in the file, unsigned; a symmetric grid's zero is its middle."""
        middle = np.full(1, 2 ** (self.bits - 1), dtype=np.uint8)
        return QuantizedWeight(
            integers=self._codes(stored),
            scale=_over_channels(stored.parts["scale"], stored),
            zero=_over_channels(stored.parts.get("zero", middle), stored),
            bits=self.bits,
            low=1 if stored.symmetric else 0,
            high=2**self.bits - 1,
            granularity=self.granularity(stored),
        )

    def describe(self, stored: StoredTensor) -> str:
        """Name width, granularity and symmetry."""
        symmetry = "symmetric" if stored.symmetric else "asymmetric"
        return f"int{self.bits} per {self.granularity(stored)} {symmetry}"

    def granularity(self, stored: StoredTensor) -> Granularity:
        """One scale a tensor, or one an output channel."""
        return Granularity.TENSOR if stored.axis is None else Granularity.CHANNEL

    def _codes(self, stored: StoredTensor) -> NDArray[np.uint8]:
        data = stored.parts["data"]
        if self.bits < 8:
            return unpack(data, self.bits, math.prod(stored.shape)).reshape(stored.shape)
        # A signed byte is its offset-binary code with the top bit flipped.
        return data.view(np.uint8) ^ np.uint8(0x80) if stored.symmetric else data


@dataclass(frozen=True, slots=True)
class Int8Bnb:
    """Int8 rows as LLM.int8 keeps them (bitsandbytes): `value = code * scb / 127`, `scb` the row's absolute maximum.

    `threshold` is the activation size from which LLM.int8 computes an input column in float; 0 switches that off.
    """

    def layout(self, stored: StoredTensor) -> Layout:
        """Signed bytes in the logical shape, one statistic a row, one threshold."""
        return {
            "data": (("int8",), stored.shape),
            "scb": (("float32",), stored.shape[:1]),
            "threshold": (("float32",), (1,)),
        }

    def fault(self, stored: StoredTensor) -> str:
        """Refuse statistics and codes that LLM.int8 never makes."""
        parts = stored.parts
        if len(stored.shape) != 2 or stored.axis != 0 or not stored.symmetric:
            return "LLM.int8 stores matrices with one symmetric scale a row (axis 0)"
        if not (np.isfinite(parts["scb"]).all() and (parts["scb"] >= 0).all()):
            return "a row statistic is negative or not finite"
        if not (np.isfinite(parts["threshold"]).all() and (parts["threshold"] >= 0).all()):
            return "the outlier threshold is negative or not finite"
        if parts["data"].min() == -128:
            return "a value is below the symmetric range of 8 bits"
        return "a row of scale zero holds values" if parts["data"][parts["scb"] == 0].any() else ""

    def decode(self, stored: StoredTensor) -> NDArray[np.float32]:
        """Scale every row."""
        scale = stored.parts["scb"].astype(np.float64)[:, None] / 127.0
        return (stored.parts["data"] * scale).astype(np.float32)

    def quantized(self, stored: StoredTensor) -> QuantizedWeight | None:
        """Signed bytes; the scale is a 127th of the row's absolute maximum."""
        scale = _over_channels(stored.parts["scb"], stored) / 127.0
        return QuantizedWeight(
            integers=stored.parts["data"],
            scale=scale,
            zero=np.zeros_like(scale),
            bits=8,
            low=-127,
            high=127,
            granularity=Granularity.CHANNEL,
        )

    def granularity(self, stored: StoredTensor) -> Granularity:
        """One statistic a row."""
        return Granularity.CHANNEL

    def describe(self, stored: StoredTensor) -> str:
        """Name the threshold too: it changes what the layer computes."""
        return f"int8 rows (LLM.int8, threshold {float(stored.parts['threshold'][0]):g})"


@dataclass(frozen=True, slots=True)
class Nf4Bnb:
    """NF4 in blocks of 64 as bitsandbytes packs it: the first value of a byte is its high nibble."""

    def layout(self, stored: StoredTensor) -> Layout:
        """Packed nibbles, one absolute maximum a block, and the code book."""
        values = math.prod(stored.shape)
        return {
            "data": (("uint8",), (packed_size(values, 4),)),
            "absmax": (("float32",), (-(-values // NF4_BLOCK),)),
            "code": (("float32",), NF4_CODE.shape),
        }

    def fault(self, stored: StoredTensor) -> str:
        """Refuse another code book, block maxima that are none, and padding that is not zero."""
        parts = stored.parts
        if stored.axis is not None or not stored.symmetric:
            return "NF4 has one scale a block, so neither an axis nor zero points"
        if not np.array_equal(parts["code"], NF4_CODE):
            return "the code book is not that of NF4"
        if not (np.isfinite(parts["absmax"]).all() and (parts["absmax"] >= 0).all()):
            return "a block maximum is negative or not finite"
        odd = math.prod(stored.shape) % 2
        return "the padding bits behind the last value are not zero" if odd and parts["data"][-1] & 0x0F else ""

    def decode(self, stored: StoredTensor) -> NDArray[np.float32]:
        """Look every nibble up and scale its block."""
        count = math.prod(stored.shape)
        bytes_ = stored.parts["data"]
        nibbles = np.stack((bytes_ >> 4, bytes_ & 0x0F), axis=1).reshape(-1)[:count]
        scale = np.repeat(stored.parts["absmax"], NF4_BLOCK)[:count]
        values: NDArray[np.float32] = NF4_CODE[nibbles] * scale
        return values.reshape(stored.shape)

    def quantized(self, stored: StoredTensor) -> QuantizedWeight | None:
        """NF4 has a code book: its steps are not even."""
        return None

    def granularity(self, stored: StoredTensor) -> Granularity:
        """One absolute maximum a block."""
        return Granularity.BLOCK

    def describe(self, stored: StoredTensor) -> str:
        """Name the block size."""
        return f"nf4 in blocks of {NF4_BLOCK}"


ENCODINGS: Mapping[str, Encoding] = {
    "dense": Dense(),
    "int2": Integer(2),
    "int3": Integer(3),
    "int4": Integer(4),
    "int8": Integer(8),
    "int8-bnb": Int8Bnb(),
    "nf4-bnb": Nf4Bnb(),
}


def _scales_shape(stored: StoredTensor) -> tuple[int, ...]:
    return (1,) if stored.axis is None else stored.shape[:1]


def _over_channels(per_channel: NDArray[Any], stored: StoredTensor) -> NDArray[np.float64]:
    return per_channel.astype(np.float64).reshape(-1, *(1,) * (len(stored.shape) - 1))


def _normal(scale: NDArray[np.float32]) -> NDArray[np.bool_]:
    return np.isfinite(scale) & (scale >= SCALE_FLOOR)
