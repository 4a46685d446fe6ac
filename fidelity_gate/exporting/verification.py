"""Holds an exported graph against torch: same probes, same depth, each on its own carry, and a noise floor beside."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np

from fidelity_gate import arrays
from fidelity_gate.exporting.host_loop import HostLoop
from fidelity_gate.exporting.plan import STREAMS
from fidelity_gate.records import Depth, RunSpec, StepState

if TYPE_CHECKING:
    from fidelity_gate.exporting.step import ExportedStep
    from fidelity_gate.protocols import OpenedModel, Progress
    from fidelity_gate.records import Probes, Tensor

LEAST_COSINE = 0.99999  # mean over probes and tokens, of the worst step and stream
MOST_HEAD_ERROR = 1e-3  # of logits and halting logits after the first step, as a share of their largest value
PERTURBATION = 1e-6  # of the noise floor: relative to the initial carry
CHAOTIC = 0.99  # a model that is no nearer to itself than this says nothing about its export
MOST_PROBES = 4  # a 5 M parameter model at 48 H-cycles takes about two minutes with them, three runs of it each
_FEWEST_TOGETHER = 3  # so that a graph that takes any number of probes is run with two numbers of them


class Agreement(StrEnum):
    """What the comparison says."""

    SAME = "same"
    DIFFERENT = "different"
    INCONCLUSIVE = "inconclusive"  # the model differs from itself no less


@dataclass(slots=True)
class Closeness:
    """How near two runs of one model are; filled step by step.

    Attributes:
        steps: ACT steps that are compared.
    """

    steps: int
    answers: int = 0  # decoded tokens, over all probes and steps
    flipped: int = 0  # of those, how many differ
    head_error: float = 0.0
    _cosines: dict[tuple[int, str], list[float]] = field(default_factory=dict)

    @property
    def cosine(self) -> float:
        """Return the mean cosine over probes and tokens at the step and in the stream where it is lowest."""
        return float(np.min([np.mean(values) for values in self._cosines.values()]))  # NaN stays NaN

    @property
    def complete(self) -> bool:
        """Return whether every step of every stream was compared."""
        return len(self._cosines) == self.steps * len(STREAMS)

    @property
    def close(self) -> bool:
        """Return whether the runs are the same but for rounding."""
        near = self.complete and self.cosine >= LEAST_COSINE and self.head_error <= MOST_HEAD_ERROR
        return near and self.answers > 0 and self.flipped == 0

    def observe(self, step: int, ours: StepState, theirs: StepState) -> None:
        """Compare two states right after the same step; both of numpy."""
        for stream in STREAMS:
            left, right = ours.carry[stream], theirs.carry[stream]
            sums = (arrays.token_products(a, b) for a, b in ((left, right), (left, left), (right, right)))
            self._cosines.setdefault((step, stream), []).extend(arrays.token_cosines(*sums).ravel().tolist())
        if step == 1:  # the heads are the same at every step, and here no rounding has grown yet
            errors = [_distance(ours.logits, theirs.logits), _distance(ours.halt, theirs.halt)]
            self.head_error = float(np.max([self.head_error, *errors]))  # NaN stays NaN
        decoded = arrays.choices(ours.logits)
        self.answers += decoded.size
        self.flipped += int((decoded != arrays.choices(theirs.logits)).sum())


@dataclass(frozen=True, slots=True)
class Verification:
    """What was compared, and how near it was."""

    graph: Closeness  # the exported graph against torch
    floor: Closeness  # torch against itself, its initial carry perturbed
    probes: int

    @property
    def agreement(self) -> Agreement:
        """Return what follows: a bar that is met is met, and one that is missed says something of a calm model only."""
        if not self.floor.cosine >= CHAOTIC:
            return Agreement.INCONCLUSIVE
        if self.graph.close:
            return Agreement.SAME
        return Agreement.DIFFERENT if self.floor.close else Agreement.INCONCLUSIVE


def verify(
    model: OpenedModel, exported: ExportedStep, probes: Probes, steps: int, progress: Progress | None = None
) -> Verification:
    """Step the graph under onnxruntime and the model in torch, twice, side by side.

    Args:
        model: what was exported.
        exported: the graph.
        probes: as many as are to be compared.
        steps: ACT steps.
        progress: told of every step of every batch.
    """
    depth = Depth(exported.metadata.depth.h_cycles, exported.metadata.depth.l_cycles, steps)
    recursion, loop = model.load(RunSpec()), HostLoop(exported)
    graph, floor = Closeness(steps), Closeness(steps)
    with arrays.quiet(threads=1):
        for first in range(0, len(probes), _together(loop)):
            rows = probes.rows(first, first + _together(loop))
            plain = recursion.run(rows, depth)
            shaken = recursion.run(rows, depth, perturbation=PERTURBATION)
            for step, states in enumerate(zip(plain, shaken, loop.run(rows, steps), strict=True), start=1):
                ours, other, theirs = map(_on_host, states)
                graph.observe(step, ours, theirs)
                floor.observe(step, ours, other)
                if progress is not None:
                    progress.advance(1)
    return Verification(graph, floor, len(probes))


def _distance(ours: Tensor, theirs: Tensor) -> float:
    """Return the largest difference as a share of the largest value, or of 1."""
    return float(np.abs(ours - theirs).max() / max(1.0, float(np.abs(ours).max())))


def rounds(exported: ExportedStep, count: int, steps: int) -> int:
    """Return how often `verify` tells its progress."""
    return -(count // -_together(HostLoop(exported))) * steps


def _together(loop: HostLoop) -> int:
    """Return how many probes are compared at a time."""
    return max(loop.batch, _FEWEST_TOGETHER)


def _on_host(state: StepState) -> StepState:
    carry = {name: arrays.host(array) for name, array in state.carry.items()}
    return StepState(carry, arrays.host(state.logits), arrays.host(state.halt))
