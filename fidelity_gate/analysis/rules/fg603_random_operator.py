"""FG603: operators that draw random numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.analysis.rules._common import by_operator, counted, node_place
from fidelity_gate.analysis.rules._operators import RANDOM
from fidelity_gate.graphs.wiring import Wiring
from fidelity_gate.records import Found, Need, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject


@dataclass(frozen=True, slots=True)
class RandomOperator:
    """Looks for operators that draw random numbers: RandomNormal, RandomUniform, Multinomial, Bernoulli and their kin.

    One finding for every operator, at its first node. A `seed` attribute does not help: the draws then follow one
    another in the same order, but differ from step to step and with the order of the calls. Dropout is of FG604.
    """

    code: ClassVar[str] = "FG603"
    title: ClassVar[str] = "random-operator"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = (
        "Two runs of such a step differ, and a chaotic recursion turns a difference of 1e-6 into another answer: its "
        "fidelity falls from 1.00 at step 7 to 0.03 at step 16, and no figure means anything."
    )
    fix: ClassVar[str] = "Draw in the host and pass the numbers in as an input, or export the model in eval mode."
    needs: ClassVar[tuple[Need, ...]] = (Need.GRAPH,)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding for every operator."""
        if subject.graph is None:
            return
        wiring = Wiring(subject.graph)
        for name, nodes in by_operator(subject.graph.nodes).items():
            if nodes[0].op in RANDOM:
                message = f"{name} draws random numbers ({counted(len(nodes), 'node')})"
                yield Found(node_place(wiring, nodes[0]), message, (("nodes", len(nodes)),))
