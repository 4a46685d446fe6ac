"""FG405: operators that the target does not have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.analysis.rules._common import by_operator, counted, node_place
from fidelity_gate.graphs.wiring import Wiring
from fidelity_gate.records import Found, Need, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject


@dataclass(frozen=True, slots=True)
class UnsupportedOperator:
    """Looks for operators that are not among those the target says it has.

    Operators outside the standard are named with their domain (`com.microsoft.MatMulNBits`), in targets too. One
    finding for every operator, at its first node. A target without an `operators` list takes all.

    Source: the operator lists of the target's runtime, as the policy states them.
    """

    code: ClassVar[str] = "FG405"
    title: ClassVar[str] = "unsupported-operator"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = (
        "What the accelerator lacks runs on the CPU or not at all; a silent fallback made ResNet-18 nine times slower "
        "on the RB3 Gen 2 (13.8 against 1.5 ms, public AI Hub figures)."
    )
    fix: ClassVar[str] = "Rewrite the operator with ones the target has, or add it to the target's list if it is there."
    needs: ClassVar[tuple[Need, ...]] = (Need.GRAPH, Need.TARGET)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding for every operator and target."""
        if subject.graph is None:
            return
        wiring, operators = Wiring(subject.graph), by_operator(subject.graph.nodes)
        for target in subject.targets:
            for name, nodes in operators.items():
                if target.operators and name not in target.operators:
                    message = f"{name} is not an operator of this target ({counted(len(nodes), 'node')})"
                    yield Found(node_place(wiring, nodes[0]), message, (("nodes", len(nodes)),), target.name)
