"""FG206: weights cut off at the ends of the integer range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.analysis.rules._common import tensor_place
from fidelity_gate.analysis.rules._matrices import grids
from fidelity_gate.records import Found, Need, Role, Severity
from fidelity_gate.units import format_value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject


@dataclass(frozen=True, slots=True)
class SaturatedWeights:
    """Looks for block weights piled up on the outermost integers, more than a range from minimum to maximum puts there.

    Of the values on the two outermost integers in use, those that the range is made of are taken off (one a scale, two
    where there are zero points), and as many as lie on the two integers further in: weights thin out towards their
    extremes, so more than that were cut off. Clipping that trades a few outliers for a finer step, such as
    `int4-calibrated,clip=mse`, leaves no such pile. Weights that are all of one size (ternary, binary) use too few
    integers to tell and are left alone.

    Attributes:
        share: of a matrix's values that were cut off; a larger one is a finding.
    """

    share: float = 0.02

    code: ClassVar[str] = "FG206"
    title: ClassVar[str] = "saturated-weights"
    severity: ClassVar[Severity] = Severity.WARN
    why: ClassVar[str] = (
        "INT8 rows with their range cut to 80 % lost 3 points of exact accuracy on the zoo's MLP-mixing model and less "
        "than 1 on the others, to 60 % up to 27 points, although the grid is finer."
    )
    fix: ClassVar[str] = (
        "Take the range from minimum to maximum, or choose the clipping by the output error (clip=mse)."
    )
    needs: ClassVar[tuple[Need, ...]] = (Need.TENSORS, Need.WEIGHTS)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding a matrix."""
        for tensor, grid in grids(subject, Role.BLOCK):
            if grid.clipped > self.share:
                ends = format_value(grid.ends / grid.values, "fraction", digits=2)
                cut = format_value(grid.clipped, "fraction", digits=2)
                message = f"{ends} of the weights lie on the outermost integers, at least {cut} were cut off there"
                figures = (("clipped_share", grid.clipped), ("ends_share", grid.ends / grid.values))
                yield Found(tensor_place(tensor), message, figures)
