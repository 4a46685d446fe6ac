"""ONNX operators that are not one matrix product and cost FLOPs all the same: convolutions, attention, recurrence.

Source: the operators' specifications (ONNX operators and onnxruntime's contrib operators).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fidelity_gate.analysis.operator_einsum import einsum
from fidelity_gate.analysis.operator_products import MICROSOFT, Call, Shape
from fidelity_gate.errors import NotMeasured

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


# ---------------------------------------------------------------- convolutions


def _conv(call: Call, weight: int = 1) -> int:
    """Return 2 for every value of the kernel and place of the output. Its bias counts nothing."""
    sizes, kernel = call.shape(0), call.shape(weight)  # (B, C, places...), (O, C / groups, kernel...)
    if call.whole("channels_last"):
        sizes = (sizes[0], sizes[-1], *sizes[1:-1])
    if len(sizes) != len(kernel) or len(sizes) < 3 or sizes[1] != kernel[1] * call.whole("group", 1):
        raise NotMeasured("its input does not fit its kernel")
    return 2 * sizes[0] * math.prod(_places(call, sizes[2:], kernel[2:])) * math.prod(kernel)


def _places(call: Call, sizes: Shape, kernel: Shape) -> Shape:
    """Return the output's size along every axis that the kernel moves on."""
    ones = (1,) * len(sizes)
    strides, dilations = call.wholes("strides", ones), call.wholes("dilations", ones)
    pads = call.wholes("pads", (0,) * 2 * len(sizes))
    padding = call.node.attributes.get("auto_pad", "NOTSET")
    if padding in ("SAME_UPPER", "SAME_LOWER"):
        return tuple(-(size // -stride) for size, stride in zip(sizes, strides, strict=True))
    if padding == "VALID":
        pads = (0,) * len(pads)
    return tuple(
        (size + pads[axis] + pads[axis + len(sizes)] - dilations[axis] * (kernel[axis] - 1) - 1) // strides[axis] + 1
        for axis, size in enumerate(sizes)
    )


def _conv_transpose(call: Call) -> int:
    """Return 2 for every value of the kernel and place of the input."""
    sizes, kernel = call.shape(0), call.shape(1)  # (B, C, places...), (C, O / groups, kernel...)
    if len(sizes) != len(kernel) or sizes[1] != kernel[0]:
        raise NotMeasured("its input does not fit its kernel")
    return 2 * sizes[0] * math.prod(sizes[2:]) * math.prod(kernel)


# ---------------------------------------------------------------- recurrence


def _recurrent(call: Call) -> int:
    """Return the products of every gate, for every step of the sequence and both directions where there are two.

    The weights (directions, gates * H, I) and (directions, gates * H, H) are applied to every row of every step, so the
    sequence's length counts whichever of its first two axes it is; a row that ends early counts in full.
    """
    steps, rows = call.shape(0)[:2]
    return 2 * steps * rows * (math.prod(call.shape(1)) + math.prod(call.shape(2)))


# ---------------------------------------------------------------- attention


def _attend(queries: int, keys: int, key_width: int, value_width: int) -> int:
    """Return queries times keys and weights times values, over all heads; a causal mask spares nothing."""
    return 2 * queries * keys * (key_width + value_width)


def _attention(call: Call) -> int:
    """Return the cost of ai.onnx Attention: Q, K, V as (B, L, n * hd), or (B, n, L, hd); past keys are seen too."""
    query, key, value = call.shape(0), call.shape(1), call.shape(2)
    past = call.shape(4)[2] if call.has(4) else 0
    if len(query) == 4:
        batch, heads, queries, width = query
        return batch * _attend(queries, key[2] + past, heads * width, heads * value[3])
    heads, groups = call.whole("q_num_heads"), call.whole("kv_num_heads")
    if len(query) != 3 or not heads or not groups:
        raise NotMeasured("its number of heads is not known")
    return query[0] * _attend(query[1], key[1] + past, query[2], value[2] // groups * heads)


def _packed_attention(call: Call, past: int = 4) -> int:
    """Return the cost of Attention with its projections: x (B, L, I), weights (I, queries + keys + values)."""
    (batch, tokens, inner), (rows, columns) = call.shape(0), call.shape(1)
    if inner != rows or call.whole("past_present_share_buffer"):
        raise NotMeasured("its input does not fit its weights" if inner != rows else "it shares a buffer with its past")
    widths = call.wholes("qkv_hidden_sizes", (columns // 3,) * 3)
    seen = tokens + (call.shape(past)[3] if call.has(past) else 0)
    return batch * (2 * tokens * inner * sum(widths) + _attend(tokens, seen, widths[0], widths[2]))


def _multi_head(call: Call) -> int:
    """Return the cost of MultiHeadAttention without projections; queries, keys and values may come packed."""
    query = call.shape(0)
    past = call.shape(6)[2] if call.has(6) else 0
    if call.has(8) or call.has(9) or call.whole("past_present_share_buffer"):
        raise NotMeasured("it shares a buffer with its past")
    if len(query) == 5:  # (B, L, n, 3, hd)
        batch, tokens, heads, _, width = query
        return batch * _attend(tokens, tokens + past, heads * width, heads * width)
    keys, values = _keys_and_values(call)
    return query[0] * _attend(query[1], keys + past, query[2], values)


def _keys_and_values(call: Call) -> tuple[int, int]:
    """Return how many keys there are, and the width of a value over all heads."""
    key = call.shape(1)
    if len(key) == 5:  # (B, L, n, 2, hd)
        return key[1], key[2] * key[4]
    value = call.shape(2)
    if len(key) == 4:  # (B, n, L, hd)
        return key[2], value[1] * value[3]
    return key[1], value[2]


COSTS: Mapping[str, Callable[[Call], int]] = {
    "Attention": _attention,
    "Conv": _conv,
    "ConvInteger": _conv,
    "ConvTranspose": _conv_transpose,
    "Einsum": einsum,
    "GRU": _recurrent,
    "LSTM": _recurrent,
    "QLinearConv": lambda call: _conv(call, 3),
    "RNN": _recurrent,
    f"{MICROSOFT}.Attention": _packed_attention,
    f"{MICROSOFT}.DynamicQuantizeLSTM": _recurrent,
    f"{MICROSOFT}.FusedConv": _conv,
    f"{MICROSOFT}.MultiHeadAttention": _multi_head,
    f"{MICROSOFT}.QAttention": lambda call: _packed_attention(call, 8),
    f"{MICROSOFT}.QLinearConv": lambda call: _conv(call, 3),
}
