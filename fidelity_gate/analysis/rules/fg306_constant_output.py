"""FG306: an output that is always the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.analysis.rules._carry import Flow
from fidelity_gate.analysis.rules._common import sizes
from fidelity_gate.records import Found, Location, LocationKind, Need, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject


@dataclass(frozen=True, slots=True)
class ConstantOutput:
    """Looks for graph outputs that depend on the values of no graph input.

    Such an output is a constant of the file, or computed from constants alone; reading the shape of an input is no
    dependence. One finding for every output. A graph that is meant to hand out a constant beside its states would be
    found too; leave it to the host.
    """

    code: ClassVar[str] = "FG306"
    title: ClassVar[str] = "constant-output"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = (
        "A tracer that folded an input away, or a head that was cut off, leaves an output that is the same for every "
        "puzzle and every step; comparing it with itself always agrees."
    )
    fix: ClassVar[str] = "Export again without constant folding of the inputs, and check the output on two puzzles."
    needs: ClassVar[tuple[Need, ...]] = (Need.GRAPH,)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding for every output."""
        if subject.graph is None:
            return
        flow = Flow.of(subject.graph)
        for value in subject.graph.outputs:
            if value.name not in flow.fed:
                place = Location(LocationKind.OUTPUT, value.name, f"{value.dtype} {sizes(value.shape or ())}".strip())
                made = flow.wiring.maker.get(value.name)
                how = f"made by {made.op} '{made.name}' of constants" if made else "a constant of the file"
                yield Found(place, f"depends on no input: it is {how}")
