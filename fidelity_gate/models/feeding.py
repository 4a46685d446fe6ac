"""What a model is fed: tokens, the same at every step, or frames, another at each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fidelity_gate.errors import InputsRefused

if TYPE_CHECKING:
    from fidelity_gate.records import Probes


def refuse_frames(batch: Probes) -> None:
    """Raise InputsRefused for frames: this model takes tokens."""
    if batch.frames:
        hint = "frames are for step graphs that are fed another chunk at every step"
        raise InputsRefused("probes are frames, the model takes tokens", where=batch.source, field="inputs", hint=hint)
