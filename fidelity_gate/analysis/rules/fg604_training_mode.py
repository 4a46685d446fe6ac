"""FG604: a graph that was exported for training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.analysis.rules._common import by_operator, counted, node_place
from fidelity_gate.analysis.rules._operators import LOSSES, OPTIMIZERS, TRAINING_DOMAIN
from fidelity_gate.graphs.wiring import Wiring
from fidelity_gate.records import Found, Need, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject
    from fidelity_gate.records import GraphNode

_RUNTIME = "com.microsoft"
_DROPOUT_TAKES_MODE = 2  # place of its training_mode input, since opset 12


@dataclass(frozen=True, slots=True)
class TrainingMode:
    """Looks for operators in training mode: Dropout and BatchNormalization that train, losses, gradients, optimizers.

    Dropout trains where its `training_mode` input is true, or is not a constant of the file (then a caller decides);
    BatchNormalization where its attribute says so. Operators of ai.onnx.preview.training, and onnxruntime's gradients
    (`...Grad`) and optimizers, do nothing else. One finding for every operator, at its first node. Dropout in inference
    mode is an identity and is not found.
    """

    code: ClassVar[str] = "FG604"
    title: ClassVar[str] = "training-mode"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = (
        "Dropout makes every step another one, and BatchNormalization takes its statistics from the batch, so that an "
        "answer depends on the puzzles beside it."
    )
    fix: ClassVar[str] = "Call model.eval() before the export, and export the forward pass only."
    needs: ClassVar[tuple[Need, ...]] = (Need.GRAPH,)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding for every operator."""
        if subject.graph is None:
            return
        wiring = Wiring(subject.graph)
        for name, nodes in by_operator(subject.graph.nodes).items():
            found = [(node, reason) for node in nodes if (reason := _reason(subject, node))]
            if found:
                message = f"{name} {found[0][1]} ({counted(len(found), 'node')})"
                yield Found(node_place(wiring, found[0][0]), message, (("nodes", len(found)),))


def _reason(subject: Subject, node: GraphNode) -> str:
    """Return in which way a node trains, or ""."""
    if node.domain == TRAINING_DOMAIN or (node.op in LOSSES and not node.domain):
        return "is an operator of training"
    if node.domain == _RUNTIME and (node.op.endswith("Grad") or node.op in OPTIMIZERS):
        return "is an operator of training"
    if node.op == "BatchNormalization" and node.attributes.get("training_mode") == 1:
        return "is in training mode"
    return _dropout(subject, node) if node.op == "Dropout" else ""


def _dropout(subject: Subject, node: GraphNode) -> str:
    mode = node.inputs[_DROPOUT_TAKES_MODE] if len(node.inputs) > _DROPOUT_TAKES_MODE else ""
    if not mode:
        return ""
    if subject.graph is None or mode not in subject.graph.constants:
        return f"is in training mode when '{mode}' says so"
    held = subject.weights.dense(mode) if subject.weights is not None else None
    return "is in training mode" if held is not None and bool(held.any()) else ""
