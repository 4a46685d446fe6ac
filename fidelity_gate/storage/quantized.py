"""Stored tensors: made from values, checked, decoded, and measured."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from fidelity_gate.errors import ModelRefused
from fidelity_gate.records import StoredTensor, TensorFact
from fidelity_gate.storage.encodings import DENSE_DTYPES, ENCODINGS, Encoding
from fidelity_gate.storage.integers import IntegerScheme, codes_of, grid_of
from fidelity_gate.storage.packing import pack

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from fidelity_gate.records import QuantizedWeight, Role


# Beyond it a rounded scale may carry the outermost code past float32.
LARGEST_QUANTIZED = float(np.finfo(np.float32).max) / 2


def dense_tensor(name: str, role: Role, array: NDArray[Any], dtype: str = "float32") -> StoredTensor:
    """Store values in a float type: "float32", "float16" or "bfloat16" (rounded to nearest even).

    Raises:
        ModelRefused: a value is not finite, or does not fit the type.
    """
    with np.errstate(over="ignore"):
        data = np.array(array, order="C").astype(DENSE_DTYPES[dtype])
    stored = StoredTensor(name, role, data.shape, "dense", None, True, {"data": data})
    if np.isfinite(array).all() and not np.isfinite(data).all():
        largest = float(np.abs(array).max())
        raise ModelRefused(f"a value of size {largest:g} does not fit {dtype}", field=name, hint="use bfloat16 or int8")
    check(stored)
    return stored


def integer_tensor(
    name: str, role: Role, array: NDArray[Any], scheme: IntegerScheme, shrink: NDArray[np.float64] | None = None
) -> StoredTensor:
    """Quantize values to packed integers.

    Args:
        name: the tensor's official key.
        role: what the tensor is for.
        array: finite values of any shape; axis 0 counts output channels.
        scheme: width, granularity and symmetry.
        shrink: (1,) or (channels,) factors in (0, 1] on the range that the integers span; None: 1.

    Raises:
        ModelRefused: a value is not finite or too large, or there are none.
    """
    values = np.ascontiguousarray(array, dtype=np.float32)
    if not values.size or not np.isfinite(values).all():
        raise ModelRefused("cannot be quantized: it is empty or holds NaN or infinite values", field=name)
    if np.abs(values).max() > LARGEST_QUANTIZED:
        raise ModelRefused(f"cannot be quantized: it holds a value beyond {LARGEST_QUANTIZED:g}", field=name)
    scale, zero = grid_of(values, scheme, shrink)
    codes = codes_of(values, scheme, scale, zero)
    if scheme.bits < 8:
        data: NDArray[Any] = pack(codes, scheme.bits)
    else:
        data = (codes ^ np.uint8(0x80)).view(np.int8) if scheme.symmetric else codes
    parts = {"data": data, "scale": scale} if scheme.symmetric else {"data": data, "scale": scale, "zero": zero}
    return StoredTensor(name, role, values.shape, f"int{scheme.bits}", scheme.axis, scheme.symmetric, parts)


def check(stored: StoredTensor, where: str = "") -> None:
    """Refuse a tensor whose parts are not exactly what its encoding says.

    Raises:
        ModelRefused: names the tensor (and `where` it was read), and what is wrong.
    """
    if stored.encoding not in ENCODINGS:
        known = ", ".join(ENCODINGS)
        raise ModelRefused(f"unknown encoding '{stored.encoding}'", where=where, field=stored.name, hint=known)
    encoding = ENCODINGS[stored.encoding]
    fault = _layout_fault(stored, encoding) or encoding.fault(stored)
    if fault:
        raise ModelRefused(f"{fault} ({stored.encoding})", where=where, field=stored.name)


def dense_of(stored: StoredTensor) -> NDArray[np.float32]:
    """Return the tensor's values as a fresh, writable float32 array of its logical shape.

    Raises:
        ModelRefused: the parts are not what the encoding says, or a value overflows.
    """
    check(stored)
    with np.errstate(over="ignore"):
        values = ENCODINGS[stored.encoding].decode(stored)
    if not np.isfinite(values).all():
        raise ModelRefused("decodes to infinite values", field=stored.name)
    return values


def fact_of(stored: StoredTensor) -> TensorFact:
    """Return what the tensor takes, measured from the bytes of its parts."""
    sizes = {name: int(part.nbytes) for name, part in stored.parts.items()}
    payload, count = sizes["data"], math.prod(stored.shape)
    return TensorFact(
        name=stored.name,
        role=stored.role,
        shape=stored.shape,
        stored_as=ENCODINGS[stored.encoding].describe(stored),
        bits=8 * payload / count if count else 8.0 * stored.parts["data"].dtype.itemsize,
        payload_bytes=payload,
        overhead_bytes=sum(sizes.values()) - payload,
        granularity=ENCODINGS[stored.encoding].granularity(stored),
        symmetric=stored.symmetric,
    )


def integers_of(stored: StoredTensor) -> QuantizedWeight | None:
    """Return the integers of a tensor and what they mean; None where it holds floats or a code book.

    Raises:
        ModelRefused: the parts are not what the encoding says.
    """
    check(stored)
    return ENCODINGS[stored.encoding].quantized(stored)


def _layout_fault(stored: StoredTensor, encoding: Encoding) -> str:
    if stored.encoding != "dense" and (not stored.shape or not math.prod(stored.shape)):
        return "a scalar or an empty tensor cannot be quantized"
    if stored.axis not in (None, 0):
        return f"axis is {stored.axis}, not 0 or none"
    layout = encoding.layout(stored)
    if set(stored.parts) != set(layout):
        return f"consists of {_names(stored.parts)}, not of {_names(layout)}"
    for part, (dtypes, shape) in sorted(layout.items()):
        found = stored.parts[part]
        if found.dtype.name not in dtypes or found.shape != shape:
            return f"part '{part}' is {found.dtype.name} {found.shape}, not {' or '.join(dtypes)} {shape}"
    return ""


def _names(parts: Mapping[str, object]) -> str:
    return "+".join(sorted(parts)) or "nothing"
