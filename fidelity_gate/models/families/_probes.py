"""What every recursion does with probes before its first step: check that they fit, and shake the initial carry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch

from fidelity_gate.errors import InputsRefused
from fidelity_gate.models.feeding import refuse_frames

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fidelity_gate.records import Probes


def check_tokens(batch: Probes, tokens: int) -> None:
    """Refuse probes of another length than the model takes.

    Raises:
        InputsRefused: they have not `tokens` tokens, or are frames.
    """
    refuse_frames(batch)
    found = int(batch.inputs.shape[1])
    if found != tokens:
        raise InputsRefused(
            f"probes have {found} tokens, the model takes {tokens}",
            where=batch.source,
            field="inputs",
            hint="other inputs, or seq_len and puzzle_emb_len under model:",
        )


def check_range(batch: Probes, field: Literal["inputs", "identifiers"], rows: int) -> None:
    """Refuse tokens or identifiers that a table of `rows` rows does not have.

    Raises:
        InputsRefused: some value is below 0 or not below `rows`, or the probes are frames.
    """
    refuse_frames(batch)
    values = batch.inputs if field == "inputs" else batch.identifiers
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= rows:
        raise InputsRefused(
            f"values run from {low} to {high}, the model knows 0 to {rows - 1}",
            where=batch.source,
            field=field,
            hint="these inputs belong to another vocabulary",
        )


def perturbed(streams: Iterable[torch.Tensor], size: float, seed: int) -> tuple[torch.Tensor, ...]:
    """Return each stream (B, L, D) plus Gaussian noise of `size` times each probe's root mean square."""
    if not size:
        return tuple(streams)
    noise = torch.Generator().manual_seed(seed)
    return tuple(_shaken(stream, size, noise) for stream in streams)


def _shaken(stream: torch.Tensor, size: float, noise: torch.Generator) -> torch.Tensor:
    wide = stream.to(torch.float32)
    level = wide.square().mean(dim=(1, 2), keepdim=True).sqrt()
    normal = torch.randn(wide.shape, generator=noise, dtype=torch.float32)
    return (wide + size * level * normal).to(stream.dtype)
