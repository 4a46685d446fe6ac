"""Which of two aggregates asks for more of the same values under the same bound."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fidelity_gate.records import Aggregate, Direction

if TYPE_CHECKING:
    from fidelity_gate.records import Bound

# From the strictest on: all of them pick one value in the order of the probes, each a better one than the one before.
_PICKED = {
    Direction.HIGHER: (Aggregate.WORST, Aggregate.P01, Aggregate.P05, Aggregate.MEDIAN),
    Direction.LOWER: (Aggregate.WORST, Aggregate.P95, Aggregate.MEDIAN),
    Direction.BOTH: (),
}


def faces_one_way(bound: Bound, direction: Direction) -> bool:
    """Return whether a bound has no end but the one that faces a metric's direction, and nothing relative."""
    other = {Direction.HIGHER: bound.maximum, Direction.LOWER: bound.minimum, Direction.BOTH: None}[direction]
    return not bound.relative and other is None


def is_within(one: Bound, other: Bound) -> bool:
    """Return whether every number that meets one bound meets another one; neither is relative."""
    above = other.minimum is None or (one.minimum is not None and one.minimum >= other.minimum)
    below = other.maximum is None or (one.maximum is not None and one.maximum <= other.maximum)
    return above and below


def is_stricter(one: Aggregate | None, other: Aggregate | None, direction: Direction) -> bool:
    """Return whether values whose `one` meets a bound have an `other` that meets it too, whatever they are.

    The bound has the end that faces the metric's direction and no other one; where both directions are bad, any ends.
    A mean is between the others: of them only the worst value says something about it.
    """
    if one is None or other is None or one is other:
        return False
    picked = _PICKED[direction]
    return one is Aggregate.WORST or (one in picked and other in picked and picked.index(one) < picked.index(other))
