"""The layers that official TRM and HRM are made of, as pure torch functions (inference and training share them).

Shapes use B probes, L tokens (puzzle-embedding tokens first), D width, n attention heads, hd = D / n.
Source: the papers' appendices and the layer definitions that their authors publish beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import torch
from torch.nn import functional

from fidelity_gate.errors import Internal

Matrix: TypeAlias = torch.Tensor | Callable[[torch.Tensor], torch.Tensor]
CosSin: TypeAlias = tuple[torch.Tensor, torch.Tensor]


def tensor(weights: Mapping[str, Matrix], name: str) -> torch.Tensor:
    """Return a weight that is looked up or added, so that it cannot be a module.

    Raises:
        Internal: it is one; a recipe may replace matrices only.
    """
    weight = weights[name]
    if not isinstance(weight, torch.Tensor):
        raise Internal("must be a tensor, only matrices may be modules", field=name)
    return weight


def project(x: torch.Tensor, matrix: Matrix, bias: torch.Tensor | None = None) -> torch.Tensor:
    """Return `x @ matrix.T + bias`; a callable matrix (LLM.int8 and its like) does the product itself.

    Args:
        x: (..., in).
        matrix: (out, in), in the dtype of `x`, or a callable from (..., in) to (..., out).
        bias: (out,), or None.
    """
    if isinstance(matrix, torch.Tensor):
        return functional.linear(x, matrix, bias)
    product = matrix(x)
    return product if bias is None else product + bias


def rms_norm(x: torch.Tensor, eps: float) -> torch.Tensor:
    """Return `x` scaled to unit mean square over its last axis; computed in float32, no learned weight."""
    wide = x.to(torch.float32)
    scale = torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)
    return (wide * scale).to(x.dtype)


def swiglu(x: torch.Tensor, gate_up: Matrix, down: Matrix) -> torch.Tensor:
    """Return `down(silu(gate) * up)` where `gate_up` (2 I, in) stacks the gate above the up projection."""
    gate, up = project(x, gate_up).chunk(2, dim=-1)
    return project(functional.silu(gate) * up, down)


def rotary_table(tokens: int, head_dim: int, theta: float) -> CosSin:
    """Return cosines and sines, each (tokens, head_dim) float32, of rotary positions with rotated halves."""
    frequencies = 1.0 / (theta ** (torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim))
    angles = torch.outer(torch.arange(tokens, dtype=torch.float32), frequencies)
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def rotate(x: torch.Tensor, cos_sin: CosSin) -> torch.Tensor:
    """Return `x` (B, n, L, hd) turned by its position; computed in float32."""
    cos, sin = cos_sin
    wide = x.to(cos.dtype)
    first, second = wide.chunk(2, dim=-1)
    return (wide * cos + torch.cat((-second, first), dim=-1) * sin).to(x.dtype)


def attention(x: torch.Tensor, qkv: Matrix, out: Matrix, heads: int, cos_sin: CosSin | None) -> torch.Tensor:
    """Return full (not causal) self-attention over (B, L, D), without biases.

    Args:
        x: (B, L, D).
        qkv: (3 D, D): all query heads, then all key heads, then all value heads.
        out: (D, D).
        heads: n.
        cos_sin: rotary table of L rows, or None.
    """
    batch, tokens, width = x.shape
    split = project(x, qkv).view(batch, tokens, 3, heads, width // heads)
    query, key, value = split.permute(2, 0, 3, 1, 4).unbind(0)  # each (B, n, L, hd)
    if cos_sin is not None:
        query, key = rotate(query, cos_sin), rotate(key, cos_sin)
    # In float32 whatever the model's dtype: CPU kernels for bfloat16 are slower, and their softmax is coarser.
    mixed = functional.scaled_dot_product_attention(query.float(), key.float(), value.float()).to(x.dtype)
    return project(mixed.transpose(1, 2).reshape(batch, tokens, width), out)
