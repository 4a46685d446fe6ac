"""Everything that decides a training run: the same recipe on the same machine gives the same weights."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

from fidelity_gate.errors import UsageError
from fidelity_gate.records import Depth
from fidelity_gate.registry import unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fidelity_gate.records import Scalar

_CLOSED: Mapping[str, tuple[str, ...]] = {
    "dtype": ("bfloat16", "float32"),
    "family": ("hrm", "trm"),
    "mixer": ("attention", "mlp"),
    "positions": ("learned", "none", "rope"),
    "task": ("modular-addition", "sudoku"),
}
_COUNTS = ("batch", "h_cycles", "heads", "hidden", "l_cycles", "layers", "pool", "steps", "supervision")
_SHARES = ("ema", "exploration", "reveal")


@dataclass(frozen=True, slots=True)
class TrainingRecipe:
    """One training run: the task, the model, the depth, the optimiser."""

    task: str = "sudoku"
    size: int = 6  # cells a side, or the modulus
    givens: str = "12"
    pool: int = 4000  # puzzles that training augments; addition takes half of all pairs
    reveal: float = 0.0  # share of training puzzles that are made easier by showing more of their solution
    data_seed: int = 0
    family: str = "trm"
    mixer: str = "attention"
    positions: str = "learned"
    hidden: int = 128
    heads: int = 4
    layers: int = 2  # of each level
    expansion: float = 4.0
    h_cycles: int = 2
    l_cycles: int = 2
    supervision: int = 8  # ACT steps
    batch: int = 64
    lr: float = 1e-3
    warmup: int = 100  # steps in which the learning rate rises from 0
    cooldown: int = 0  # steps at the end in which it falls to 0
    weight_decay: float = 0.1
    ema: float = 0.999
    unit_start: bool = False  # positions and attention start from the rows, columns and boxes of a sudoku
    staggered: bool = False  # slots take new puzzles at different steps from the start
    exploration: float = 0.1  # share of puzzles that may not halt before a random step
    steps: int = 1500  # optimiser steps; each is one ACT step of every puzzle in the batch
    seed: int = 0
    dtype: str = "float32"  # of the forward pass; weights and optimiser are float32

    def __post_init__(self) -> None:
        """Refuse names that nobody knows and sizes that cannot be."""
        for field, allowed in _CLOSED.items():
            if getattr(self, field) not in allowed:
                raise unknown(getattr(self, field), allowed, what=f"no {field} is named", field=field, kind=UsageError)
        small = next((field for field in _COUNTS if getattr(self, field) < 1), "")
        if small:
            raise UsageError("must be at least 1", field=small)
        outside = next((field for field in _SHARES if not 0 <= getattr(self, field) <= 1), "")
        if outside:
            raise UsageError("must be from 0 to 1", field=outside)
        if self.warmup + self.cooldown > self.steps:
            raise UsageError("warmup and cooldown do not fit into the steps", field="cooldown")
        if self.family == "hrm" and self.mixer != "attention":
            raise UsageError("HRM mixes tokens by attention only", field="mixer")

    @property
    def depth(self) -> Depth:
        """Return the depth that the model is trained for."""
        return Depth(self.h_cycles, self.l_cycles, self.supervision)

    def to_json(self) -> str:
        """Return the recipe as one line of JSON."""
        return json.dumps(asdict(self), sort_keys=True)


def recipe_from(values: Mapping[str, Scalar], where: str = "") -> TrainingRecipe:
    """Return the recipe that these values describe.

    Raises:
        UsageError: a field that no recipe has, or a value of the wrong type.
    """
    known = {field.name: field for field in fields(TrainingRecipe)}
    for name, value in values.items():
        if name not in known:
            raise unknown(name, known, what="no training option is named", where=where, kind=UsageError)
        default = known[name].default
        if type(value) is not type(default):
            raise UsageError(f"should be {type(default).__name__}", where=where, field=name)
    return TrainingRecipe(**values)  # type: ignore[arg-type]
