"""Steps an ONNX graph: the host feeds its state outputs back into its state inputs, as on a device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fidelity_gate.errors import ModelRefused
from fidelity_gate.models.onnx_feeds import Feeder
from fidelity_gate.models.onnx_layout import from_tokens, to_tokens
from fidelity_gate.models.onnx_start import shaken
from fidelity_gate.records import StepState

if TYPE_CHECKING:
    from collections.abc import Generator

    from numpy.typing import NDArray

    from fidelity_gate.models.onnx_feeds import Embedding, Feeds
    from fidelity_gate.models.onnx_plan import State, StepPlan
    from fidelity_gate.models.onnx_start import Starts
    from fidelity_gate.protocols import GraphSession
    from fidelity_gate.records import Carry, Depth, Probes

_HALTING = 2  # halt, continue


@dataclass(slots=True, eq=False)
class _Run:
    """The probes that go through the graph together.

    Attributes:
        rows: of the batch; a graph that takes more probes than are left is fed some of them again.
        real: how many of the rows count.
        constant: what every step is fed.
        states: state input -> its array, in the graph's own layout.
        heads: what the last run of a step gave for logits and halting, in that order.
    """

    rows: NDArray[np.intp]
    real: int
    constant: Feeds
    states: dict[str, NDArray[Any]]
    heads: list[NDArray[Any]]


class OnnxRecursion:
    """An ONNX step graph, ready to step (the `Recursion` protocol).

    A graph made for one probe is run probe by probe, each with its own state; one made for B probes, B at a time; one
    for any number, all probes of a batch at once. Arrays go from output to input as they are: a copy is made only where
    the states of several runs are put together after a step.
    """

    def __init__(
        self, session: GraphSession, plan: StepPlan, starts: Starts, embedding: Embedding | None = None
    ) -> None:
        """Take a loaded graph and how it is run."""
        self.streams: tuple[str, ...] = plan.streams
        self._session = session
        self._plan = plan
        self._starts = starts
        self._embedding = embedding
        self._heads = [name for name in (plan.logits, plan.halt) if name]

    @property
    def rows(self) -> int:
        """Return how many probes a run takes; 0 for any number."""
        return self._plan.rows

    @property
    def session(self) -> GraphSession:
        """Return the session that it runs its graph in."""
        return self._session

    def runs(self, depth: Depth) -> int:
        """Return how many runs of the graph make one ACT step; raises ModelRefused where that is not known."""
        return self._plan.runs(depth)

    def run(
        self, batch: Probes, depth: Depth, *, perturbation: float = 0.0, seed: int = 0
    ) -> Generator[StepState, Carry | None, None]:
        """Yield the state after every ACT step; a carry that is sent in replaces the model's own.

        Raises:
            InputsRefused: the probes do not fit the graph's input.
            ModelRefused: the depth does not fit the graph, or onnxruntime fails.
        """
        runs = self._plan.runs(depth)
        feeder = Feeder(self._plan, self._embedding, batch, depth)
        members = [self._member(feeder, rows, real) for rows, real in _groups(len(batch), self._plan.rows)]
        if perturbation:
            noise = np.random.default_rng(seed)
            self._replace(
                members, {name: shaken(tokens, perturbation, noise) for name, tokens in self._carry(members).items()}
            )
        for step in range(depth.steps):
            for member in members:
                self._step(member, {**member.constant, **feeder.changing(member.rows, step)}, runs)
            forced = yield StepState(self._carry(members), *self._read_heads(members))
            if forced is not None:
                self._replace(members, forced)

    def over(self, session: GraphSession) -> OnnxRecursion:
        """Return the same recursion over another session: of the same graph, or one that also watches its values."""
        return OnnxRecursion(session, self._plan, self._starts, self._embedding)

    def _member(self, feeder: Feeder, rows: NDArray[np.intp], real: int) -> _Run:
        states = {state.slot.name: self._starts.of(state, len(rows)) for state in self._plan.states}
        return _Run(rows, real, feeder.constant(rows), states, [])

    def _step(self, member: _Run, feeds: Feeds, runs: int) -> None:
        """Make one ACT step; the heads are read after its last run only."""
        states = self._plan.states
        outputs = [state.output for state in states]
        for left in reversed(range(runs)):
            wanted = outputs if left else [*outputs, *self._heads]
            found = self._session.run(wanted, {**feeds, **member.states})
            for state, array in zip(states, found, strict=False):
                self._refuse_other_shape(state, member.states[state.slot.name], array)
                member.states[state.slot.name] = array
            member.heads = found[len(states) :]

    def _refuse_other_shape(self, state: State, before: NDArray[Any], after: NDArray[Any]) -> None:
        if after.shape != before.shape:
            what = f"{state.output} has the shape {list(after.shape)}, and {state.slot.name} had {list(before.shape)}"
            raise ModelRefused(what, field=f"state.{state.slot.name}", hint="a state keeps its shape from step to step")

    # ------------------------------------------------------------ (B, L, D), and back

    def _carry(self, members: list[_Run]) -> dict[str, NDArray[Any]]:
        """Return every stream of all probes: (B, L, D)."""
        return {
            state.stream: _joined([to_tokens(one.states[state.slot.name], state.axis)[: one.real] for one in members])
            for state in self._plan.states
            if state.compared
        }

    def _replace(self, members: list[_Run], carry: Carry) -> None:
        """Put another carry (B, L, D) in place of the model's own; integer states stay."""
        for state in self._plan.states:
            if not state.compared:
                continue
            tokens = np.asarray(carry[state.stream]).astype(state.slot.dtype, copy=False)
            for member in members:
                shape = member.states[state.slot.name].shape
                rows = tokens if len(member.rows) == len(tokens) else tokens[member.rows]
                member.states[state.slot.name] = from_tokens(rows, shape, state.axis)

    # ------------------------------------------------------------ heads

    def _read_heads(self, members: list[_Run]) -> tuple[NDArray[Any] | None, NDArray[Any] | None]:
        plan = self._plan
        found = {
            name: _joined([to_tokens(_two_axes(one.heads[place]), plan.head_axes[name])[: one.real] for one in members])
            for place, name in enumerate(self._heads)
        }
        logits = found.get(plan.logits)
        halt = found.get(plan.halt)
        return None if logits is None else self._logits(logits), None if halt is None else self._halting(halt)

    def _logits(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return logits of two answers and more: (B, S, V)."""
        threshold = self._plan.threshold
        if values.shape[-1] > 1 and threshold is None:
            return values
        if values.shape[-1] > 1 or threshold is None:
            what = f"has {values.shape[-1]} values an answer"
            hint = "threshold: 0.5 is for one value, above which the answer is yes; logits: none for no answers"
            raise ModelRefused(what, field=f"logits: {self._plan.logits}", hint=hint)
        return np.concatenate((np.full_like(values, threshold), values), axis=-1)

    def _halting(self, values: NDArray[Any]) -> NDArray[Any] | None:
        """Return halting logits: (B, 2); None where an output has only their name."""
        flat = values.reshape(len(values), -1)
        if flat.shape[1] == _HALTING:
            return flat
        if not self._plan.halt_required:
            return None
        what = f"has {flat.shape[1]} values a probe, and halting logits are two: halt, continue"
        raise ModelRefused(what, field=f"halt: {self._plan.halt}")


def _groups(count: int, rows: int) -> list[tuple[NDArray[np.intp], int]]:
    """Return the rows of every run, and how many of them count.

    The last run of a graph that takes a fixed number is filled up with its own first rows, so that a quantizer whose
    scale comes from all probes of a run sees no value that is not there anyway.
    """
    size = rows or count
    found = []
    for first in range(0, count, size):
        own = np.arange(first, min(first + size, count))
        found.append((np.resize(own, size), len(own)))
    return found


def _joined(parts: list[NDArray[Any]]) -> NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _two_axes(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array with an axis of values, where there is only that of the probes."""
    return array[:, None] if array.ndim == 1 else array
