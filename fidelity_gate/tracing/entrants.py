"""Who takes part in a trace: the reference, whose faults are refusals, and its rivals, whose faults are told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fidelity_gate.errors import ModelRefused, NotMeasured
from fidelity_gate.tracing.pairs import AlignedPair
from fidelity_gate.tracing.stepping import Entrant, Runner, refuse_other_heads, refuse_unlike
from fidelity_gate.tracing.vitals import Vitals, not_finite, zero_token

if TYPE_CHECKING:
    from fidelity_gate.protocols import Accumulator
    from fidelity_gate.records import Depth, Measured, Probes
    from fidelity_gate.tracing.pairs import Side

DEAD_HINT = "nothing can be compared with a dead reference"


@dataclass(frozen=True, slots=True)
class Reading:
    """What one accumulator came to: a result, or why there is none."""

    measured: Measured | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Traced:
    """What came of one rival; the readings are in the order of its accumulators."""

    name: str
    free: tuple[Reading, ...]
    forced: tuple[Reading, ...]
    stopped: str = ""  # why it could not be traced to the end ("z_H is not finite at step 3 for probe 17")
    fault: str = ""  # why its trajectory is dead ("the carry z_H never moves ...")
    note: str = ""  # what a reader of its figures should know


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One batch: its probes, the row of the first, and the seed of perturbations."""

    batch: Probes
    first_probe: int
    seed: int

    def runner(self, entrant: Entrant) -> Runner:
        """Return the entrant, about to run on this batch."""
        return Runner(entrant, self.batch, self.seed)


class Lead:
    """The reference through all batches; raises as soon as something is wrong with it."""

    def __init__(self, entrant: Entrant) -> None:
        self.entrant = entrant
        self._vitals = Vitals(entrant.model.streams)
        self._task: Task
        self._runner: Runner

    def open(self, task: Task) -> None:
        """Begin a batch."""
        self._task = task
        self._runner = task.runner(self.entrant)

    def step(self) -> Side:
        """Make a step and return the state; at full depth the last state stays.

        Raises:
            ModelRefused: the state is not finite, or a token vector of it is zero.
        """
        side, steps = self._runner.side, self.entrant.depth.steps
        if side is not None and side.step == steps:
            return side
        side, row = self._runner.step(), self._task.first_probe
        trouble = self._vitals.watch(side, self._task.batch, row, last=side.step == steps) or zero_token(side, row)
        if trouble:
            raise ModelRefused(trouble, field=self.entrant.name, hint=DEAD_HINT)
        return side

    def finish(self) -> None:
        """End a batch; raises ModelRefused when the model would go on."""
        self._runner.finish()

    def close(self) -> None:
        """Drop a batch, wherever it is."""
        self._runner.close()

    def refuse_dead(self) -> None:
        """Raise ModelRefused when, over all batches, a carry never moved or ignored its input."""
        fault = self._vitals.fault()
        if fault:
            raise ModelRefused(fault, field=self.entrant.name, hint=DEAD_HINT)


class Rival:
    """A candidate (or the noise floor) through all batches."""

    def __init__(self, entrant: Entrant, reference_depth: Depth) -> None:
        self.entrant = entrant
        self.stopped = ""
        self._vitals = Vitals(entrant.model.streams)
        self._free = [_Watcher(accumulator) for accumulator in entrant.free]
        self._forced = [_Watcher(accumulator) for accumulator in entrant.forced]
        self._shared_steps = min(entrant.depth.steps, reference_depth.steps)
        self._all_steps = max(entrant.depth.steps, reference_depth.steps)
        self._task: Task
        self._runner: Runner
        self._forced_runner: Runner

    def open(self, task: Task) -> None:
        """Begin a batch."""
        self._task = task
        self._runner = task.runner(self.entrant)
        self._forced_runner = task.runner(self.entrant)

    def step(self, step: int, ours: Side) -> None:
        """Make step number `step` and show the pair to the accumulators; does nothing once the rival has stopped.

        Args:
            step: from 1; beyond the rival's own depth its last state stays.
            ours: the reference after the same step, or after its last.

        Raises:
            ModelRefused: the rival's streams, shapes, element types or heads are not the reference's.
        """
        if self.stopped or step > self._all_steps:
            return
        try:
            theirs = self._own_step(step, ours)
        except NotMeasured as error:
            self.stopped = str(error)
            return
        last = step == self._all_steps
        if last:
            refuse_other_heads(self.entrant.name, ours.state, theirs.state)
        if last or step <= self._shared_steps:
            self._show(self._free, ours, theirs, last=last)
        if step <= self._shared_steps and any(not watcher.reason for watcher in self._forced):
            self._force(step, ours)

    def finish(self) -> None:
        """End a batch; raises ModelRefused when the model would go on."""
        if not self.stopped:
            self._runner.finish()

    def close(self) -> None:
        """Drop a batch, wherever it is."""
        self._runner.close()
        self._forced_runner.close()

    def outcome(self) -> Traced:
        """Return what the accumulators came to."""
        free, forced = ([watcher.reading(self.stopped) for watcher in each] for each in (self._free, self._forced))
        fault = "" if self.stopped else self._vitals.fault()
        return Traced(self.entrant.name, tuple(free), tuple(forced), self.stopped, fault, self._vitals.note())

    def _own_step(self, step: int, ours: Side) -> Side:
        side, steps = self._runner.side, self.entrant.depth.steps
        if side is not None and step > steps:
            return side
        side = self._runner.step(like=ours.state.carry)
        refuse_unlike(self.entrant.name, ours.state, side.state, any_dtype=self.entrant.any_dtype)
        trouble = self._vitals.watch(side, self._task.batch, self._task.first_probe, last=step == steps)
        if trouble:
            raise NotMeasured(trouble)
        return side

    def _force(self, step: int, ours: Side) -> None:
        """Make one step from the reference's carry (the first from the rival's own: there is no earlier one)."""
        start = None if ours.before is None else ours.before.state.carry
        try:
            theirs = self._forced_runner.step(start, like=ours.state.carry)
            trouble = not_finite(theirs, self._task.first_probe)
        except NotMeasured as error:
            trouble = str(error)
        if not trouble:
            self._show(self._forced, ours, theirs, last=step == self._shared_steps)
            return
        for watcher in self._forced:
            watcher.reason = watcher.reason or f"from the reference's carry, {trouble}"

    def _show(self, watchers: list[_Watcher], ours: Side, theirs: Side, *, last: bool) -> None:
        pair = AlignedPair(ours, theirs, self._task.batch, self._task.first_probe, last=last)
        for watcher in watchers:
            watcher.show(pair)


class _Watcher:
    """An accumulator, until it says that it cannot measure."""

    def __init__(self, accumulator: Accumulator) -> None:
        self._accumulator = accumulator
        self.reason = ""

    def show(self, pair: AlignedPair) -> None:
        if not self.reason:
            try:
                self._accumulator.observe(pair)
            except NotMeasured as error:
                self.reason = str(error)

    def reading(self, stopped: str) -> Reading:
        """Return the result; a rival that stopped early has none, however much was seen of it."""
        reason = stopped or self.reason
        if reason:
            return Reading(None, reason)
        try:
            return Reading(self._accumulator.finish())
        except NotMeasured as error:
            return Reading(None, str(error))
