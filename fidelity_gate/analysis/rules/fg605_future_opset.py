"""FG605: a file newer than the runtime that is to run it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.records import Found, Location, LocationKind, Need, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject


@dataclass(frozen=True, slots=True)
class FutureOpset:
    """Looks for an operator set or a file format (IR version) newer than the released onnxruntime reads.

    The limits are those of onnxruntime 1.31, which refuses what is above them (tried with every pair around them); give
    those of the runtime on your device where it is another. Note that onnx itself is ahead of it: onnx 1.23 writes IR
    version 14 and opset 28 unless told otherwise. For a target with its own limit see FG406.

    Attributes:
        opset: the newest standard operator set that is read.
        ir_version: the newest file format that is read.
    """

    code: ClassVar[str] = "FG605"
    title: ClassVar[str] = "future-opset"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = (
        "onnxruntime refuses to load it, or would have to guess what operators mean that it does not know: what one "
        "runtime makes of such a file says nothing of another."
    )
    fix: ClassVar[str] = "Export with an opset and an IR version that are released (opset 18, IR version 10)."
    needs: ClassVar[tuple[Need, ...]] = (Need.GRAPH,)

    opset: int = 26
    ir_version: int = 13

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding for the opset, and one for the IR version."""
        if subject.graph is None:
            return
        told = subject.graph.opsets.get("", 0)
        if told > self.opset:
            message = f"opset {told}, and {self.opset} is the newest that is read"
            yield Found(Location(LocationKind.METADATA, "opset_import"), message, (("opset", told),))
        told = subject.graph.ir_version
        if told > self.ir_version:
            message = f"IR version {told}, and {self.ir_version} is the newest that is read"
            yield Found(Location(LocationKind.METADATA, "ir_version"), message, (("ir_version", told),))
