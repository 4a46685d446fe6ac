"""Margins as bars: from the bound to the right as far as there is room left, to the left as far as it was missed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fidelity_gate.records import Bound, CheckResult

HALF = 60.0  # of the picture, in its own units: the bound is in the middle
THINNEST = 1.5  # of a bar, so that a margin of nothing can be seen
CEILING = 1.0  # cosines, shares and ratios that should be high end here


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: where it starts, how wide it is, and whether the margin goes on beyond the picture."""

    start: float
    width: float
    inside: bool
    cut: bool
    label: str


def bar_of(result: CheckResult, margin: str) -> Bar | None:
    """Return the bar of a check; None where nothing was compared.

    Args:
        result: the check.
        margin: its margin as text.
    """
    if result.margin is None or result.observed is None:
        return None
    inside = result.margin >= 0
    room = _room(result.bound, result.unit, inside=inside)
    share = min(1.0, abs(result.margin) / room) if room > 0 else 0.0
    width = max(THINNEST, HALF * share)
    where = f"{100 * share:.0f} % of the room inside the bound" if inside else "outside the bound"
    cut = not inside and abs(result.margin) > room
    return Bar(HALF if inside else HALF - width, width, inside, cut, f"margin {margin}: {where}")


def place_of(result: CheckResult) -> float | None:
    """Return where a margin ends in the picture of a bar; None where nothing was compared."""
    if result.margin is None or result.observed is None:
        return None
    inside = result.margin >= 0
    room = _room(result.bound, result.unit, inside=inside)
    share = min(1.0, abs(result.margin) / room) if room > 0 else 0.0
    return HALF + HALF * share if inside else HALF - max(THINNEST, HALF * share)


def _room(bound: Bound, unit: str, *, inside: bool) -> float:
    """Return which margin fills half of the picture: what there is between the bound and where the scale ends."""
    low, high = bound.minimum, bound.maximum
    if low is not None and high is not None:
        return (high - low) / 2
    if low is not None:
        ends_at_one = inside and unit in ("", "fraction") and low <= CEILING
        return CEILING - low if ends_at_one else abs(low) or 1.0
    return abs(high or 0.0) or 1.0
