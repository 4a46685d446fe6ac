"""One device, one candidate: the steps that the device makes, and the same ones here, shown to accumulators.

What the device's own arithmetic adds is the difference to the same steps made here, by the same file, from the same
carries, over the same runs. A free run of the device is foretold by a free run here to whose every step that difference
is added (docs/decisions/0018).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from fidelity_gate import registry
from fidelity_gate.errors import NotMeasured, PolicyError
from fidelity_gate.measuring import timing
from fidelity_gate.measuring.device_driving import Chunk, Rival, chosen, evenly, reference_states
from fidelity_gate.measuring.device_exchange import Call, Exchange
from fidelity_gate.measuring.reopening import packed
from fidelity_gate.measuring.step_files import step_file
from fidelity_gate.protocols import GraphRecursion, InferringDevice, OpenedGraph
from fidelity_gate.records import DeviceSteps, Ran, StepMode, Workload
from fidelity_gate.tracing.stepping import Entrant, Runner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fidelity_gate.measuring.device_driving import States
    from fidelity_gate.measuring.planning import Wanted
    from fidelity_gate.measuring.staging import Stage
    from fidelity_gate.protocols import Accumulator
    from fidelity_gate.records import DeviceRun, DeviceSpec, Measured, ModelRecord, Probes, StepsWanted

# What one dataset may hold. The gate has about five times of it in memory meanwhile: the reference's states, those made
# here, the feeds, what came back, and what is derived from them.
LARGEST_DATASET = 256 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """What one device is to compute of one candidate, and who wants it."""

    stage: Stage
    index: int  # of the candidate among the stage's models
    wanted: StepsWanted
    wants: tuple[Wanted, ...]
    allow_code: bool
    tell: Callable[[str], None] | None = None

    @property
    def record(self) -> ModelRecord:
        """Return the candidate."""
        return self.stage.records[self.index]

    @property
    def device(self) -> DeviceSpec:
        """Return the device as the policy names it."""
        return next(one for one in self.stage.policy.devices if one.name == self.wanted.device)

    @property
    def steps(self) -> tuple[int, ...]:
        """Return the steps to make, of those that both models make."""
        shared, wanted = min(self.record.depth.steps, self.stage.reference.depth.steps), self.wanted.steps
        if self.wanted.mode is StepMode.FREE:
            return tuple(range(1, min(wanted or shared, shared) + 1))
        return tuple(place + 1 for place in evenly(shared, wanted))

    @property
    def whole(self) -> bool:
        """Return whether every step of both models is made from the reference's carry."""
        every = tuple(range(1, self.record.depth.steps + 1))
        same = self.record.depth.steps == self.stage.reference.depth.steps
        return self.wanted.mode is StepMode.FORCED and same and self.steps == every


