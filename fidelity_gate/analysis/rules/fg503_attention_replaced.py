"""FG503: softmax attention that is gone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.analysis.rules._common import architecture_of
from fidelity_gate.records import Found, Location, Need, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject

_SOFTMAX = frozenset(
    {"Attention", "GroupQueryAttention", "MultiHeadAttention", "QAttention", "QLinearSoftmax", "Softmax"}
)
_ATTENTION_WEIGHTS = ("attn", "attention", "qkv")


@dataclass(frozen=True, slots=True)
class AttentionReplaced:
    """Looks for a candidate without softmax attention whose reference has it.

    A model has it when its family's architecture says so, when a block tensor is named after it (`attn`, `qkv`), or
    when a step graph has a Softmax or a fused attention operator. A candidate graph that computes softmax from Exp and
    ReduceSum is taken for one without: exporters do not do that, and fused runtimes name their operator.

    Source: the paper's appendix J: linear attention (ELU feature map) on Maze.
    """

    code: ClassVar[str] = "FG503"
    title: ClassVar[str] = "attention-replaced"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = (
        "With linear attention instead of softmax Maze kept 87.3 % of its cells and 0 % of its puzzles, and retraining "
        "brought back cells only."
    )
    fix: ClassVar[str] = "Keep softmax attention in the recursive block."
    needs: ClassVar[tuple[Need, ...]] = (Need.REFERENCE,)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding if the reference is known to have attention and the candidate is known not to."""
        if subject.reference is not None and _attends(subject.reference) and _attends(subject) is False:
            yield Found(Location(), "has no softmax attention, and its reference has")


def _attends(subject: Subject) -> bool | None:
    """Return whether a model has softmax attention; None where nothing tells."""
    if subject.graph is not None:
        return any(node.op in _SOFTMAX for node in subject.graph.nodes)
    mixer = architecture_of(subject).get("mixer")
    if mixer is not None:
        return mixer == "attention"
    if not subject.facts.family:
        return None
    return any(word in tensor.name for tensor in subject.facts.tensors for word in _ATTENTION_WEIGHTS)
