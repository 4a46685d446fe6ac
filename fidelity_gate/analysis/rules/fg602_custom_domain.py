"""FG602: operators that are not of ONNX or onnxruntime, or that hide a compiled model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.analysis.rules._common import by_operator, counted, node_place
from fidelity_gate.analysis.rules._operators import TRAINING_DOMAIN
from fidelity_gate.graphs.wiring import Wiring
from fidelity_gate.records import Found, Need, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject

_KNOWN = frozenset({"", "ai.onnx.ml", "com.microsoft", TRAINING_DOMAIN})  # FG604 speaks of the last
_COMPILED = "EPContext"


@dataclass(frozen=True, slots=True)
class CustomDomain:
    """Looks for operators of other domains than the standard, ai.onnx.ml and com.microsoft, and for EPContext nodes.

    An operator of a domain of its own does what a library says that is not in the file. An EPContext node is a model
    that was compiled for one accelerator, as bytes. One finding for every operator, at its first node; domains that are
    only imported, without an operator, are not found. The operators of an offline-optimized file (com.ms.internal.nhwc,
    com.microsoft.nchwc) are of this kind too: they load on the same build of onnxruntime only.
    """

    code: ClassVar[str] = "FG602"
    title: ClassVar[str] = "custom-domain"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = (
        "What such an operator computes cannot be seen, counted or judged from the file, and onnxruntime does not load "
        "it without the library; the ONNX checker lets it pass."
    )
    fix: ClassVar[str] = "Export with standard operators, and compile for the accelerator after the gate."
    needs: ClassVar[tuple[Need, ...]] = (Need.GRAPH,)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding for every operator."""
        if subject.graph is None:
            return
        wiring = Wiring(subject.graph)
        for name, nodes in by_operator(subject.graph.nodes).items():
            first, many = nodes[0], counted(len(nodes), "node")
            figures = (("nodes", len(nodes)),)
            if first.domain not in _KNOWN:
                message = f"{name} is of the domain '{first.domain}', which nothing here knows ({many})"
                yield Found(node_place(wiring, first), message, figures)
            elif first.op == _COMPILED:
                yield Found(node_place(wiring, first), f"{name} is a compiled model as bytes ({many})", figures)
