"""TRM and HRM once more, written from the formulas in plain numpy float64: what the families are held against.

Nothing here is shared with the package. Loops over heads and probes are on purpose: no cleverness, no common mistakes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Config:
    """What the formulas need."""

    hidden: int
    heads: int
    positions: str
    puzzle_tokens: int
    mlp: bool
    layers: int
    two_levels: bool
    eps: float = 1e-5
    theta: float = 10000.0


def rms_norm(x, eps):
    return x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + eps)


def swiglu(x, gate_up, down):
    both = x @ gate_up.T
    inner = both.shape[-1] // 2
    gate, up = both[..., :inner], both[..., inner:]
    return (gate / (1 + np.exp(-gate)) * up) @ down.T


def rope(x, theta):
    tokens, width = x.shape
    half = width // 2
    out = np.empty_like(x)
    for position in range(tokens):
        for i in range(half):
            angle = position * theta ** (-2 * i / width)
            a, b = x[position, i], x[position, i + half]
            out[position, i] = a * math.cos(angle) - b * math.sin(angle)
            out[position, i + half] = b * math.cos(angle) + a * math.sin(angle)
    return out


def attention(x, qkv, out, config):
    width = config.hidden // config.heads
    mixed = np.zeros_like(x)
    for probe in range(len(x)):
        for head in range(config.heads):
            q, k, v = (
                x[probe] @ qkv[part * config.hidden + head * width : part * config.hidden + (head + 1) * width].T
                for part in range(3)
            )
            if config.positions == "rope":
                q, k = rope(q, config.theta), rope(k, config.theta)
            scores = q @ k.T / math.sqrt(width)
            weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
            weights /= weights.sum(axis=-1, keepdims=True)
            mixed[probe, :, head * width : (head + 1) * width] = weights @ v
    return mixed @ out.T


def level(x, name, weights, config):
    for index in range(config.layers):
        prefix = f"{name}.layers.{index}"
        if config.mlp:
            turned = np.swapaxes(x, 1, 2)
            mixed = swiglu(
                turned, weights[f"{prefix}.mlp_t.gate_up_proj.weight"], weights[f"{prefix}.mlp_t.down_proj.weight"]
            )
            x = np.swapaxes(rms_norm(turned + mixed, config.eps), 1, 2)
        else:
            mixed = attention(
                x, weights[f"{prefix}.self_attn.qkv_proj.weight"], weights[f"{prefix}.self_attn.o_proj.weight"], config
            )
            x = rms_norm(x + mixed, config.eps)
        wide = swiglu(x, weights[f"{prefix}.mlp.gate_up_proj.weight"], weights[f"{prefix}.mlp.down_proj.weight"])
        x = rms_norm(x + wide, config.eps)
    return x


def embed(inputs, identifiers, weights, config):
    rows = weights["embed_tokens.embedding_weight"][inputs]
    if config.puzzle_tokens:
        own = weights["puzzle_emb.weights"][identifiers]
        filled = np.zeros((len(inputs), config.puzzle_tokens * config.hidden))
        filled[:, : own.shape[1]] = own
        rows = np.concatenate((filled.reshape(len(inputs), config.puzzle_tokens, config.hidden), rows), axis=1)
    if config.positions == "learned":
        rows = (rows + weights["embed_pos.embedding_weight"]) / math.sqrt(2)
    return math.sqrt(config.hidden) * rows


def trajectory(inputs, identifiers, weights, config, depth):
    """Yield (z_H, z_L, logits, halt) after every ACT step."""
    weights = {name: np.asarray(weight, np.float64) for name, weight in weights.items()}
    x = embed(inputs, identifiers, weights, config)
    z_h, z_l = np.zeros_like(x) + weights["H_init"], np.zeros_like(x) + weights["L_init"]
    high = "H_level" if config.two_levels else "L_level"
    for _ in range(depth.steps):
        for _ in range(depth.h_cycles):
            for _ in range(depth.l_cycles):
                z_l = level(z_l + z_h + x, "L_level", weights, config)
            z_h = level(z_h + z_l, high, weights, config)
        logits = (z_h @ weights["lm_head.weight"].T)[:, config.puzzle_tokens :]
        yield z_h, z_l, logits, z_h[:, 0] @ weights["q_head.weight"].T + weights["q_head.bias"]
