"""FG610: an operator set too old for what is done to compressed models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.records import Found, Location, LocationKind, Need, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject


@dataclass(frozen=True, slots=True)
class AncientOpset:
    """Looks for a standard operator set older than 13.

    Opset 13 is the first whose QuantizeLinear and DequantizeLinear take one scale a channel, and in which Softmax
    normalizes over one axis instead of flattening all that follow. A file without standard operators is not found.

    Attributes:
        opset: the oldest that is fine.
    """

    code: ClassVar[str] = "FG610"
    title: ClassVar[str] = "ancient-opset"
    severity: ClassVar[Severity] = Severity.WARN
    why: ClassVar[str] = (
        "Before opset 13 quantization has one scale a tensor only, and per-tensor INT4 takes three of the zoo's four "
        "models from 97 % exact or more to 54 % or less where per-channel INT4 loses 1.4 points at most."
    )
    fix: ClassVar[str] = "Export with opset 18, or convert the file (onnx.version_converter) before quantizing it."
    needs: ClassVar[tuple[Need, ...]] = (Need.GRAPH,)

    opset: int = 13

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding at most."""
        if subject.graph is None:
            return
        told = subject.graph.opsets.get("")
        if told is not None and told < self.opset:
            place = Location(LocationKind.METADATA, "opset_import")
            yield Found(place, f"opset {told} is older than {self.opset}", (("opset", told),))
