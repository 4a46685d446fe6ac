"""FG407: an embedding table that does not fit beside the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.analysis.footprint import footprint
from fidelity_gate.analysis.rules._common import tensor_place, tensors_of
from fidelity_gate.records import Found, Need, Role, Severity
from fidelity_gate.units import format_value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject

_MATRIX = 2


@dataclass(frozen=True, slots=True)
class EmbeddingBeyondSram:
    """Looks for embedding tables that, resident beside the streamed block, exceed the target's SRAM.

    The budget is what the target's SRAM leaves after the streaming scenario of the footprint (one layer and the
    activations); where the footprint is not known, all of it. A table that is streamed row by row from flash is not in
    SRAM at all, and a file cannot say that it will be: then ignore this rule for that policy.

    Source: the paper's Table 1 and section 4.1: a 99.4 MiB table against 8 MB of SRAM, 2 KiB when one row is loaded.
    """

    code: ClassVar[str] = "FG407"
    title: ClassVar[str] = "embedding-beyond-sram"
    severity: ClassVar[Severity] = Severity.WARN
    why: ClassVar[str] = (
        "A puzzle needs one row of the table; keeping all of them resident cost the paper's ARC model 99.4 MiB."
    )
    fix: ClassVar[str] = "Keep the table in flash and load the one row of the puzzle at hand."
    needs: ClassVar[tuple[Need, ...]] = (Need.TENSORS, Need.TARGET)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding for every table and target."""
        cost = footprint(subject.facts)
        taken = cost.streaming if cost else 0
        for target in subject.targets:
            for table in tensors_of(subject, Role.EMBEDDING):
                if target.sram_bytes is None or taken + table.stored_bytes <= target.sram_bytes:
                    continue
                message = (
                    f"the table takes {_bytes(table.stored_bytes)}, and the target has "
                    f"{_bytes(max(0, target.sram_bytes - taken))} beside the model; one row takes "
                    f"{_bytes(table.stored_bytes / max(1, table.shape[0] if len(table.shape) == _MATRIX else 1))}"
                )
                yield Found(tensor_place(table), message, (("table_bytes", table.stored_bytes),), target.name)


def _bytes(count: float) -> str:
    return format_value(count, "bytes")
