"""One model over one batch, step by step: what it yields is checked before anybody reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fidelity_gate import arrays
from fidelity_gate.errors import ModelRefused
from fidelity_gate.records import StepState
from fidelity_gate.tracing.pairs import Side

if TYPE_CHECKING:
    from fidelity_gate.protocols import Accumulator, Recursion
    from fidelity_gate.records import Carry, Depth, Probes, Tensor

CARRY_RANK = 3  # (B, L, D)
_MAPPED = "a stream is never left out; a graph's is given the reference's name by model: {map: {REFERENCE: GRAPH}}"
HEADS = ("logits", "halt")  # of a StepState; some models have them after their last step only


@dataclass(frozen=True, slots=True, eq=False)
class Entrant:
    """A model that takes part, and what watches it.

    Attributes:
        name: for errors; "reference" or the candidate's id.
        model: ready to step.
        depth: how deep it runs.
        free: accumulators that see the model running on its own carry.
        forced: accumulators that see it making each step from the reference's carry.
        perturbation: relative size of the noise added to its initial carry.
        any_dtype: whether its carry may be of another element type than the reference's.
    """

    name: str
    model: Recursion
    depth: Depth
    free: tuple[Accumulator, ...] = ()
    forced: tuple[Accumulator, ...] = ()
    perturbation: float = 0.0
    any_dtype: bool = False


class Runner:
    """Steps one model over one batch, exactly as often as its declared depth says."""

    def __init__(self, entrant: Entrant, batch: Probes, seed: int = 0) -> None:
        """Prepare the run; nothing is computed before the first step.

        Args:
            entrant: the model and how deep it runs; it must yield `depth.steps` states, no fewer and no more.
            batch: B probes.
            seed: of the entrant's perturbation.
        """
        self.name = entrant.name
        self.side: Side | None = None
        self._depth = entrant.depth
        self._probes = len(batch)
        self._states = entrant.model.run(batch, entrant.depth, perturbation=entrant.perturbation, seed=seed)
        self._streams = entrant.model.streams
        self._own: Carry = {}  # the last carry as the model yielded it: torch or numpy

    def step(self, forced: Carry | None = None, like: Carry | None = None) -> Side:
        """Return the model after its next step.

        Args:
            forced: the carry to start the step from, instead of the model's own (not before the second step).
            like: a carry whose kind (torch or numpy) the state is to have, so that both can be compared.

        Raises:
            ModelRefused: the model stops early, or yields something that is no state of its streams.
        """
        done = 0 if self.side is None else self.side.step
        try:
            state = next(self._states) if forced is None else self._states.send(_of_kind(forced, self._own))
        except StopIteration:
            what = f"the model stops after {done} steps, and its depth has {self._depth.steps}"
            raise ModelRefused(what, field=self.name, hint="the model and its recursion must agree") from None
        checked = self._checked(state)
        self._own = checked.carry
        self.side = Side(checked if like is None else _state_of_kind(checked, like), done + 1, self.side)
        return self.side

    def finish(self) -> None:
        """End the run.

        Raises:
            ModelRefused: the model would go on after its declared depth.
        """
        if next(self._states, None) is not None:
            steps = self._depth.steps
            what = f"the model yields more than the {steps} steps of its depth ({steps + 1} and counting)"
            raise ModelRefused(what, field=self.name, hint="the model and its recursion must agree")

    def close(self) -> None:
        """Drop the run, wherever it is, and the states it holds."""
        self._states.close()
        self.side = None

    def _checked(self, state: StepState) -> StepState:
        """Return the state with its streams in the model's order; raises when they are not what was declared."""
        if sorted(state.carry) != sorted(self._streams):
            raise ModelRefused(
                f"yields the streams {_listed(tuple(state.carry))}",
                field=self.name,
                hint=f"its declared streams are {_listed(self._streams)}",
            )
        for stream in self._streams:
            self._check_array(stream, state.carry[stream])
            if len(arrays.shape_of(state.carry[stream])) != CARRY_RANK:
                shape = arrays.shape_of(state.carry[stream])
                raise ModelRefused(
                    f"has shape {shape}", field=f"{self.name}.{stream}", hint="a carry is (probes, tokens, width)"
                )
        for head in HEADS:
            if getattr(state, head) is not None:
                self._check_array(head, getattr(state, head))
        return StepState({stream: state.carry[stream] for stream in self._streams}, state.logits, state.halt)

    def _check_array(self, what: str, array: Tensor) -> None:
        field = f"{self.name}.{what}"
        if not arrays.is_array(array) or not arrays.is_real(array):
            raise ModelRefused("is not a tensor of floating point numbers", field=field)
        shape = arrays.shape_of(array)
        if len(shape) <= 1 or shape[0] != self._probes or 0 in shape:
            hint = f"the first axis counts the {self._probes} probes, none is empty"
            raise ModelRefused(f"has shape {shape}", field=field, hint=hint)


