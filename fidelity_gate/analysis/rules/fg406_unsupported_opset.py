"""FG406: an operator set newer than the target's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.records import Found, Location, LocationKind, Need, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject


@dataclass(frozen=True, slots=True)
class UnsupportedOpset:
    """Looks for a standard operator set newer than the newest that the target reads.

    A target without `max_opset` takes any. Whether the set is newer than the installed runtime is another rule's.

    Source: the ONNX specification: a runtime must refuse a model whose operator set it does not know.
    """

    code: ClassVar[str] = "FG406"
    title: ClassVar[str] = "unsupported-opset"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = "A runtime refuses a model of an operator set that it does not know."
    fix: ClassVar[str] = "Export with the target's operator set (fidelity-gate export --opset N)."
    needs: ClassVar[tuple[Need, ...]] = (Need.GRAPH, Need.TARGET)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding for every target that is too old."""
        version = subject.graph.opsets.get("", 0) if subject.graph else 0
        place = Location(LocationKind.METADATA, "opset_import", f"ai.onnx {version}")
        for target in subject.targets:
            if target.max_opset is not None and version > target.max_opset:
                message = f"opset {version}, and this target reads up to {target.max_opset}"
                yield Found(place, message, (("opset", version),), target.name)
