"""Probes, the reference's states after every step, and a candidate driven over them: here, or by what a device gave.

Probes go through a graph in groups, as many as one of its runs takes: that is what a device is sent, so the run here is
over the same groups. (A quantizer whose scales come from all probes of a run gives other numbers in other groups.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fidelity_gate import arrays
from fidelity_gate.errors import NotMeasured
from fidelity_gate.records import StepMode, StepState
from fidelity_gate.tracing.pairs import AlignedPair, Side
from fidelity_gate.tracing.stepping import Entrant, Runner, refuse_unlike

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from fidelity_gate.measuring.device_exchange import Exchange
    from fidelity_gate.protocols import GraphRecursion, Recursion
    from fidelity_gate.records import Depth, Probes

    States = dict[tuple[int, int], StepState]  # (group, step) -> state


def chosen(probes: Probes, rows: NDArray[Any]) -> Probes:
    """Return these rows of the probes, in this order."""
    labels = None if probes.labels is None else probes.labels[rows]
    return replace(probes, inputs=probes.inputs[rows], labels=labels, identifiers=probes.identifiers[rows])


def evenly(count: int, wanted: int) -> tuple[int, ...]:
    """Return which of `count` things to take, from 0: `wanted` of them, evenly, the last among them; 0 is all."""
    if not 0 < wanted < count:
        return tuple(range(count))
    return tuple((place + 1) * count // wanted - 1 for place in range(wanted))


@dataclass(frozen=True, slots=True, eq=False)
class Rival:
    """The candidate: its name, its recursion over the exchange, how deep it runs, and how many probes a run takes."""

    name: str
    model: Recursion
    depth: Depth
    exchange: Exchange
    rows: int  # probes of a group
    runs: int  # of the graph, for one ACT step

    @classmethod
    def of(cls, name: str, graph: GraphRecursion, depth: Depth, exchange: Exchange) -> Rival:
        """Return a candidate whose graph is asked for through the exchange; a graph for any number runs one probe."""
        return cls(name, graph.over(exchange), depth, exchange, max(1, graph.rows), graph.runs(depth))


@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Probes that go to a device together.

    Attributes:
        probes: of the chunk.
        first: row of its first probe among those that were chosen.
        reference: the reference's state after every step, on the host; the arrays are (B, L, D), B probes of the chunk.
        rival: the candidate.
    """

    probes: Probes
    first: int
    reference: tuple[StepState, ...]
    rival: Rival

    @property
    def groups(self) -> range:
        """Return the numbers of the groups."""
        return range(-(-len(self.probes) // self.rival.rows))

    def states(self, mode: StepMode, steps: tuple[int, ...], upto: int = 0) -> States:
        """Return the candidate's states after these steps, by group.

        Args:
            mode: from which carry it makes every step but the first, which it makes from its own initial one.
            steps: in order.
            upto: the step to end with; 0 for the last of `steps`.
        """
        found: States = {}
        for group in self.groups:
            for side in self._drive(group, upto or steps[-1], mode):
                if side.step in steps:
                    found[group, side.step] = side.state
        return found

    def carried(self, device: States, here: States, sign: int) -> States:
        """Return the candidate's free run, with what the device computed differently added to every step's result.

        Args:
            device: its states after every step, each made from the reference's carry.
            here: the same, made here.
            sign: 1, or -1 for the opposite error of the same size.
        """
        found: States = {}
        for group in self.groups:
            runner, carry = self._runner(group), None
            for step in range(1, len(self.reference) + 1):
                self.rival.exchange.at(group, step)
                state = runner.step(carry, like=self._own(group, step).carry).state
                there, mine = device[group, step].carry, here[group, step].carry
                carry = {name: _moved(state.carry[name], there[name], mine[name], sign) for name in state.carry}
                found[group, step] = StepState(carry, state.logits, state.halt)
            runner.close()
        return found

    def pairs(self, states: States, steps: tuple[int, ...]) -> Iterator[AlignedPair]:
        """Yield every state beside the reference's, the steps of a group in order.

        Raises:
            ModelRefused: a stream is missing, or has another shape or type than the reference's.
            NotMeasured: a state is not finite.
        """
        for group in self.groups:
            start, stop = self._span(group)
            batch, ours, theirs = self.probes.rows(start, stop), None, None
            for step in steps:
                reference, state = self._own(group, step), states[group, step]
                refuse_unlike(self.rival.name, reference, state)
                ours, theirs = Side(reference, step, ours), Side(state, step, theirs)
                _refuse_not_finite(theirs, self.rival.name)
                yield AlignedPair(ours, theirs, batch, self.first + start, last=step == steps[-1])

    # ------------------------------------------------------------ one group

    def _drive(self, group: int, upto: int, mode: StepMode) -> Iterator[Side]:
        runner = self._runner(group)
        for step in range(1, upto + 1):
            self.rival.exchange.at(group, step)
            forced = self._own(group, step - 1).carry if mode is StepMode.FORCED and step > 1 else None
            yield runner.step(forced, like=self._own(group, step).carry)
        runner.close()

    def _runner(self, group: int) -> Runner:
        rival = self.rival
        return Runner(Entrant(rival.name, rival.model, rival.depth), self.probes.rows(*self._span(group)))

    def _span(self, group: int) -> tuple[int, int]:
        return group * self.rival.rows, min((group + 1) * self.rival.rows, len(self.probes))

    def _own(self, group: int, step: int) -> StepState:
        """Return the reference's state of a group after a step."""
        rows, state = slice(*self._span(group)), self.reference[step - 1]
        carry = {name: array[rows] for name, array in state.carry.items()}
        return StepState(carry, *(None if head is None else head[rows] for head in (state.logits, state.halt)))


def reference_states(entrant: Entrant, probes: Probes, batch: int, steps: int) -> tuple[StepState, ...]:
    """Return the reference's states after every step, on the host, run in batches as everywhere else.

    Raises:
        NotMeasured: one is not finite, or a token vector of it is zero.
    """
    parts = [list(_walked(entrant, probes.rows(start, start + batch), steps)) for start in range(0, len(probes), batch)]
    return tuple(_joined([part[step] for part in parts]) for step in range(steps))


def _walked(entrant: Entrant, batch: Probes, steps: int) -> Iterator[StepState]:
    runner = Runner(entrant, batch)
    for _ in range(steps):
        side = runner.step()
        _refuse_not_finite(side, entrant.name)
        state = side.state
        if any((side.squares(stream) == 0).any() for stream in state.carry):
            raise NotMeasured(f"a token vector is all zero at step {side.step}", field=entrant.name)
        carry = {name: arrays.host(array) for name, array in state.carry.items()}
        yield StepState(carry, *(None if head is None else arrays.host(head) for head in (state.logits, state.halt)))
    runner.close()


def _refuse_not_finite(side: Side, name: str) -> None:
    for stream in side.state.carry:
        if not np.isfinite(side.squares(stream)).all():  # which is so exactly where the carry is
            raise NotMeasured(f"{stream} is not finite at step {side.step}", field=name)


def _joined(states: list[StepState]) -> StepState:
    carry = {name: np.concatenate([state.carry[name] for state in states]) for name in states[0].carry}
    return StepState(carry, _head([state.logits for state in states]), _head([state.halt for state in states]))


def _head(parts: list[Any]) -> Any:  # noqa: ANN401  (arrays, or None where the model has no such head)
    return None if parts[0] is None else np.concatenate(parts)


def _moved(own: Any, there: Any, here: Any, sign: int) -> Any:  # noqa: ANN401  (numpy arrays)
    return (own + sign * (there - here)).astype(own.dtype)
