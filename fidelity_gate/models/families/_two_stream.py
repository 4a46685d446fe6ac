"""The recursion that TRM and HRM share: z_L and z_H, updated in cycles by one block or by two."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch.nn import functional

from fidelity_gate.models.families import _blocks as blocks
from fidelity_gate.models.families._probes import check_range, check_tokens, perturbed
from fidelity_gate.records import StepState

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from fidelity_gate.models.families._blueprint import Blueprint
    from fidelity_gate.records import Carry, Depth, Probes, RunSpec

EMBED_TOKENS = "embed_tokens.embedding_weight"
EMBED_POS = "embed_pos.embedding_weight"
PUZZLE_EMB = "puzzle_emb.weights"
HALF_ROOT = 0.707106781  # 1/sqrt(2) with the digits that the official code uses


class Context(NamedTuple):
    """What stays the same over all steps of a batch."""

    embedding: torch.Tensor  # (B, L, D), already scaled
    cos_sin: blocks.CosSin | None


class Streams(NamedTuple):
    """The carry of a batch."""

    z_h: torch.Tensor  # (B, L, D)
    z_l: torch.Tensor  # (B, L, D)


class TwoStream:
    """Embedding, one ACT step and the heads, over weights held by their official keys."""

    def __init__(self, blueprint: Blueprint, weights: Mapping[str, blocks.Matrix], dtype: torch.dtype) -> None:
        """Take the weights as they are; every tensor among them must already be of `dtype`."""
        self.blueprint = blueprint
        self.weights = weights
        self.dtype = dtype

    def encode(self, inputs: torch.Tensor, identifiers: torch.Tensor) -> Context:
        """Return the scaled input embedding and the rotary table.

        Args:
            inputs: (B, S) integer tokens.
            identifiers: (B,) puzzle identifiers.
        """
        plan = self.blueprint
        embedding = functional.embedding(inputs, self._tensor(EMBED_TOKENS))
        if plan.puzzle_emb_ndim:
            puzzle = functional.embedding(identifiers, self._tensor(PUZZLE_EMB))
            missing = plan.puzzle_emb_len * plan.hidden_size - plan.puzzle_emb_ndim
            puzzle = functional.pad(puzzle, (0, missing)).view(-1, plan.puzzle_emb_len, plan.hidden_size)
            embedding = torch.cat((puzzle, embedding), dim=1)
        if plan.positions == "learned":
            embedding = HALF_ROOT * (embedding + self._tensor(EMBED_POS))
        table = None
        if plan.positions == "rope" and not plan.token_mixing:
            table = blocks.rotary_table(embedding.shape[1], plan.hidden_size // plan.num_heads, plan.rope_theta)
        return Context(plan.hidden_size**0.5 * embedding, table)

    def start(self, like: torch.Tensor) -> Streams:
        """Return the initial carry, broadcast over all probes and tokens of `like` (B, L, D)."""
        return Streams(self._tensor("H_init").expand_as(like), self._tensor("L_init").expand_as(like))

    def update_low(self, carry: Streams, context: Context) -> Streams:
        """Return the carry after one update of z_L."""
        z_l = carry.z_l + (carry.z_h + context.embedding)
        return Streams(carry.z_h, self._level(z_l, self.blueprint.l_layers, context.cos_sin))

    def update_high(self, carry: Streams, context: Context) -> Streams:
        """Return the carry after one update of z_H."""
        z_h = self._level(carry.z_h + carry.z_l, self.blueprint.h_layers, context.cos_sin)
        return Streams(z_h, carry.z_l)

    def cycle(self, carry: Streams, context: Context, l_cycles: int) -> Streams:
        """Return the carry after one H cycle: `l_cycles` updates of z_L, then one of z_H."""
        for _ in range(l_cycles):
            carry = self.update_low(carry, context)
        return self.update_high(carry, context)

    def heads(self, z_h: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the logits (B, S, V) of the puzzle's own tokens and the float32 halting logits (B, 2)."""
        logits = blocks.project(z_h[:, self.blueprint.puzzle_emb_len :], self.weights["lm_head.weight"])
        halt = blocks.project(z_h[:, 0], self.weights["q_head.weight"], self._tensor("q_head.bias"))
        return logits, halt.to(torch.float32)

    def _level(self, x: torch.Tensor, layers: tuple[str, ...], cos_sin: blocks.CosSin | None) -> torch.Tensor:
        plan, weights = self.blueprint, self.weights
        for layer in layers:
            if plan.token_mixing:
                x = x.transpose(1, 2).contiguous()
                mixed = blocks.swiglu(
                    x, weights[f"{layer}.mlp_t.gate_up_proj.weight"], weights[f"{layer}.mlp_t.down_proj.weight"]
                )
                x = blocks.rms_norm(x + mixed, plan.rms_norm_eps).transpose(1, 2)
            else:
                qkv, out = weights[f"{layer}.self_attn.qkv_proj.weight"], weights[f"{layer}.self_attn.o_proj.weight"]
                mixed = blocks.attention(x, qkv, out, plan.num_heads, cos_sin)
                x = blocks.rms_norm(x + mixed, plan.rms_norm_eps)
            wide = blocks.swiglu(
                x, weights[f"{layer}.mlp.gate_up_proj.weight"], weights[f"{layer}.mlp.down_proj.weight"]
            )
            x = blocks.rms_norm(x + wide, plan.rms_norm_eps)
        return x

    def _tensor(self, name: str) -> torch.Tensor:
        return blocks.tensor(self.weights, name)


