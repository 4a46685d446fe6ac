"""How two of torch's operators are written in ONNX where the exporter's own form is longer than it need be."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def translations() -> dict[Any, Callable[..., Any]]:
    """Return operator -> translation, for `torch.onnx.export(custom_translation_table=...)`."""
    import torch

    aten = torch.ops.aten
    return {aten.scaled_dot_product_attention.default: _attention, aten.unbind.int: _unbind}


def _attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> Any:  # noqa: ANN401  (values of onnxscript)
    """Full attention over (B, n, L, hd): the exporter reshapes the key twice to transpose it, and scales both sides."""
    from onnxscript import opset18 as op

    scale = op.Constant(value_float=1.0 / math.sqrt(query.shape[-1]))
    scores = op.MatMul(op.Mul(query, scale), op.Transpose(key, perm=[0, 1, 3, 2]))
    return op.MatMul(op.Softmax(scores, axis=-1), value)


def _unbind(self: Any, dim: int = 0) -> Any:  # noqa: ANN401
    """One Split in place of a Slice for each part."""
    from onnxscript import opset18 as op

    count = self.shape[dim]
    axes: Any = op.Constant(value_ints=[dim])
    parts: Any = op.Split(self, axis=dim, num_outputs=count)
    return [op.Squeeze(part, axes) for part in parts]
