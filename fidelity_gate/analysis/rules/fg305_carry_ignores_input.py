"""FG305: a carry that does not depend on what it should."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.analysis.rules._carry import Flow, input_of
from fidelity_gate.records import Found, Location, LocationKind, Need, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject

_COPIES = frozenset({"Cast", "DequantizeLinear", "Identity", "QuantizeLinear", "Reshape"})


@dataclass(frozen=True, slots=True)
class CarryIgnoresInput:
    """Looks for state outputs that depend on no input of the puzzle, on no state, or only copy their own input.

    What a state depends on is followed through the other states too: z_H may take the puzzle from z_L, within a step or
    by the step after it. Reading only the shape of a value is no dependence. Where a graph has no inputs beside its
    states (the puzzle is in the initial carry) none are asked for. States that are not floats (counters, masks) are
    left out, and so are outputs that depend on nothing at all, which are of FG306. The rule is wrong where a state is
    meant to be handed on unchanged; make such a value an ordinary input.
    """

    code: ClassVar[str] = "FG305"
    title: ClassVar[str] = "carry-ignores-input"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = (
        "Such a graph is not the recursion it was made of: an export that folded its example input away, or fed it "
        "zeros, still runs, and its carries can agree with one another while they say nothing of the puzzle."
    )
    fix: ClassVar[str] = "Export again, with every state and the puzzle's input as graph inputs that the block reads."
    needs: ClassVar[tuple[Need, ...]] = (Need.STATES,)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding for every state output and thing it does not depend on."""
        graph = subject.graph
        if graph is None:
            return
        flow = Flow.of(graph)
        states, others = flow.wiring.state_inputs, {value.name for value in graph.inputs} - flow.wiring.state_inputs
        known = {value.name: value.dtype for value in graph.outputs}
        for pair in graph.states:
            depends = _depends(pair.output, flow)
            if not depends or "float" not in known.get(pair.output, "float"):
                continue
            place = Location(LocationKind.OUTPUT, pair.output, f"fed back into {pair.input}")
            if _is_copy(flow, pair.output, pair.input):
                yield Found(place, f"is a copy of {pair.input}: the carry never moves")
                continue
            if depends.isdisjoint(states):
                yield Found(place, f"depends on no state, only on {', '.join(sorted(depends))}")
            if others and depends.isdisjoint(others):
                yield Found(place, f"depends on none of {', '.join(sorted(others))}, only on states")


def _depends(output: str, flow: Flow) -> frozenset[str]:
    """Return the graph inputs that a state output depends on over all steps: its own, and its states' own."""
    fed_by = {pair.input: pair.output for pair in flow.graph.states}
    outputs = [fed_by.get(value.name, "") for value in flow.graph.inputs]
    reached, looked_at = flow.inputs_of.get(output, 0), 0
    while new := reached & ~looked_at:
        looked_at |= new & -new
        reached |= flow.inputs_of.get(outputs[(new & -new).bit_length() - 1], 0)
    return frozenset(value.name for place, value in enumerate(flow.graph.inputs) if reached >> place & 1)


def _is_copy(flow: Flow, output: str, given: str) -> bool:
    name = output
    while name != given and name in flow.wiring.maker and flow.wiring.maker[name].op in _COPIES:
        name = input_of(flow.wiring.maker[name], 0)
    return name == given
