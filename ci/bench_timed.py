"""What the benchmarks wrap models in: the CPU-seconds of their own steps, and progress that nobody watches."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator

    from fidelity_gate.protocols import Recursion
    from fidelity_gate.records import Carry, Depth, Probes, StepState


class Silent:
    """Progress that nobody watches."""

    def start(self, label: str, total: int) -> None:
        """Ignore the start."""

    def advance(self, count: int) -> None:
        """Ignore a step."""

    def done(self) -> None:
        """Ignore the end."""


class Timed:
    """A model that adds up the CPU-seconds of its own steps."""

    def __init__(self, model: Recursion) -> None:
        self.model = model
        self.streams = model.streams
        self.spent = 0.0

    def run(
        self, batch: Probes, depth: Depth, *, perturbation: float = 0.0, seed: int = 0
    ) -> Generator[StepState, Carry | None, None]:
        """Yield what the model yields, timing it."""
        states = self.model.run(batch, depth, perturbation=perturbation, seed=seed)
        while True:
            start = time.process_time()
            state = next(states, None)
            self.spent += time.process_time() - start
            if state is None:
                return
            yield state
