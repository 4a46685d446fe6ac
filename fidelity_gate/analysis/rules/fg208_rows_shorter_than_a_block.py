"""FG208: 4-bit rows that bitsandbytes decodes wrongly."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.analysis.rules._common import tensor_place
from fidelity_gate.analysis.rules._matrices import EVERY_ROLE, matrices
from fidelity_gate.records import Found, Need, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject

_BLOCKS = re.compile(r"\b(?:nf4|fp4) in blocks of (\d+)\b")


@dataclass(frozen=True, slots=True)
class RowsShorterThanABlock:
    """Looks for NF4 and FP4 matrices whose rows are a multiple of 16 values long and not of the block.

    These are the shapes that bitsandbytes 0.50 reads back wrongly on CPUs with AVX-512: every even row length from 2 to
    698 was tried, and exactly these differ from the definition. The file itself is sound, and the gate decodes it by
    its own arithmetic; the finding is about the runtime that will. Without bitsandbytes or AVX-512 on the target,
    ignore the rule.

    Attributes:
        multiple: of values that the library's fast path takes at once.
    """

    multiple: int = 16

    code: ClassVar[str] = "FG208"
    title: ClassVar[str] = "rows-shorter-than-a-block"
    severity: ClassVar[Severity] = Severity.WARN
    why: ClassVar[str] = (
        "bitsandbytes on an AVX-512 CPU decodes such a matrix with an error of 16 to 35 % instead of 9 %, without a "
        "word: what was measured elsewhere is not what runs there."
    )
    fix: ClassVar[str] = "Use int4-calibrated, or a width that is a multiple of the block (64)."
    needs: ClassVar[tuple[Need, ...]] = (Need.TENSORS,)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding a matrix."""
        for tensor in matrices(subject, *EVERY_ROLE):
            told = _BLOCKS.search(tensor.stored_as)
            row = tensor.shape[-1]
            if told and row % self.multiple == 0 and row % int(told[1]):
                message = f"rows of {row} values are a multiple of {self.multiple} and not of the block of {told[1]}"
                yield Found(tensor_place(tensor), message, (("block", int(told[1])), ("row", row)))
