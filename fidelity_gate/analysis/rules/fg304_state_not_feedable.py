"""FG304: states that cannot be fed back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.analysis.rules._common import counted, sizes
from fidelity_gate.graphs.step_metadata import PREFIX
from fidelity_gate.records import Found, Location, LocationKind, Need, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject
    from fidelity_gate.records import GraphValue, StepGraph

_DECLARED = "declared as one state"
_CERTAIN = ("cannot be fed back", "more than one way")  # of a doubt that is a mistake, not a guess


@dataclass(frozen=True, slots=True)
class StateNotFeedable:
    """Looks for state outputs that the next step could not take as its state inputs.

    That is: a pair whose types or ranks differ, or sizes that are both numbers and differ; an input and an output that
    are named as one state and differ in that way; an output that could feed two inputs, or an input that two outputs
    could feed; no state at all in a file that is said to be a step (by its metadata, by a declared depth, or by a
    reference that has states); and fewer states than the reference has. Sizes that the graph leaves open fit anything.
    Where the names mislead, the policy pairs inputs and outputs itself (`model: state`), and this rule holds that pair
    against its types and shapes.
    """

    code: ClassVar[str] = "FG304"
    title: ClassVar[str] = "state-not-feedable"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = (
        "The host feeds the state outputs back at every step: a state that does not fit stops the recursion at its "
        "second step, and one that was lost or renamed leaves it at its first value, which a comparison of the other "
        "outputs alone does not see."
    )
    fix: ClassVar[str] = "Export every state as an input NAME and an output NAME_out of the same type and shape."
    needs: ClassVar[tuple[Need, ...]] = (Need.GRAPH,)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding for every pair, doubt or missing state."""
        graph = subject.graph
        if graph is None:
            return
        yield from _misfits(graph)
        for doubt in graph.state_doubts:
            if any(word in doubt for word in _CERTAIN) and not doubt.startswith(_DECLARED):
                yield Found(Location(), doubt)
        if not graph.states:
            who = _who_says_step(subject, graph)
            if who:
                yield Found(Location(), f"no state input is fed by an output, and {who}", (("states", 0),))
        else:
            yield from _missing(subject, graph)


def _misfits(graph: StepGraph) -> Iterator[Found]:
    inputs = {value.name: value for value in graph.inputs}
    outputs = {value.name: value for value in graph.outputs}
    for pair in graph.states:
        given, made = inputs[pair.input], outputs[pair.output]
        what = _difference(given, made)
        if what:
            place = Location(LocationKind.OUTPUT, made.name, f"{_shown(made)} -> {_shown(given)}")
            yield Found(place, f"cannot be fed back into {given.name}: {what}")


def _difference(given: GraphValue, made: GraphValue) -> str:
    if given.dtype and made.dtype and given.dtype != made.dtype:
        return f"the type is {made.dtype} and not {given.dtype}"
    if given.shape is None or made.shape is None:
        return ""
    if len(given.shape) != len(made.shape):
        return f"it has {counted(len(made.shape), 'axis', 'axes')} and not {len(given.shape)}"
    pairs = zip(made.shape, given.shape, strict=True)
    unequal = [f"{a} and not {b}" for a, b in pairs if isinstance(a, int) and isinstance(b, int) and a != b]
    return f"the size is {', '.join(unequal)}" if unequal else ""


def _shown(value: GraphValue) -> str:
    shape = "?" if value.shape is None else sizes(value.shape)
    return f"{value.name} {value.dtype or '?'} {shape}"


def _who_says_step(subject: Subject, graph: StepGraph) -> str:
    """Return who says that the graph is one step of a recursion, or ""."""
    if f"{PREFIX}unit" in graph.metadata:
        return f"its metadata says that it is one {graph.metadata[f'{PREFIX}unit']}"
    if _states_of(subject.reference):
        return f"the reference has {counted(_states_of(subject.reference), 'state')}"
    return f"its depth is {subject.depth}" if subject.depth is not None else ""


def _missing(subject: Subject, graph: StepGraph) -> Iterator[Found]:
    wanted, reference = _states_of(subject.reference), subject.reference
    if len(graph.states) >= wanted:
        return
    names = {pair.input for pair in reference.graph.states} if reference and reference.graph else set()
    lost = sorted(names - {pair.input for pair in graph.states})
    which = f" ({', '.join(lost)} cannot be found)" if lost else ""
    message = f"has {counted(len(graph.states), 'state')}, and the reference has {wanted}{which}"
    yield Found(Location(), message, (("reference_states", wanted), ("states", len(graph.states))))


def _states_of(reference: Subject | None) -> int:
    """Return how many states the reference carries; 0 where nothing says it."""
    if reference is None:
        return 0
    if reference.graph is not None:
        return len(reference.graph.states)
    return reference.facts.geometry.streams if reference.facts.geometry else 0
