"""FG401: dynamic quantization for a target that needs static scales."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.analysis.rules._common import DYNAMIC_QUANTIZERS, by_operator, counted, node_place
from fidelity_gate.graphs.wiring import Wiring
from fidelity_gate.records import Found, Need, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject


@dataclass(frozen=True, slots=True)
class DynamicQuantization:
    """Looks for operators that choose activation scales while they run, for a target that needs them fixed before.

    Dynamic quantization measures the range of every activation at run time. CPUs do that well; an NPU compiles fixed
    scales into its program, so such operators fall back to the CPU or are refused by its compiler. Complains once a
    target that says `static_only`, at the first such node, with the count of each operator.

    Source: the paper's section 4.6 (static against dynamic INT8) and the onnxruntime documentation on quantization.
    """

    code: ClassVar[str] = "FG401"
    title: ClassVar[str] = "dynamic-quantization"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = (
        "An NPU needs the scales before it runs: these operators fall back to the CPU, or the compiler refuses them."
    )
    fix: ClassVar[str] = (
        "Quantize statically with calibration over the whole recursion, and leave the carry path in float."
    )
    needs: ClassVar[tuple[Need, ...]] = (Need.GRAPH, Need.TARGET)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding for every target that needs static scales."""
        if subject.graph is None:
            return
        dynamic = [node for node in subject.graph.nodes if node.op in DYNAMIC_QUANTIZERS]
        if not dynamic:
            return
        told = ", ".join(f"{len(nodes)} {name}" for name, nodes in by_operator(dynamic).items())
        place = node_place(Wiring(subject.graph), dynamic[0])
        for target in subject.targets:
            if target.static_only:
                message = f"{counted(len(dynamic), 'operator')} quantized dynamically ({told}), first here"
                yield Found(place, message, (("operators", len(dynamic)),), target.name)
