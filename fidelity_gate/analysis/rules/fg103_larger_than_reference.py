"""FG103: compression that made the file larger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.analysis.rules._claims import smallest_claim
from fidelity_gate.analysis.rules._common import NARROW_BITS
from fidelity_gate.records import Found, Location, Need, Severity
from fidelity_gate.units import format_value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject


@dataclass(frozen=True, slots=True)
class LargerThanReference:
    """Looks for a compressed file that is hardly smaller than its reference, or larger.

    Sizes are of files on disk, side files included, because that is what is shipped. Only a model that is said to be
    compressed, or that stores something below 16 bit, is looked at: a float32 export of a float32 reference may well be
    larger. The message tells weights from the rest, because in the graph of a very small model the nodes outweigh the
    weights.

    Attributes:
        ratio: candidate to reference; a larger one is a finding.
    """

    ratio: float = 0.95

    code: ClassVar[str] = "FG103"
    title: ClassVar[str] = "larger-than-reference"
    severity: ClassVar[Severity] = Severity.WARN
    why: ClassVar[str] = (
        "A quantizer that adds integers beside the float weights they stand for makes a file larger: quantize_dynamic "
        "took a step graph from 2.91 to 3.67 MB."
    )
    fix: ClassVar[str] = (
        "Remove weights that are stored twice (FG104, FG105) and the metadata that exporters leave on nodes, or "
        "quantize what was left in float (FG102)."
    )
    needs: ClassVar[tuple[Need, ...]] = (Need.REFERENCE,)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding at most."""
        if subject.reference is None:
            return
        own, other = subject.facts, subject.reference.facts
        narrow = any(tensor.bits < NARROW_BITS for tensor in own.tensors)
        ratio = own.size_bytes / max(1, other.size_bytes)
        if ratio <= self.ratio or not (narrow or smallest_claim(subject.claims)):
            return
        weights = sum(tensor.stored_bytes for tensor in own.tensors)
        held = f"{_bytes(own.size_bytes)}, of which {_bytes(weights)} are tensors"
        figures = (("ratio", ratio), ("reference_bytes", other.size_bytes), ("size_bytes", own.size_bytes))
        yield Found(Location(), f"the file takes {held}; its reference takes {_bytes(other.size_bytes)}", figures)


def _bytes(count: int) -> str:
    return format_value(count, "bytes")
