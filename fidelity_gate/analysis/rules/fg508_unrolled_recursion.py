"""FG508: a graph that holds the whole recursion."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.analysis.rules._common import node_place
from fidelity_gate.graphs.wiring import Wiring
from fidelity_gate.records import Found, Need, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject
    from fidelity_gate.records import Depth, GraphNode

_PRODUCTS = frozenset({"Conv", "Gemm", "MatMul", "MatMulInteger", "MatMulNBits", "QLinearMatMul"})
# What may stand between a weight and the product that uses it: its values are the same.
_CARRIERS = frozenset({"Cast", "DequantizeLinear", "Identity", "Reshape", "Transpose"})


@dataclass(frozen=True, slots=True)
class Unrolled:
    """Looks for a step graph that applies its weights more often than one ACT step does.

    A weight of the block is applied (L cycles + 1) times in an H cycle, H times that in an ACT step. Where the depth is
    known and a weight is applied more often than in one ACT step, several steps are unrolled; where it is not known,
    more than `calls` uses of one weight are taken for it.

    Attributes:
        calls: uses of one weight that count as unrolled where no depth is known.
    """

    calls: int = 24

    code: ClassVar[str] = "FG508"
    title: ClassVar[str] = "unrolled-recursion"
    severity: ClassVar[Severity] = Severity.WARN
    why: ClassVar[str] = (
        "Unrolled steps cost flash and compile time, fix the depth for ever, and hide the carry that a gate compares."
    )
    fix: ClassVar[str] = "Export one step and let the host feed the state back (fidelity-gate export --unit h-cycle)."
    needs: ClassVar[tuple[Need, ...]] = (Need.GRAPH,)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding for the weight that is used most."""
        if subject.graph is None:
            return
        wiring = Wiring(subject.graph)
        uses = _uses(wiring)
        if not uses:
            return
        most = max(uses, key=lambda name: len(uses[name]))
        count, limit = len(uses[most]), _limit(subject.depth, self.calls)
        if count > limit:
            message = f"applies {most} {count} times; one ACT step applies a weight at most {limit} times"
            if subject.depth is None:
                message = f"applies {most} {count} times, which looks like several steps in one graph"
            yield Found(node_place(wiring, uses[most][0]), message, (("uses", count),))


def _limit(depth: Depth | None, calls: int) -> int:
    return depth.h_cycles * (depth.l_cycles + 1) if depth else calls


def _uses(wiring: Wiring) -> dict[str, list[GraphNode]]:
    """Return constant -> the products that it enters, directly or through operators that keep its values."""
    origin = {name: name for name in wiring.graph.constants}
    found: dict[str, list[GraphNode]] = defaultdict(list)
    for node in wiring.graph.nodes:
        first = node.inputs[0] if node.inputs else ""
        if node.op in _CARRIERS and first in origin:
            origin.update(dict.fromkeys(node.outputs, origin[first]))
        elif node.op in _PRODUCTS:
            for name in dict.fromkeys(origin[name] for name in node.inputs if name in origin):
                found[name].append(node)
    return found
