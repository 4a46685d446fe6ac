"""FG609: weights in another file that may be replaced without anybody noticing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.analysis.rules._common import counted
from fidelity_gate.analysis.rules._external import by_location
from fidelity_gate.records import Found, Location, LocationKind, Need, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject


@dataclass(frozen=True, slots=True)
class ExternalDataUnpinned:
    """Looks for tensors in another file that are not pinned by a checksum.

    ONNX has a `checksum` for external data, the SHA-1 of the whole file, which exporters leave out. One finding for
    every file. Whether a pinned file is the right one is of FG601. A release that pins all its files by other means (a
    manifest, a container image) can ignore this rule.
    """

    code: ClassVar[str] = "FG609"
    title: ClassVar[str] = "external-data-unpinned"
    severity: ClassVar[Severity] = Severity.WARN
    why: ClassVar[str] = (
        "The model file's own digest does not cover the weights: another data file beside it, from another checkpoint "
        "or half copied, makes another model of the same name."
    )
    fix: ClassVar[str] = (
        "Save the weights inside the file (torch.onnx.export with external_data=False), or add a checksum to each "
        "tensor's external data."
    )
    needs: ClassVar[tuple[Need, ...]] = (Need.GRAPH,)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding for every file."""
        for location, constants in by_location(subject).items():
            loose = [item for item in constants if item.external is not None and not item.external.checksum]
            if loose:
                place = Location(LocationKind.TENSOR, loose[0].name, f"{loose[0].dtype} in '{location}'")
                message = f"{counted(len(loose), 'tensor')} in '{location}' without a checksum"
                yield Found(place, message, (("tensors", len(loose)),))