def _state_of_kind(state: StepState, like: Carry) -> StepState:
    """Return the state as torch tensors or as numpy arrays, whichever `like` consists of."""
    heads = [None if head is None else _of_kind({"": head}, like)[""] for head in (state.logits, state.halt)]
    return StepState(_of_kind(state.carry, like), *heads)


def _of_kind(carry: Carry, like: Carry) -> Carry:
    pattern = next(iter(like.values()))
    return {stream: arrays.alike(array, pattern) for stream, array in carry.items()}


def refuse_unlike(name: str, reference: StepState, candidate: StepState, *, any_dtype: bool = False) -> None:
    """Raise when two states cannot be compared value by value; nothing is ever broadcast, cast or left out.

    Args:
        name: of the candidate.
        reference: the state to compare with.
        candidate: the state in question.
        any_dtype: whether element types may differ (a reference in bfloat16 against itself in float32).

    Raises:
        ModelRefused: a stream is missing, additional, or of another shape or element type; or a head has another shape.
    """
    if sorted(reference.carry) != sorted(candidate.carry):
        what = f"has the streams {_listed(tuple(candidate.carry))}"
        hint = f"the reference has {_listed(tuple(reference.carry))}; {_MAPPED}"
        raise ModelRefused(what, field=name, hint=hint)
    for stream, ours in reference.carry.items():
        theirs = candidate.carry[stream]
        _refuse_unlike_shape(f"{name}.{stream}", ours, theirs)
        if not any_dtype and arrays.dtype_of(ours) != arrays.dtype_of(theirs):
            what = f"is {arrays.dtype_of(theirs)}, the reference's is {arrays.dtype_of(ours)}"
            raise ModelRefused(what, field=f"{name}.{stream}", hint="run both in the same precision")
    for head in HEADS:
        ours, theirs = getattr(reference, head), getattr(candidate, head)
        if ours is not None and theirs is not None:
            _refuse_unlike_shape(f"{name}.{head}", ours, theirs)


def refuse_other_heads(name: str, reference: StepState, candidate: StepState) -> None:
    """Raise ModelRefused when only one of two last states has logits, or halting logits."""
    for head in HEADS:
        ours, theirs = getattr(reference, head), getattr(candidate, head)
        if (ours is None) != (theirs is None):
            what = "only the reference has it" if theirs is None else "the reference does not have it"
            raise ModelRefused(what, field=f"{name}.{head}", hint="both models must have the same heads")


def _refuse_unlike_shape(field: str, ours: Tensor, theirs: Tensor) -> None:
    if arrays.shape_of(ours) != arrays.shape_of(theirs):
        what = f"has shape {arrays.shape_of(theirs)}, the reference's is {arrays.shape_of(ours)}"
        raise ModelRefused(what, field=field, hint="shapes must be equal; nothing is broadcast")


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(sorted(map(str, names))) or "(none)"
