"""FG504: fewer layers, heads or weights than the reference."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.analysis.rules._common import architecture_of, tensors_of
from fidelity_gate.records import Found, Location, LocationKind, Need, Role, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject

_COUNTED = ("h_layers", "hidden_size", "l_layers", "layers", "num_heads")


@dataclass(frozen=True, slots=True)
class FewerLayers:
    """Looks for a candidate with fewer layers, heads or width than its reference, or a smaller recursive block.

    Two models of one family are compared field by field. Otherwise the number of weight values of the block is
    compared; a step graph that lost some of them has fewer layers, narrower ones, or only a part of the block.

    Attributes:
        share: of the reference's weight values under which a block counts as smaller.
    """

    share: float = 0.98

    code: ClassVar[str] = "FG504"
    title: ClassVar[str] = "fewer-layers-or-heads"
    severity: ClassVar[Severity] = Severity.WARN
    why: ClassVar[str] = (
        "A smaller student keeps cells and loses puzzles: one layer and one cycle (13 to 15 % of the parameters) kept "
        "87.3 % of Maze's cells and none of its puzzles (the paper's appendix K)."
    )
    fix: ClassVar[str] = "Compress the precision before the shape, and judge the student by exact answers."
    needs: ClassVar[tuple[Need, ...]] = (Need.TENSORS, Need.REFERENCE)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding a field, or one for the whole block."""
        if subject.reference is None:
            return
        ours, theirs = architecture_of(subject), architecture_of(subject.reference)
        if ours and theirs and subject.facts.family == subject.reference.facts.family:
            for key in _COUNTED:
                mine, whole = ours.get(key), theirs.get(key)
                if isinstance(mine, int) and isinstance(whole, int) and mine < whole:
                    place = Location(LocationKind.METADATA, key, f"{key} {mine}")
                    yield Found(place, f"{key} is {mine}, and {whole} in its reference")
            return
        mine, whole = _block_values(subject), _block_values(subject.reference)
        if 0 < mine < self.share * whole:
            message = f"its block has {mine:,} weight values, {mine / whole:.1%} of its reference's {whole:,}"
            yield Found(Location(), message, (("share", mine / whole),))


def _block_values(subject: Subject) -> int:
    return sum(tensor.values for tensor in tensors_of(subject, Role.BLOCK))
