"""FG507: another vocabulary than the reference's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.analysis.rules._common import architecture_of
from fidelity_gate.records import Found, Location, LocationKind, Need, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject

_LOGITS = "logits"


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Looks for a candidate that answers with another number of tokens than its reference.

    The vocabulary is the architecture's `vocab_size`, or the last axis of a step graph's output named `logits`.
    """

    code: ClassVar[str] = "FG507"
    title: ClassVar[str] = "vocabulary-differs"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "Answers of different vocabularies cannot be equal, whatever the carry's fidelity."
    fix: ClassVar[str] = "Check that both files are of the same task and data set."
    needs: ClassVar[tuple[Need, ...]] = (Need.REFERENCE,)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding if both vocabularies are known and differ."""
        ours, theirs = _size(subject), _size(subject.reference) if subject.reference else None
        if ours and theirs and ours != theirs:
            place = Location(LocationKind.OUTPUT, _LOGITS) if subject.graph else Location()
            message = f"answers with {ours} tokens, its reference with {theirs}"
            yield Found(place, message, (("reference_vocabulary", theirs), ("vocabulary", ours)))


def _size(subject: Subject) -> int | None:
    if subject.graph is not None:
        shapes = [value.shape for value in subject.graph.outputs if value.name == _LOGITS and value.shape]
        last = shapes[0][-1] if shapes and shapes[0] else None
    else:
        last = architecture_of(subject).get("vocab_size")  # type: ignore[assignment]
    return last if isinstance(last, int) else None