@dataclass(slots=True, eq=False)
class Work:
    """One order, while it is carried out; nothing but numbers is kept of a chunk when the next one begins."""

    order: Order
    watching: dict[tuple[int, Ran], Accumulator] = field(default_factory=dict)  # by the want's place, and the run
    gaps: dict[int, str] = field(default_factory=dict)  # why a want has nothing, by its place
    runs: list[DeviceRun] = field(default_factory=list)
    entries: int = 0

    def done(self) -> DeviceSteps:
        """Carry the order out.

        Raises:
            Refused: the models cannot be run, or compared.
            Undecided: the device could not say, or what it gave cannot be used.
        """
        order, run = self.order, self.order.stage.policy.run
        device = self._device()
        workload = self._workload(device)
        graph = order.stage.opened[order.index].load(run)
        if not isinstance(graph, GraphRecursion):
            raise _no_graph(order.record)
        rows = evenly(len(order.stage.probes), order.wanted.probes)
        probes = chosen(order.stage.probes, np.array(rows))
        lead = Entrant("reference", order.stage.opened[0].load(run), order.stage.reference.depth)
        for first, some in self._chunks(lead, probes, max(1, graph.rows)):
            rival = Rival.of(order.record.name, graph, order.record.depth, Exchange(graph.session))
            states = reference_states(lead, some, run.batch, order.steps[-1])
            self._compare(Chunk(some, first, states, rival), device, workload)
        return self._told(rows)

    def readings(self, want: Wanted) -> dict[Ran, Measured]:
        """Return what the accumulators of a metric came to. Raises NotMeasured where one has nothing."""
        place = self.order.wants.index(want)
        if place in self.gaps:
            raise NotMeasured(self.gaps[place])
        return {ran: watching.finish() for (whose, ran), watching in self.watching.items() if whose == place}

    # ------------------------------------------------------------ what is asked of whom

    def _device(self) -> InferringDevice:
        spec = self.order.device
        where, field_ = str(spec.place), f"devices.{spec.name}"
        plug = registry.build("devices", spec.use, spec.options, where=where, field=field_)
        if not isinstance(plug, InferringDevice):
            hint = "a device that runs models: host-cpu, qai-hub"
            raise NotMeasured("gives no outputs, so nothing can be compared", hint=hint)
        return plug

    def _workload(self, device: InferringDevice) -> Workload:
        """Return the candidate as a device takes it; raises NotMeasured where it is no step graph."""
        order, stage = self.order, self.order.stage
        policy, record, model = stage.policy, order.record, stage.opened[order.index]
        graph = step_file(model, record.depth, stage.probes, policy.run) if isinstance(model, OpenedGraph) else None
        if graph is None:
            raise _no_graph(record)
        spec = policy.candidates[order.index - 1]
        return Workload(
            name=record.name,
            facts=record.facts,
            depth=record.depth,
            part=None,
            memory=False,
            opener=timing.OPENER,
            files=packed(spec, record, stage.probes, policy.run, allow_code=order.allow_code),
            base=order.device.base,
            graph=graph,
            tell=order.tell,
        )

    def _chunks(self, lead: Entrant, probes: Probes, rows: int) -> Iterator[tuple[int, Probes]]:
        """Yield probes whose entries fit a dataset, whole groups of them, each with the place of its first."""
        runner = Runner(lead, probes.rows(0, 1))
        carry = runner.step().state.carry
        runner.close()
        a_probe = sum(array.nbytes for array in carry.values()) * len(self.order.steps)
        size = max(1, LARGEST_DATASET // (a_probe * rows)) * rows
        for first in range(0, len(probes), size):
            yield first, probes.rows(first, first + size)

    # ------------------------------------------------------------ one chunk

    def _compare(self, chunk: Chunk, device: InferringDevice, workload: Workload) -> None:
        mode, steps, exchange = self.order.wanted.mode, self.order.steps, chunk.rival.exchange
        here: States = {}
        for due in _rounds(mode, steps, chunk.rival.runs):
            exchange.ask(Call(group, step, run) for group in chunk.groups for step, run in due)
            made = chunk.states(mode, steps, upto=0 if not here else due[-1][0])
            here = here or made  # the first time nothing is known yet: every run was made here
            self._infer(exchange, device, workload)
        there = chunk.states(mode, steps)
        exchange.known.clear()
        self._show(chunk, Ran.DEVICE, there)
        self._show(chunk, Ran.HERE, here)
        if self.order.whole:
            self._show(chunk, Ran.FREE, lambda: chunk.states(StepMode.FREE, steps))
            self._show(chunk, Ran.CARRIED, lambda: chunk.carried(there, here, 1))
            self._show(chunk, Ran.TURNED, lambda: chunk.carried(there, here, -1))

    def _infer(self, exchange: Exchange, device: InferringDevice, workload: Workload) -> None:
        feeds, outputs = exchange.entries()
        try:
            told = device.infer(workload, feeds, outputs)
        except PolicyError as error:
            spec = self.order.device
            at = ".".join(part for part in (f"devices.{spec.name}", error.field) if part)
            raise PolicyError(error.what, where=str(spec.place), field=at, hint=error.hint) from error
        _refuse_foreign(told.run, workload)
        self.entries += len(exchange.asked)
        exchange.take(told)
        self.runs.append(told.run)

    def _show(self, chunk: Chunk, ran: Ran, states: States | Callable[[], States]) -> None:
        """Show a run to whoever watches it; nothing is run for nobody."""
        places = [place for place, want in enumerate(self.order.wants) if ran in want.plug.watches]
        if not places:
            return
        try:
            found = states() if callable(states) else states
            for pair in chunk.pairs(found, self.order.steps):
                for place in places:
                    self._watcher(place, ran).observe(pair)
        except NotMeasured as error:
            for place in places:
                self.gaps.setdefault(place, str(error))

    def _watcher(self, place: int, ran: Ran) -> Accumulator:
        if (place, ran) not in self.watching:
            self.watching[place, ran] = self.order.wants[place].plug.accumulator(self.order.record.depth)
        return self.watching[place, ran]

    def _told(self, rows: tuple[int, ...]) -> DeviceSteps:
        return DeviceSteps(
            wanted=self.order.wanted,
            plug=self.order.device.use,
            machine=self.runs[-1].machine,
            rows=rows,
            steps=self.order.steps,
            entries=self.entries,
            requests=len(self.runs),
            jobs=tuple(run.job for run in self.runs if run.job is not None),
            shares=() if self.runs[-1].profile is None else self.runs[-1].profile.shares,
        )


def _rounds(mode: StepMode, steps: tuple[int, ...], runs: int) -> list[list[tuple[int, int]]]:
    """Return the runs (step, run of the step) that a device can make at once, one list after the other.

    A run takes what the run before it gave; only across steps is that the reference's carry, where it is forced.
    """
    if mode is StepMode.FREE:
        return [[(step, run)] for step in steps for run in range(runs)]
    return [[(step, run) for step in steps] for run in range(runs)]


def _refuse_foreign(run: DeviceRun, workload: Workload) -> None:
    """Raise NotMeasured where a job ran another file, or most of it elsewhere than on the unit that was asked for."""
    job = run.job
    if job is None:
        return
    if workload.graph is not None and job.model_digest != workload.graph.digest:
        raise NotMeasured(f"the job {job.id} ran another file (its digest is not the candidate's)")
    unit = "" if run.profile is None else run.profile.main_unit
    if not job.allows(unit):
        ran = f"ran on the {unit}" if unit else "does not say which layers ran where"
        hint = "other operators, or compute_unit: all"
        raise NotMeasured(f"job {job.id} was to run on the {job.compute_unit}, and {ran}", hint=hint)


def _no_graph(record: ModelRecord) -> NotMeasured:
    hint = "fidelity-gate export it first, and compress the graph"
    return NotMeasured(f"{record.name} is no step graph, and devices run those", hint=hint)
