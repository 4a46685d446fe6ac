"""The recursion of the Recurrent Transformer, in torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from fidelity_gate.errors import ModelRefused
from fidelity_gate.models.families import _blocks as blocks
from fidelity_gate.models.families._probes import check_range, check_tokens, perturbed
from fidelity_gate.records import StepState

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from fidelity_gate.models.families.recurrent_transformer import RecurrentTransformer
    from fidelity_gate.records import Carry, Depth, Probes, RunSpec


def build(
    model: RecurrentTransformer, weights: Mapping[str, blocks.Matrix], run: RunSpec
) -> RecurrentTransformerRecursion:
    """Return the model ready to step; weights that are modules keep their own arithmetic."""
    dtype: torch.dtype = getattr(torch, run.dtype)
    cast = {name: w.to(dtype) if isinstance(w, torch.Tensor) else w for name, w in weights.items()}
    return RecurrentTransformerRecursion(model, cast, dtype)


class RecurrentTransformerRecursion:
    """A Recurrent Transformer, ready to step (the `Recursion` protocol)."""

    streams: tuple[str, ...] = ("z",)

    def __init__(self, model: RecurrentTransformer, weights: Mapping[str, blocks.Matrix], dtype: torch.dtype) -> None:
        self.model = model
        self.weights = weights
        self.dtype = dtype
        self.masks = {layer: self._mask(layer) for layer in model.layer_names()}

    def run(
        self, batch: Probes, depth: Depth, *, perturbation: float = 0.0, seed: int = 0
    ) -> Generator[StepState, Carry | None, None]:
        """Yield the state after every pass through the block; a carry that is sent in replaces the model's own.

        Raises:
            InputsRefused: the probes do not fit the architecture.
            ModelRefused: the depth asks for cycles, and this recursion has none.
        """
        if (depth.h_cycles, depth.l_cycles) != (1, 1):
            raise ModelRefused(f"{self.model.name} has no cycles", field="recursion", hint="h_cycles: 1, l_cycles: 1")
        check_tokens(batch, self.model.seq_len)
        check_range(batch, "inputs", self.model.vocab_size)
        with torch.inference_mode():
            embedded = functional.embedding(torch.from_numpy(batch.inputs), self._tensor("tok_emb.weight"))
            (z,) = perturbed((embedded + self._tensor("pos_emb"),), perturbation, seed)
        for _ in range(depth.steps):
            with torch.inference_mode():
                for layer in self.model.layer_names():
                    z = self._layer(z, layer)
                logits = blocks.project(self._norm(z, "ln_f"), self.weights["head.weight"])
            forced = yield StepState({"z": z}, logits)
            if forced is not None:
                z = forced["z"].to(self.dtype)

    def _layer(self, z: torch.Tensor, layer: str) -> torch.Tensor:
        z = z + self._attention(self._norm(z, f"{layer}.ln1"), layer)
        inner = functional.gelu(self._linear(self._norm(z, f"{layer}.ln2"), f"{layer}.mlp.0"))
        return z + self._linear(inner, f"{layer}.mlp.2")

    def _attention(self, x: torch.Tensor, layer: str) -> torch.Tensor:
        batch, tokens, width = x.shape
        parts = (self._linear(x, f"{layer}.attn.{part}") for part in ("query", "key", "value"))
        query, key, value = (
            part.view(batch, tokens, self.model.num_heads, -1).transpose(1, 2).float() for part in parts
        )
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=self.masks[layer])
        mixed = mixed.to(x.dtype).transpose(1, 2).reshape(batch, tokens, width)
        return self._linear(mixed, f"{layer}.attn.proj")

    def _linear(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return blocks.project(x, self.weights[f"{name}.weight"], self._tensor(f"{name}.bias"))

    def _norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        weight, bias = self._tensor(f"{name}.weight"), self._tensor(f"{name}.bias")
        return functional.layer_norm(x, weight.shape, weight, bias, self.model.layer_norm_eps)

    def _mask(self, layer: str) -> torch.Tensor | None:
        """Return which tokens may be seen, or None where all may."""
        seen = self._tensor(f"{layer}.attn.mask") != 0
        return None if bool(seen.all()) else seen

    def _tensor(self, name: str) -> torch.Tensor:
        return blocks.tensor(self.weights, name)
