"""FG601: weights in another file that is not what it should be, or not where it should be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.analysis.rules._common import counted
from fidelity_gate.analysis.rules._external import by_location, checksum_problem, place_problem, range_problem
from fidelity_gate.records import Found, Location, LocationKind, Need, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject
    from fidelity_gate.records import GraphConstant


@dataclass(frozen=True, slots=True)
class ExternalDataUnsafe:
    """Looks for external data outside the model's folder, behind links, missing, too short, or not what was pinned.

    Locations may only go down from the folder of the model: absolute paths, `..`, symbolic links anywhere on the way,
    files with a second name (hard links) and anything but a regular file are found, one finding for every location. For
    files that may be read, the range of every tensor is held against its type and shape and against the size of the
    file, and the file against its SHA-1 where one is pinned. Nothing else of it is read. A deduplicating file store
    whose files have several names on purpose is found too: copy the file.
    """

    code: ClassVar[str] = "FG601"
    title: ClassVar[str] = "external-data-unsafe"
    severity: ClassVar[Severity] = Severity.ERROR
    why: ClassVar[str] = (
        "Such a file reads whatever the machine that loads it has in that place, so that what was judged is not what "
        "ships; onnxruntime follows hard links to files outside the folder, and the ONNX checker does not notice a "
        "tensor that is longer than its file."
    )
    fix: ClassVar[str] = "Save the model with its weights inside, or with one data file beside it (onnx.save_model)."
    needs: ClassVar[tuple[Need, ...]] = (Need.GRAPH,)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding for every location and way in which it is wrong."""
        folder = Path(subject.facts.path).parent
        for location, constants in by_location(subject).items():
            problem = place_problem(folder, location)
            if problem:
                message = f"{counted(len(constants), 'tensor')} in '{location}', which is {problem}"
                yield Found(_place(constants[0], location), message, (("tensors", len(constants)),))
                continue
            wrong = [(constant, problem) for constant in constants if (problem := range_problem(folder, constant))]
            if wrong:
                more = f", and so for {counted(len(wrong) - 1, 'more tensor')}" if len(wrong) > 1 else ""
                yield Found(_place(wrong[0][0], location), f"{wrong[0][1]}{more}", (("tensors", len(wrong)),))
            yield from self._pinned(folder, location, constants)

    def _pinned(self, folder: Path, location: str, constants: list[GraphConstant]) -> Iterator[Found]:
        """Yield one finding at most for every checksum that a file is said to have."""
        pins = {constant.external.checksum: constant for constant in constants if constant.external}
        for _, constant in sorted(pins.items()):
            problem = checksum_problem(folder, constant)
            if problem:
                yield Found(_place(constant, location), f"'{location}' {problem}")


def _place(constant: GraphConstant, location: str) -> Location:
    return Location(LocationKind.TENSOR, constant.name, f"{constant.dtype} in '{location}'")
