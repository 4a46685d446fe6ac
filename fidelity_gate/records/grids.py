"""What the integers and scales of one quantized weight come to: counted once, asked by several lint rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fidelity_gate.records.models import Granularity

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """The grid that a quantized weight lies on, and how its values use it.

    A *group* is the values that share one scale: all of them, a channel, or a block of a channel. A group is *live*
    when one of its integers is not the zero point; the others hold zeros, whatever their scale.
    """

    bits: int
    granularity: Granularity
    values: int
    groups: int
    scale_faults: Mapping[str, int]  # what is wrong with a scale -> how many have it
    zero_faults: int  # zero points outside the integers' range, or not finite
    reach: NDArray[np.float64]  # (live groups,) largest |integer - zero| as a share of the largest there could be
    ends: int  # values on the outermost integers in use, those that stand for 0 left out
    next_to_ends: int  # values on the integers one further in
    ends_due: int  # values that a range from minimum to maximum has on the ends: one a group, two with zero points
    largest: NDArray[np.float64]  # (channels,) absolute maximum
    power: NDArray[np.float64]  # (channels,) mean square
    noise: NDArray[np.float64]  # (channels,) mean square of the rounding that the scales foretell

    @property
    def clipped(self) -> float:
        """Return the share of values that were certainly cut off at the ends of the range.

        On the ends lie the values that a range is made of, those that round to an end (fewer than round to the integer
        further in, as weights thin out towards their extremes), and those that were cut off.
        """
        return max(0, self.ends - self.ends_due - self.next_to_ends) / self.values
