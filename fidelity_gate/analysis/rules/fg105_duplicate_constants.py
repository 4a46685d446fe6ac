"""FG105: equal constants stored several times."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.analysis.rules._common import counted
from fidelity_gate.records import Found, Location, LocationKind, Need, Severity
from fidelity_gate.units import format_value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject
    from fidelity_gate.records import GraphConstant


@dataclass(frozen=True, slots=True)
class DuplicateConstants:
    """Looks for equal constants that a step graph stores more than once.

    Constants are equal when type, shape and bytes are; those in files of their own are not compared. What counts is the
    bytes that one copy of each would save, as a share of the file.

    Attributes:
        share: of the file that copies take; a larger one is a finding.
        least_bytes: smaller constants are left out: shapes, axes and the like.
    """

    share: float = 0.01
    least_bytes: int = 256

    code: ClassVar[str] = "FG105"
    title: ClassVar[str] = "duplicate-constants"
    severity: ClassVar[Severity] = Severity.WARN
    why: ClassVar[str] = (
        "Copies are flash that a device pays for, and bandwidth when it streams weights: torch.export wrote the tables "
        "of a rotary embedding 56 times, 1.39 of the 4.71 MB of a step graph."
    )
    fix: ClassVar[str] = (
        "Let every reader name one initializer; onnxscript's optimizer and quant_pre_process both do it."
    )
    needs: ClassVar[tuple[Need, ...]] = (Need.GRAPH,)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding at most, at the constant whose copies take most."""
        equal: dict[str, list[GraphConstant]] = defaultdict(list)
        for constant in subject.graph.constants.values() if subject.graph else ():
            if constant.digest and constant.stored_bytes >= self.least_bytes:
                equal[constant.digest].append(constant)
        copied = [group for group in equal.values() if len(group) > 1]
        spare = sum(map(_spare, copied))
        if spare <= self.share * subject.facts.size_bytes:
            return
        worst = max(copied, key=_spare)
        shape = "x".join(map(str, worst[0].shape))
        place = Location(LocationKind.TENSOR, worst[0].name, f"{worst[0].dtype} {shape}, stored {len(worst)} times")
        share = format_value(spare / max(1, subject.facts.size_bytes), "fraction", digits=2)
        which = counted(len(copied), "constant")
        message = f"{which} with copies that take {format_value(spare, 'bytes')}, {share} of the file; this costs most"
        yield Found(place, message, (("constants", len(copied)), ("spare_bytes", spare)))


def _spare(group: list[GraphConstant]) -> int:
    return sum(constant.stored_bytes for constant in group[1:])
