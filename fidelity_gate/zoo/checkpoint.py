"""A training run on disk: one safetensors file, whose header holds the counters and the state of chance as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from fidelity_gate.errors import UsageError
from fidelity_gate.files import write_atomically
from fidelity_gate.models.families._two_stream import Streams
from fidelity_gate.zoo.recipe import recipe_from

if TYPE_CHECKING:
    from pathlib import Path

    from fidelity_gate.zoo.recipe import TrainingRecipe
    from fidelity_gate.zoo.trainer import Trainer

KEY = "fidelity_gate.training"
MOMENTS = ("exp_avg", "exp_avg_sq")
SLOT_FIELDS = ("inputs", "labels", "age", "least", "halted")


def save_checkpoint(trainer: Trainer, path: Path) -> None:
    """Write everything that the rest of the run depends on; a broken write leaves the old file."""
    tensors = {f"weights/{name}": weight.detach() for name, weight in trainer.weights.items()}
    tensors |= {f"averaged/{name}": weight for name, weight in trainer.averaged.items()}
    for name, weight in trainer.weights.items():
        moments = trainer.optimiser.state.get(weight, {})
        tensors |= {f"{moment}/{name}": moments[moment] for moment in MOMENTS if moment in moments}
    tensors |= {f"slots/{field}": getattr(trainer.slots, field) for field in SLOT_FIELDS}
    if trainer.slots.carry is not None:
        tensors |= {f"slots/{field}": stream.contiguous() for field, stream in trainer.slots.carry._asdict().items()}
    state = {
        "done": trainer.done,
        "draws": trainer.draws.bit_generator.state,
        "recipe": json.loads(trainer.recipe.to_json()),
    }
    write_atomically(path, save(tensors, metadata={KEY: json.dumps(state, sort_keys=True)}))


def load_recipe(path: Path) -> TrainingRecipe:
    """Return the recipe that a checkpoint was started with.

    Raises:
        UsageError: the file is no checkpoint of a training run.
    """
    return recipe_from(_read(path)[1]["recipe"], where=str(path))  # type: ignore[arg-type]


def load_checkpoint(trainer: Trainer, path: Path) -> None:
    """Put a fresh trainer where the checkpoint's was.

    Raises:
        UsageError: the file is no checkpoint, or belongs to another recipe.
    """
    tensors, state = _read(path)
    if recipe_from(state["recipe"], where=str(path)) != trainer.recipe:  # type: ignore[arg-type]
        raise UsageError("this checkpoint belongs to another recipe", where=path, hint="resume with its own options")
    with torch.no_grad():
        for name, weight in trainer.weights.items():
            weight.copy_(tensors[f"weights/{name}"])
            trainer.averaged[name].copy_(tensors[f"averaged/{name}"])
            if f"exp_avg/{name}" in tensors:
                moments: dict[str, torch.Tensor] = {moment: tensors[f"{moment}/{name}"] for moment in MOMENTS}
                trainer.optimiser.state[weight] = {"step": torch.tensor(float(state["done"])), **moments}  # type: ignore[arg-type]
    for field in SLOT_FIELDS:
        setattr(trainer.slots, field, tensors[f"slots/{field}"])
    if "slots/z_h" in tensors:
        trainer.slots.carry = Streams(tensors["slots/z_h"], tensors["slots/z_l"])
    trainer.draws.bit_generator.state = state["draws"]  # type: ignore[assignment]
    trainer.done = int(state["done"])  # type: ignore[call-overload]


def _read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, object]]:
    try:
        with safe_open(path, "pt") as opened:
            text = (opened.metadata() or {}).get(KEY)
            tensors = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118  (not a mapping)
    except (OSError, SafetensorError) as error:
        raise UsageError(
            f"not a checkpoint: {error}", where=path, hint="zoo train writes checkpoint.safetensors"
        ) from None
    if text is None:
        raise UsageError(
            "not a checkpoint of a training run", where=path, hint="zoo train writes checkpoint.safetensors"
        )
    return tensors, json.loads(text)
