"""The bytes of one tensor of an ONNX file, held against its type and its shape."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fidelity_gate.errors import ModelRefused
from fidelity_gate.graphs.element_types import ElementType, element_type, stored_size, values_of
from fidelity_gate.graphs.wire import text_of
from fidelity_gate.records import External, GraphConstant

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fidelity_gate.graphs.wire import Light

LARGEST_DIMENSION = 1 << 40
MOST_VALUES = 1 << 56  # numpy counts bytes in 63 bits, even those of a tensor that has none
MOST_DIMENSIONS = 24  # numpy has 32 before version 2, and some are split here
ONE_FILE = "torch.onnx.export(..., external_data=False), or onnx.save(onnx.load(FILE), NEW)"  # a message is cut at 200
_TYPED = ("float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data")
_NUMPY_OF_TYPED = {
    "float_data": "<f4",
    "double_data": "<f8",
    "int64_data": "<i8",
    "int32_data": "<i8",
    "uint64_data": "<u8",
}


@dataclass(frozen=True, slots=True, eq=False)
class Content:
    """A constant together with its bytes, which may be a window into the file."""

    constant: GraphConstant
    element: ElementType
    data: bytes | memoryview | None
    why_none: str = ""  # why there are no bytes

    def values(self, where: str = "") -> NDArray[Any]:
        """Return the values in the constant's shape, one array element each; packed integers are unpacked.

        Raises:
            ModelRefused: the file does not hold them.
        """
        if self.data is None:
            hint = ONE_FILE if self.constant.external else ""
            raise ModelRefused(self.why_none, where=where, field=self.constant.name, hint=hint)
        return values_of(self.element, self.data, self.constant.shape)


def content_of(tensor: Any, name: str, light: Light, where: str, from_node: str = "") -> Content:  # noqa: ANN401
    """Return what a TensorProto of the skeleton holds.

    Args:
        tensor: the TensorProto.
        name: of the constant.
        light: where the bytes of large tensors are.
        where: the file, for errors.
        from_node: the Constant node it comes from.

    Raises:
        ModelRefused: an unknown element type, an impossible shape, or bytes that contradict both.
    """
    element = known_type(tensor.data_type, where, name)
    shape = refuse_shape(tuple(tensor.dims), where, name)
    if element.name == "string":
        raise ModelRefused("holds text, not numbers", where=where, field=name)
    if tensor.data_location == tensor.EXTERNAL:
        external = _external(tensor, where, name)
        size = stored_size(element, math.prod(shape)) if external.length is None else external.length
        constant = GraphConstant(name, element.name, shape, size, "", from_node, external)
        return Content(constant, element, None, f"lies in another file ('{external.location}'), which is not read")
    data = _bytes(tensor, element, light, where, name)
    expected = stored_size(element, math.prod(shape))
    if len(data) != expected:
        what = f"holds {len(data):,} bytes, and {element.name} {list(shape)} takes {expected:,}"
        raise ModelRefused(what, where=where, field=name)
    return stored(name, element, shape, data, from_node)


def stored(
    name: str, element: ElementType, shape: tuple[int, ...], data: bytes | memoryview, from_node: str = ""
) -> Content:
    """Return a constant whose bytes are known."""
    hashed = hashlib.sha256(f"{element.name}{shape}".encode())
    hashed.update(data)
    constant = GraphConstant(name, element.name, shape, len(data), hashed.hexdigest(), from_node)
    return Content(constant, element, data)


def known_type(code: int, where: str, name: str) -> ElementType:
    """Return the element type of a constant; raises ModelRefused for one whose bytes cannot be read."""
    element = element_type(code)
    if element is None or (not element.bits and element.name != "string"):
        what = f"is of element type {code}" + (f" ({element.name})" if element else "") + ", which is not known here"
        raise ModelRefused(what, where=where, field=name)
    return element


def refuse_shape(shape: tuple[int, ...], where: str, name: str) -> tuple[int, ...]:
    """Return the shape; raises ModelRefused for one that no tensor has."""
    if len(shape) > MOST_DIMENSIONS:
        raise ModelRefused(f"has {len(shape):,} dimensions (at most {MOST_DIMENSIONS})", where=where, field=name)
    for size in shape:
        if not 0 <= size <= LARGEST_DIMENSION:
            raise ModelRefused(f"has a dimension of {size:,}", where=where, field=name)
    if math.prod(size for size in shape if size) > MOST_VALUES:
        raise ModelRefused("has a shape of more values than can be counted", where=where, field=name)
    return shape


def _bytes(tensor: Any, element: ElementType, light: Light, where: str, name: str) -> bytes | memoryview:  # noqa: ANN401
    """Return a tensor's values as raw bytes, whichever way the file spells them."""
    typed = [field for field in _TYPED if len(getattr(tensor, field))]
    if tensor.HasField("raw_data"):
        if typed:
            raise ModelRefused(f"holds raw data and {typed[0]}", where=where, field=name)
        raw: bytes = tensor.raw_data
        held = light.held(raw)
        return raw if held is None else held
    if typed and typed != [element.typed]:
        what = f"is {element.name}, and its values are in {', '.join(typed)}"
        raise ModelRefused(what, where=where, field=name)
    return _raw(np.array(getattr(tensor, element.typed), dtype=_NUMPY_OF_TYPED[element.typed]), element, where, name)


def _raw(values: NDArray[Any], element: ElementType, where: str, name: str) -> bytes:
    """Return the raw bytes of values that were listed as numbers of a wider type."""
    if element.typed in ("float_data", "double_data", "int64_data"):
        return values.tobytes()
    # Floats of 16 bits and fewer are listed by their bits; 4-bit integers two to a number.
    bits = max(8, element.bits)
    signed = element.name.startswith("int") and element.bits >= 8
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    if element.bits < 8:
        low = -128  # some writers list a pair of signed numbers as a signed byte
    if values.size and (int(values.min()) < low or int(values.max()) > high):
        raise ModelRefused(f"lists a value that {element.name} cannot hold", where=where, field=name)
    return values.astype(f"<i{bits // 8}" if low < 0 else f"<u{bits // 8}", casting="unsafe").tobytes()


def _external(tensor: Any, where: str, name: str) -> External:  # noqa: ANN401
    told = {text_of(item.key): text_of(item.value) for item in tensor.external_data}
    length = told.get("length")
    return External(
        location=told.get("location", ""),
        offset=_number(told.get("offset") or "0", where, name),
        length=_number(length, where, name) if length else None,
        checksum=told.get("checksum", ""),
    )


def _number(text: str, where: str, name: str) -> int:
    """Return a whole number as external data spells it; negative ones are for a lint rule to speak of."""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 18):
        raise ModelRefused(f"says '{text}' where external data has a number", where=where, field=name)
    return int(text)
