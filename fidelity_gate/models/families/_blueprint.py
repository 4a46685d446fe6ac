"""What the shared two-stream recursion has to know of an architecture; no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Blueprint:
    """TRM and HRM seen alike: two streams, and the layers that update each.

    TRM lists the same layers twice (one shared block); HRM has two blocks.
    """

    hidden_size: int  # D
    token_mixing: bool  # an MLP over the token axis takes the place of attention
    num_heads: int
    positions: str  # rope, learned, none
    puzzle_emb_len: int  # tokens before the puzzle's own
    puzzle_emb_ndim: int  # 0: no puzzle embedding
    seq_len: int  # S; 0: any
    rms_norm_eps: float
    rope_theta: float
    h_layers: tuple[str, ...]  # key prefixes, in order: "H_level.layers.0"
    l_layers: tuple[str, ...]
