"""The training loop: steps, checkpoints, validation, and what the caller wants to hear of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from fidelity_gate.zoo.checkpoint import load_checkpoint, save_checkpoint
from fidelity_gate.zoo.evaluation import exact_rows
from fidelity_gate.zoo.tasks import task_of
from fidelity_gate.zoo.trainer import Trainer

if TYPE_CHECKING:
    from pathlib import Path

    from fidelity_gate.zoo.recipe import TrainingRecipe

CHECKPOINT = "checkpoint.safetensors"


class Listener(Protocol):
    """Who watches a training run."""

    def stepped(self, done: int, loss: float) -> None:
        """Hear of one optimiser step."""

    def validated(self, done: int, exact: float) -> None:
        """Hear the exact accuracy of the averaged weights on validation rows."""


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """What a run does beside learning."""

    folder: Path
    every: int = 250  # steps between checkpoints, each with a validation
    resume: bool = False
    stop_after: int = 0  # steps; 0: run to the end


def train(recipe: TrainingRecipe, plan: TrainingPlan, listener: Listener) -> Trainer:
    """Run a recipe to its end and return the trainer; a checkpoint is written every `plan.every` steps and at the end.

    Raises:
        UsageError: there is no checkpoint to resume, or it belongs to another recipe.
        InputsRefused: no such puzzles exist.
    """
    trainer = Trainer(recipe, task_of(recipe))
    plan.folder.mkdir(parents=True, exist_ok=True)
    path = plan.folder / CHECKPOINT
    if plan.resume:
        load_checkpoint(trainer, path)
    end = min(recipe.steps, plan.stop_after or recipe.steps)
    while trainer.done < end:
        listener.stepped(trainer.done + 1, trainer.step().loss)
        if trainer.done % plan.every == 0 or trainer.done == end:
            save_checkpoint(trainer, path)
            listener.validated(trainer.done, validation_accuracy(trainer))
    return trainer


def validation_accuracy(trainer: Trainer) -> float:
    """Return the exact accuracy of the averaged weights on rows that are neither trained on nor shipped."""
    rows = trainer.task.sets.validation
    return float(exact_rows(trainer.model, trainer.averaged, rows, trainer.recipe.depth).mean())
