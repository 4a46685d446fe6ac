"""FG608: weights that nothing computes with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.analysis.rules._common import counted, sizes
from fidelity_gate.graphs.wiring import Wiring
from fidelity_gate.records import Found, Location, LocationKind, Need, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject


@dataclass(frozen=True, slots=True)
class DeadWeights:
    """Looks for constants that no output depends on: unread, or read only by nodes whose results nobody uses.

    One finding for the file, at the largest of them. What the bodies of loops and branches read counts as used. A
    table that the host reads out of the file by name, without the graph, would be found too.

    Attributes:
        min_bytes: what all of them take together must be at least this.
    """

    code: ClassVar[str] = "FG608"
    title: ClassVar[str] = "dead-weights"
    severity: ClassVar[Severity] = Severity.WARN
    why: ClassVar[str] = (
        "They take flash, and SRAM where the runtime keeps them, for nothing; and a weight that nothing reads may be "
        "one that an export or a rewrite cut off by mistake."
    )
    fix: ClassVar[str] = (
        "Remove them: onnxruntime's quant_pre_process, or onnxscript's optimizer, drops what is unread."
    )
    needs: ClassVar[tuple[Need, ...]] = (Need.GRAPH,)

    min_bytes: int = 1024

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding for the file."""
        graph = subject.graph
        if graph is None:
            return
        used = Wiring(graph).upstream(value.name for value in graph.outputs)
        dead = [constant for constant in graph.constants.values() if constant.name not in used]
        lost = sum(constant.stored_bytes for constant in dead)
        if dead and lost >= self.min_bytes:
            largest = max(dead, key=lambda constant: constant.stored_bytes)
            place = Location(LocationKind.TENSOR, largest.name, f"{largest.dtype} {sizes(largest.shape)}")
            message = f"{counted(len(dead), 'constant')} of {lost:,} bytes that no output depends on"
            yield Found(place, message, (("bytes", lost), ("constants", len(dead))))
