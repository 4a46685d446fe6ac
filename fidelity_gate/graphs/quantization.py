"""What the numbers of a quantized constant stand for: value = scale * (number - zero point).

Held against onnxruntime for DequantizeLinear (a scale for the tensor, for an index of any axis, for a block of any
axis) and MatMulNBits (a scale for a block of a row, numbers packed lowest bits first, zero point 2**(bits - 1) where
none is given).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fidelity_gate.errors import ModelRefused
from fidelity_gate.graphs.element_types import unpacked
from fidelity_gate.graphs.uses import int_of
from fidelity_gate.records import Granularity, QuantizedWeight

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from fidelity_gate.graphs.content import Content
    from fidelity_gate.graphs.uses import Scheme
    from fidelity_gate.records import GraphConstant

PACKED = "MatMulNBits"
CODE_BOOK = "MatMulBnb4"
_DEQUANTIZE = "DequantizeLinear"
_PACKED_BITS = (2, 4, 8)
_G_IDX = 4  # the input of MatMulNBits that gives each row of a column its group


@dataclass(frozen=True, slots=True)
class Layout:
    """How a quantized constant is laid out.

    Attributes:
        shape: its logical shape: the file's own, but (N, K) for MatMulNBits.
        bits: of one number.
        granularity: how many values share a scale.
        axis: of the logical shape, along which scales differ; None for one scale.
        block: how many values along `axis` share a scale; 0 where one index does.
        readable: whether the values can be told: the scales are constants, and which belongs to what is known.
    """

    shape: tuple[int, ...]
    bits: int
    granularity: Granularity
    axis: int | None
    block: int
    readable: bool = True


def layout_of(constant: GraphConstant, bits: int, scheme: Scheme, scales: GraphConstant | None) -> Layout:
    """Return how a constant is laid out.

    Args:
        constant: the numbers.
        bits: of one of them, as its element type says.
        scheme: what the graph says of it.
        scales: the constant that holds its scales, where there is one.

    Raises:
        ModelRefused: the numbers and the scales do not fit what the operator says.
    """
    if scheme.by == PACKED:
        return _packed_layout(constant, scheme)
    shape, block = constant.shape, scheme.block
    if scheme.by == CODE_BOOK:
        told = (int_of(scheme.node, "N"), int_of(scheme.node, "K"))
        if min(told) < 1 or math.prod(told) > 2 * constant.stored_bytes:
            raise ModelRefused(f"holds fewer values than {told[0]}x{told[1]}", field=constant.name)
        return Layout(told, 4, Granularity.BLOCK, None, block, readable=False)
    if scales is None:
        return Layout(shape, bits, Granularity.NONE, None, 0, readable=False)
    if scales.values == 1:
        return Layout(shape, bits, Granularity.TENSOR, None, 0, readable=not scheme.zero_computed)
    granularity = Granularity.BLOCK if block > 0 else Granularity.CHANNEL
    if scheme.axis is not None and _fits(scales, shape, scheme.axis, block):
        return Layout(shape, bits, granularity, scheme.axis, block, readable=not scheme.zero_computed)
    if scheme.by == _DEQUANTIZE and scheme.axis is not None:
        what = f"has scales of shape {list(scales.shape)}, which do not fit {list(shape)}"
        raise ModelRefused(what, field=constant.name)
    return Layout(shape, bits, granularity, None, block, readable=False)


def quantized(content: Content, scheme: Scheme, layout: Layout, contents: Mapping[str, Content]) -> QuantizedWeight:
    """Return the numbers of a constant with their scales and zero points.

    Args:
        content: the constant.
        scheme: what the graph says of it.
        layout: how it is laid out; it must be readable.
        contents: every constant of the file.

    Returns:
        Where a scale belongs to a block, the axis that is cut in blocks is split in two, blocks and values of a block;
        the last block is filled up with zero points.
    """
    if scheme.by == PACKED:
        return _packed(content, scheme, layout, contents)
    integers = content.values()
    if content.element.library:
        integers = integers.astype(np.float32)  # narrow floats, of which every value is one
    scale = contents[scheme.scale].values().astype(np.float64)
    if scheme.zero:
        zero = contents[scheme.zero].values().astype(np.float64)
        if zero.size not in (1, scale.size):
            raise ModelRefused(f"has {zero.size:,} zero points and {scale.size:,} scales", field=content.constant.name)
    else:
        zero = np.zeros(1)
    low, high = content.element.limits
    if layout.granularity is Granularity.BLOCK and layout.axis is not None:
        integers = _in_blocks(integers, layout, np.broadcast_to(zero.reshape(_or_all(zero, scale)), scale.shape))
        scale, zero = (
            np.expand_dims(part.reshape(_or_all(part, scale)), layout.axis + 1) if part.size > 1 else part.reshape(-1)
            for part in (scale, zero)
        )
    else:
        scale, zero = _along(scale, layout), _along(zero, layout)
    return QuantizedWeight(integers, scale, zero, layout.bits, low, high, layout.granularity)


def dense(weight: QuantizedWeight, layout: Layout) -> NDArray[np.float32]:
    """Return the values in the logical shape."""
    with np.errstate(over="ignore", invalid="ignore"):
        narrow = ((weight.integers - weight.zero) * weight.scale).astype(np.float32)
    if layout.granularity is not Granularity.BLOCK or layout.axis is None:
        return narrow.reshape(layout.shape)
    axis = layout.axis
    joined = narrow.reshape(*narrow.shape[:axis], -1, *narrow.shape[axis + 2 :])
    return np.take(joined, range(layout.shape[axis]), axis=axis)


# ---------------------------------------------------------------- MatMulNBits


def _packed_layout(constant: GraphConstant, scheme: Scheme) -> Layout:
    node = scheme.node
    rows, columns, bits = int_of(node, "N"), int_of(node, "K"), int_of(node, "bits", 4)
    block = int_of(node, "block_size")
    if min(rows, columns, block) < 1 or bits not in _PACKED_BITS or block * bits % 8 or constant.dtype != "uint8":
        what = (
            f"is {constant.dtype}, {bits} bits, {rows}x{columns} in blocks of {block}: MatMulNBits has no such weights"
        )
        raise ModelRefused(what, field=constant.name)
    blocks = -(-columns // block)
    if constant.stored_bytes != rows * blocks * (block * bits // 8):
        raise ModelRefused(f"does not hold {rows}x{columns} in blocks of {block}", field=constant.name)
    granularity = Granularity.BLOCK if blocks > 1 else Granularity.CHANNEL
    readable = bool(scheme.scale) and not scheme.zero_computed
    return Layout((rows, columns), bits, granularity, 1, block, readable)


def _packed(content: Content, scheme: Scheme, layout: Layout, contents: Mapping[str, Content]) -> QuantizedWeight:
    name, (rows, columns) = content.constant.name, layout.shape
    if len(scheme.node.inputs) > _G_IDX and scheme.node.inputs[_G_IDX]:
        raise ModelRefused("has its columns in groups of another order (g_idx), which is not read here", field=name)
    blocks, bits = -(-columns // layout.block), layout.bits
    scale = contents[scheme.scale].values().astype(np.float64)
    if scale.size != rows * blocks:
        raise ModelRefused(f"has {scale.size:,} scales for {rows * blocks:,} blocks", field=name)
    zero = _packed_zero(scheme, (rows, blocks), bits, contents)
    codes = unpacked(content.values().reshape(rows, blocks, -1), bits)
    behind = -columns % layout.block
    if behind:  # what stands there means nothing, and would be counted
        codes = np.array(codes)  # 8 bits are a window into the file
        with np.errstate(invalid="ignore"):
            codes[:, -1, -behind:] = np.clip(np.rint(zero[:, -1:]), 0, (1 << bits) - 1)
    integers = codes if blocks > 1 else codes[:, 0, :columns]
    shape = (rows, blocks, 1) if blocks > 1 else (rows, 1)
    return QuantizedWeight(
        integers, scale.reshape(shape), zero.reshape(shape), bits, 0, (1 << bits) - 1, layout.granularity
    )


def _packed_zero(
    scheme: Scheme, shape: tuple[int, int], bits: int, contents: Mapping[str, Content]
) -> NDArray[np.float64]:
    """Return a zero point a block: packed as the numbers are, each row from a new byte; or floats, one each."""
    if not scheme.zero:
        return np.full(shape, 2.0 ** (bits - 1))
    stored = contents[scheme.zero]
    values = stored.values()
    if stored.element.name == "uint8":
        row = (shape[1] * bits + 7) // 8
        if values.size != shape[0] * row:
            what = f"are {values.size:,} bytes of zero points for {shape[0]} rows of {row}"
            raise ModelRefused(what, field=scheme.zero)
        values = unpacked(values.reshape(shape[0], row), bits)[:, : shape[1]]
    elif values.size != math.prod(shape):
        raise ModelRefused(f"are {values.size:,} zero points for {math.prod(shape):,} blocks", field=scheme.zero)
    return values.astype(np.float64).reshape(shape)


# ---------------------------------------------------------------- shapes


def _in_blocks(integers: NDArray[Any], layout: Layout, zero: NDArray[np.float64]) -> NDArray[Any]:
    """Return the integers with the blocked axis split in two, filled up with zero points."""
    axis, block = layout.axis or 0, layout.block
    missing = -integers.shape[axis] % block
    if missing:
        last = np.take(zero, [-1], axis=axis)
        filling = np.repeat(np.rint(last), missing, axis=axis).astype(integers.dtype)
        integers = np.concatenate([integers, filling], axis=axis)
    shape = integers.shape
    return integers.reshape(*shape[:axis], -1, block, *shape[axis + 1 :])


def _or_all(part: NDArray[Any], scale: NDArray[Any]) -> tuple[int, ...]:
    return scale.shape if part.size == scale.size else (1,) * scale.ndim


def _along(part: NDArray[np.float64], layout: Layout) -> NDArray[np.float64]:
    """Return one number, or one an index of the axis, in a shape that broadcasts against the integers."""
    if part.size == 1 or layout.axis is None:
        return part.reshape((1,) * max(1, len(layout.shape)))
    return part.reshape(tuple(-1 if axis == layout.axis else 1 for axis in range(len(layout.shape))))


def _fits(scales: GraphConstant, shape: tuple[int, ...], axis: int, block: int) -> bool:
    if block <= 0:
        return scales.values == shape[axis]
    return scales.shape == tuple(-(-size // block) if place == axis else size for place, size in enumerate(shape))
