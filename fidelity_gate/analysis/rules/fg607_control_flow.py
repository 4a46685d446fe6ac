"""FG607: loops and branches in a step graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.analysis.rules._common import by_operator, counted, node_place
from fidelity_gate.analysis.rules._operators import CONTROL_FLOW
from fidelity_gate.graphs.wiring import Wiring
from fidelity_gate.records import Found, Need, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject


@dataclass(frozen=True, slots=True)
class ControlFlow:
    """Looks for Loop, Scan, If and SequenceMap, and for any other node that holds graphs of its own.

    One finding for every operator, at its first node. Their bodies are counted, not entered: what other rules look for
    is not found inside. Recurrent operators (LSTM, GRU, RNN) are no control flow. A branch that is the same for every
    input can be folded away; a loop of a fixed number of turns can be unrolled, or be left to the host.
    """

    code: ClassVar[str] = "FG607"
    title: ClassVar[str] = "control-flow"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = (
        "What a step costs, and whether it ends, is then decided by its data: no memory plan and no count of "
        "operations holds, NPU compilers refuse it, and an endless Loop passes the ONNX checker and loads."
    )
    fix: ClassVar[str] = "Export one step without loops or branches and let the host loop; fold constant branches."
    needs: ClassVar[tuple[Need, ...]] = (Need.GRAPH,)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding for every operator."""
        if subject.graph is None:
            return
        wiring = Wiring(subject.graph)
        for name, nodes in by_operator(subject.graph.nodes).items():
            found = [node for node in nodes if node.op in CONTROL_FLOW or node.subgraphs]
            if found:
                bodies = sum(node.subgraphs for node in found)
                held = f"{counted(len(found), 'node')}, {counted(bodies, 'body', 'bodies')}"
                figures = (("bodies", bodies), ("nodes", len(found)))
                yield Found(
                    node_place(wiring, found[0]), f"{name} decides at run time what is computed ({held})", figures
                )
