"""Deep supervision over ACT steps: one optimiser step after every ACT step, the carry detached in between."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from fidelity_gate import registry
from fidelity_gate.errors import UsageError
from fidelity_gate.models.families._two_stream import Streams, TwoStream
from fidelity_gate.zoo.initial import initial_weights, start_from_units
from fidelity_gate.zoo.losses import is_exact, training_loss

if TYPE_CHECKING:
    from fidelity_gate.models.families.hrm import Hrm
    from fidelity_gate.models.families.trm import Trm
    from fidelity_gate.records import Scalar
    from fidelity_gate.zoo.recipe import TrainingRecipe
    from fidelity_gate.zoo.tasks import Task

BETAS = (0.9, 0.95)


class Progress(NamedTuple):
    """What one optimiser step saw."""

    loss: float
    exact: float  # share of the batch, at whatever step each puzzle is


class Slots:
    """The batch in flight: every slot holds one puzzle until it halts, then takes a new one."""

    def __init__(self, recipe: TrainingRecipe, tokens: int) -> None:
        batch = recipe.batch
        self.inputs = torch.zeros(batch, tokens, dtype=torch.int64)
        self.labels = torch.zeros(batch, tokens, dtype=torch.int64)
        self.age = torch.zeros(batch, dtype=torch.int64)  # ACT steps done
        self.least = torch.zeros(batch, dtype=torch.int64)  # ACT steps that must be done
        self.halted = torch.ones(batch, dtype=torch.bool)
        # Staggered, the first puzzles stay for 1, 2, 3 ... ACT steps, so that slots never take new ones all at once.
        self.head_start = torch.arange(batch) % recipe.supervision * recipe.staggered
        self.carry: Streams | None = None


class Trainer:
    """One training run; `step` until `done` reaches the recipe's steps."""

    def __init__(self, recipe: TrainingRecipe, task: Task) -> None:
        self.recipe = recipe
        self.task = task
        self.model = model_of(recipe, task)
        self.draws = np.random.default_rng(recipe.seed)
        self.weights = _fresh_weights(self.model, recipe, task)
        self.averaged = {name: weight.detach().clone() for name, weight in self.weights.items()}
        trainable = [weight for weight in self.weights.values() if weight.requires_grad]
        self.optimiser = torch.optim.AdamW(trainable, lr=recipe.lr, betas=BETAS, weight_decay=recipe.weight_decay)
        self.slots = Slots(recipe, task.sets.seq_len)
        self.done = 0

    def step(self) -> Progress:
        """Make one ACT step of every slot, and learn from it."""
        self._refill()
        recipe, slots = self.recipe, self.slots
        dtype = getattr(torch, recipe.dtype)
        core = TwoStream(self.model.blueprint(), {name: w.to(dtype) for name, w in self.weights.items()}, dtype)
        context = core.encode(slots.inputs, torch.zeros_like(slots.age))
        carry = _carry(core.start(context.embedding), slots)
        with torch.no_grad():
            for _ in range(recipe.h_cycles - 1):
                carry = core.cycle(carry, context, recipe.l_cycles)
        carry = core.cycle(carry, context, recipe.l_cycles)
        logits, halt = core.heads(carry.z_h)
        loss = training_loss(logits, halt, slots.labels)
        self._learn(loss)
        self._advance(carry, halt.detach())
        return Progress(float(loss.detach()), float(is_exact(logits.detach(), slots.labels).float().mean()))

    def _refill(self) -> None:
        """Put a new puzzle into every slot that has halted."""
        slots, recipe, draws = self.slots, self.recipe, self.draws
        places = slots.halted.nonzero().squeeze(1)
        if not len(places):
            return
        inputs, labels = self.task.batch(len(places), draws)
        slots.inputs[places] = torch.from_numpy(inputs).long()
        slots.labels[places] = torch.from_numpy(labels).long()
        slots.age[places] = slots.head_start if slots.carry is None else 0
        explores = draws.random(len(places)) < recipe.exploration
        least = draws.integers(2, max(recipe.supervision, 2) + 1, size=len(places))
        slots.least[places] = torch.from_numpy(np.where(explores, least, 0))

    def _learn(self, loss: torch.Tensor) -> None:
        recipe = self.recipe
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for group in self.optimiser.param_groups:
            group["lr"] = recipe.lr * pace(self.done, recipe)
        self.optimiser.step()
        with torch.no_grad():
            for name, weight in self.weights.items():
                self.averaged[name].lerp_(weight, 1 - recipe.ema)
        self.done += 1

    def _advance(self, carry: Streams, halt: torch.Tensor) -> None:
        slots = self.slots
        slots.carry = Streams(carry.z_h.detach(), carry.z_l.detach())
        slots.age += 1
        wants = (halt[:, 0] > 0) & (slots.age >= slots.least)
        slots.halted = wants | (slots.age >= self.recipe.supervision)


def pace(done: int, recipe: TrainingRecipe) -> float:
    """Return the share of the learning rate at a step: a linear rise, a plateau, a linear fall at the end."""
    rise = (done + 1) / max(1, recipe.warmup)
    fall = (recipe.steps - done) / max(1, recipe.cooldown)
    return min(1.0, rise, fall) if recipe.cooldown else min(1.0, rise)


def model_of(recipe: TrainingRecipe, task: Task) -> Trm | Hrm:
    """Return the architecture that a recipe trains."""
    options: dict[str, Scalar] = {
        "expansion": recipe.expansion,
        "h_cycles": recipe.h_cycles,
        "hidden_size": recipe.hidden,
        "l_cycles": recipe.l_cycles,
        "num_heads": recipe.heads if recipe.mixer == "attention" else 0,
        "positions": recipe.positions,
        "seq_len": task.sets.seq_len,
        "steps": recipe.supervision,
        "vocab_size": task.vocab_size,
    }
    if recipe.family == "hrm":
        options |= {"h_layers": recipe.layers, "l_layers": recipe.layers}
    else:
        options |= {"layers": recipe.layers, "mixer": recipe.mixer}
    model: Trm | Hrm = registry.build("models.families", recipe.family, options.items(), kind=UsageError)
    return model


def _fresh_weights(model: Trm | Hrm, recipe: TrainingRecipe, task: Task) -> dict[str, torch.Tensor]:
    weights, units = initial_weights(model, recipe.seed), task.units()
    if recipe.unit_start:
        if units is None or recipe.positions != "learned" or recipe.heads < units.shape[1]:
            hint = "sudoku, learned positions, and a head for rows, columns and boxes each"
            raise UsageError("this task or model has nothing to start from", field="unit_start", hint=hint)
        start_from_units(weights, units, recipe.heads, recipe.seed)
    return {name: weight.requires_grad_(not name.endswith("_init")) for name, weight in weights.items()}


def _carry(fresh: Streams, slots: Slots) -> Streams:
    if slots.carry is None:
        return fresh
    new = slots.halted.view(-1, 1, 1)
    return Streams(*(torch.where(new, first, kept) for first, kept in zip(fresh, slots.carry, strict=True)))
