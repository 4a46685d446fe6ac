"""safetensors bytes -> named arrays, read strictly: every byte belongs to exactly one tensor."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np

from fidelity_gate.errors import GateError, ModelRefused
from fidelity_gate.json_fields import Fields, parse

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

LENGTH_BYTES = 8
HEADER_LIMIT = 16 * 2**20
_METADATA = "__metadata__"
_RANK_LIMIT = 16
_SIZE_LIMIT = 2**48

_DTYPES: Mapping[str, np.dtype[Any]] = {
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "BOOL": np.dtype(np.bool_),
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "I16": np.dtype("<i2"),
    "I32": np.dtype("<i4"),
    "I64": np.dtype("<i8"),
    "I8": np.dtype(np.int8),
    "U16": np.dtype("<u2"),
    "U32": np.dtype("<u4"),
    "U64": np.dtype("<u8"),
    "U8": np.dtype(np.uint8),
}


@dataclass(frozen=True, slots=True, eq=False)
class TensorFile:
    """What a safetensors file holds; the arrays are read-only views of its bytes."""

    metadata: Mapping[str, str]
    tensors: Mapping[str, NDArray[Any]]  # sorted by name


@dataclass(frozen=True, slots=True)
class _Span:
    """One tensor as the header declares it: bytes `start` to `end` of the data behind the header."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int
    end: int


def header_bytes(data: bytes) -> int | None:
    """Return how long the header says it is, or None when these first bytes cannot be of a safetensors file."""
    size = int.from_bytes(data[:LENGTH_BYTES], "little")
    plausible = len(data) > LENGTH_BYTES and 2 <= size <= HEADER_LIMIT and data[LENGTH_BYTES:][:1] == b"{"
    return size if plausible else None


def read_tensors(data: bytes, *, where: str | Path = "", kind: type[GateError] = ModelRefused) -> TensorFile:
    """Read a whole safetensors file.

    The safetensors library keeps the last of two tensors with one name; here that is refused, and so are gaps,
    overlaps, trailing bytes, sizes that contradict dtype and shape, and fields that the format does not have.

    Raises:
        kind: any of these, naming the tensor.
    """
    size = header_bytes(data)
    if size is None:
        raise kind("is not a safetensors file: it does not start with a plausible header", where=where)
    begin = LENGTH_BYTES + size
    if begin > len(data):
        raise kind(f"is cut off: its header takes {size:,} bytes, the file has {len(data):,}", where=where)
    header = Fields(parse(data[LENGTH_BYTES:begin], where=where, what="header", kind=kind), str(where), "", kind)
    metadata = _metadata(header)
    spans = sorted((_span(header, name) for name in header.names() if name != _METADATA), key=_order)
    _refuse_gaps(spans, len(data) - begin, where, kind)
    tensors = {span.name: _array(data, begin, span) for span in sorted(spans, key=lambda span: span.name)}
    return TensorFile(metadata, tensors)


def _metadata(header: Fields) -> dict[str, str]:
    if _METADATA not in header.names():
        return {}
    inner = header.inner(_METADATA)
    return {key: inner.text(key) for key in inner.names()}


def _span(header: Fields, name: str) -> _Span:
    """Read one tensor's entry, and hold its size against its dtype and shape."""
    entry = header.inner(name)
    dtype = entry.text("dtype")
    if dtype not in _DTYPES:
        entry.fail("dtype", f"'{dtype}' is not one of {', '.join(_DTYPES)}")
    shape = _whole_numbers(entry, "shape")
    offsets = _whole_numbers(entry, "data_offsets")
    entry.done()
    if len(shape) > _RANK_LIMIT:
        entry.fail("shape", f"has {len(shape)} dimensions")
    needed = math.prod(shape) * _DTYPES[dtype].itemsize
    if len(offsets) != 2 or offsets[1] - offsets[0] != needed:
        entry.fail("data_offsets", f"must be two offsets {needed:,} bytes apart, as {dtype} {list(shape)} takes")
    return _Span(name, _DTYPES[dtype], shape, offsets[0], offsets[1])


def _whole_numbers(entry: Fields, key: str) -> tuple[int, ...]:
    numbers = entry.items(key)
    for number in numbers:
        if type(number) is not int or not 0 <= number <= _SIZE_LIMIT:
            entry.fail(key, "must hold whole numbers that are not negative")
    return tuple(numbers)  # type: ignore[arg-type]  # each was just looked at


def _order(span: _Span) -> tuple[int, int]:
    return span.start, span.end


def _refuse_gaps(spans: list[_Span], size: int, where: str | Path, kind: type[GateError]) -> None:
    position = 0
    for span in spans:
        if span.start != position:
            fault = "overlaps another tensor" if span.start < position else "leaves a gap before it"
            raise kind(f"{fault} (starts at byte {span.start}, not {position})", where=where, field=span.name)
        position = span.end
    if position != size:
        fault = "is cut off" if position > size else "has bytes behind its last tensor"
        raise kind(f"{fault}: {position:,} bytes of tensors declared, {size:,} there", where=where)


def _array(data: bytes, begin: int, span: _Span) -> NDArray[Any]:
    count = math.prod(span.shape)
    return np.frombuffer(data, dtype=span.dtype, count=count, offset=begin + span.start).reshape(span.shape)