def build(blueprint: Blueprint, weights: Mapping[str, blocks.Matrix], run: RunSpec) -> TwoStreamRecursion:
    """Return a model ready to step; weights that are modules keep their own arithmetic."""
    dtype: torch.dtype = getattr(torch, run.dtype)
    cast = {name: w.to(dtype) if isinstance(w, torch.Tensor) else w for name, w in weights.items()}
    return TwoStreamRecursion(TwoStream(blueprint, cast, dtype))


class TwoStreamRecursion:
    """A TRM or an HRM, ready to step (the `Recursion` protocol)."""

    streams: tuple[str, ...] = ("z_H", "z_L")

    def __init__(self, core: TwoStream) -> None:
        self.core = core

    def run(
        self, batch: Probes, depth: Depth, *, perturbation: float = 0.0, seed: int = 0
    ) -> Generator[StepState, Carry | None, None]:
        """Yield the state after every ACT step; a carry that is sent in replaces the model's own.

        Inference mode is entered step by step: held across a `yield` it would leak into the caller.

        Raises:
            InputsRefused: the probes do not fit the architecture.
        """
        self._check(batch)
        with torch.inference_mode():
            context = self.core.encode(torch.from_numpy(batch.inputs), torch.from_numpy(batch.identifiers))
            carry = Streams(*perturbed(self.core.start(context.embedding), perturbation, seed))
        for _ in range(depth.steps):
            with torch.inference_mode():
                for _ in range(depth.h_cycles):
                    carry = self.core.cycle(carry, context, depth.l_cycles)
                logits, halt = self.core.heads(carry.z_h)
            forced = yield StepState({"z_H": carry.z_h, "z_L": carry.z_l}, logits, halt)
            if forced is not None:
                carry = Streams(forced["z_H"].to(self.core.dtype), forced["z_L"].to(self.core.dtype))

    def _check(self, batch: Probes) -> None:
        plan = self.core.blueprint
        if plan.seq_len:
            check_tokens(batch, plan.seq_len)
        check_range(batch, "inputs", len(blocks.tensor(self.core.weights, EMBED_TOKENS)))
        if plan.puzzle_emb_ndim:
            check_range(batch, "identifiers", len(blocks.tensor(self.core.weights, PUZZLE_EMB)))
