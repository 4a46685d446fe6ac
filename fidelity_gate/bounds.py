"""Numbers against bounds: aggregates of per-probe values, and the one comparison that can make a check pass."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from fidelity_gate.records import Aggregate, Direction

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.records import Bound, Check, Measurement

Values: TypeAlias = tuple[float, ...]

# Below these, the percentile is nothing but the worst probe under a milder name.
FEWEST_PROBES = {Aggregate.P01: 100, Aggregate.P05: 20, Aggregate.P95: 20}

# A check may ask for some of the probes by this option (a device computes no more). They may then be fewer than the
# policy's `minimum_probes`, which speaks of the rest, but not fewer than this.
SUBSET = "probes"
FEWEST_OF_A_SUBSET = 8


def is_met(observed: float, bound: Bound, direction: Direction) -> bool:
    """Return whether a number is within a bound: the only way to a met check.

    The number and the bound must be finite and the bound must face the right way; both ends are inclusive.
    """
    if not math.isfinite(observed) or bound_fault(bound, direction):
        return False
    above = bound.minimum is None or observed >= bound.minimum
    below = bound.maximum is None or observed <= bound.maximum
    return above and below


def bound_fault(bound: Bound, direction: Direction) -> str:
    """Return what makes a bound unusable for a metric of this direction, or ""."""
    ends = [end for end in (bound.minimum, bound.maximum) if end is not None]
    if bound.relative or not ends:
        # A relative bound has no ends that could be compared with before the past is known.
        return "the bound is relative, and nobody looked up to what" if bound.relative else "the check has no bound"
    if not all(math.isfinite(end) for end in ends):
        return "the bound is not finite"
    if ends[0] > ends[-1]:
        return "the minimum is above the maximum"
    if direction is Direction.HIGHER and bound.minimum is None:
        return "the bound faces the wrong way: it has no minimum, and higher is better"
    if direction is Direction.LOWER and bound.maximum is None:
        return "the bound faces the wrong way: it has no maximum, and lower is better"
    return ""


def relative_fault(bound: Bound, direction: Direction) -> str:
    """Return what makes the relative part of a bound unusable for a metric of this direction, or ""."""
    if direction is Direction.BOTH:
        return "a metric that should stay near 1 has no worse direction: it takes min and max, no regression"
    losses = (bound.max_regression, bound.max_drop)
    if not all(math.isfinite(loss) and loss >= 0 for loss in losses if loss is not None):
        return "the regression that is let through is no finite number of 0 or more"
    return ""


def from_past(bound: Bound, old: float, direction: Direction, noise: float = 0.0) -> Bound:
    """Return the one end that follows from the relative part of a bound and an old number.

    Args:
        bound: with a relative part that has no fault; its own ends are left out.
        old: the number that was measured before.
        direction: which way is better, not both.
        noise: a difference up to this is no regression.
    """
    losses = [] if bound.max_regression is None else [bound.max_regression * abs(old)]
    loss = max(noise, min(losses if bound.max_drop is None else [*losses, bound.max_drop]))
    if direction is Direction.HIGHER:
        return replace(bound, minimum=old - loss, maximum=None, max_regression=None, max_drop=None)
    return replace(bound, minimum=None, maximum=old + loss, max_regression=None, max_drop=None)


def tightest(bound: Bound, other: Bound) -> Bound:
    """Return the bound with the tighter of two ends on either side, and with nothing relative.

    An end that is not finite stays, so that nothing meets the bound: `min(1, nan)` is 1 or NaN, by their order.
    """
    least = [end for end in (bound.minimum, other.minimum) if end is not None]
    most = [end for end in (bound.maximum, other.maximum) if end is not None]
    return replace(
        bound,
        minimum=next(_beyond(least), max(least, default=None)),
        maximum=next(_beyond(most), min(most, default=None)),
        max_regression=None,
        max_drop=None,
    )


def _beyond(ends: list[float]) -> Iterator[float]:
    return (end for end in ends if not math.isfinite(end))


def all_met(observations: Values, bound: Bound, direction: Direction) -> bool:
    """Return whether there is an observation and every one is within the bound."""
    return bool(observations) and all(is_met(observed, bound, direction) for observed in observations)


def margin(observed: float, bound: Bound) -> float:
    """Return how far inside (positive) or outside (negative) the nearest end of the bound a number is.

    A bound whose ends are not known yet is infinitely far.
    """
    inside = [] if bound.minimum is None else [observed - bound.minimum]
    return min(inside if bound.maximum is None else [*inside, bound.maximum - observed], default=math.inf)


def nearest(observations: Values, bound: Bound) -> float:
    """Return the observation with the smallest margin: what a check stands or falls with."""
    return min(observations, key=lambda observed: margin(observed, bound))


def worst_row(measurement: Measurement, bound: Bound) -> int:
    """Return the first probe whose value has the smallest margin, by its row in the inputs."""
    values = measurement.values
    place = min(range(len(values)), key=lambda row: margin(values[row], bound))
    return measurement.rows[place] if measurement.rows else place


def counted(measurement: Measurement, probes: int) -> int:
    """Return of how many probes a metric with one value a probe has to have values: of some, or of all."""
    return len(measurement.rows) or probes


def subset_fault(check: Check, measurement: Measurement, probes: int) -> str:
    """Return why the probes that a measurement has values for are not those that the check asks for, or ""."""
    rows, asked = measurement.rows, dict(check.options).get(SUBSET)
    if not rows:
        return ""
    if type(asked) is not int or len(rows) != asked:
        return f"{measurement.metric} has values for {len(rows)} probes only, and the check does not ask for those"
    if list(rows) != sorted(set(rows)) or rows[0] < 0 or rows[-1] >= probes:
        return f"{measurement.metric} has values for probes that there are not"
    return ""


def too_few(check: Check, measurement: Measurement, probes: int, minimum: int) -> str:
    """Return why so many probes decide nothing, or "".

    Args:
        check: with its aggregate.
        measurement: with one value a probe.
        probes: all that there are.
        minimum: the policy's `minimum_probes`.
    """
    found = counted(measurement, probes)
    least = min(minimum, FEWEST_OF_A_SUBSET) if measurement.rows else minimum
    if found < least:
        if measurement.rows:
            return f"{found} probes were measured, and a part of them needs at least {least}"
        why = "minimum_probes, 100 where it is not written: give more probes, or lower it"
        return f"{found} probes were measured, and the policy wants at least {least} ({why})"
    fewest = FEWEST_PROBES.get(check.aggregate or Aggregate.MEAN, 1)
    if found < fewest:
        return f"{found} probes say nothing about {check.aggregate}, which needs at least {fewest}"
    return ""


def observations(values: Values, aggregate: Aggregate | None, direction: Direction) -> Values:
    """Return the numbers that an aggregate stands for: values that were observed (but for the mean), never made up.

    Percentiles of the lower tail take the lower neighbour, p95 the higher one, a median between two values the worse
    one. Where both directions are bad, `worst` and `median` stand for two numbers and both are judged.

    Args:
        values: at least one, all finite.
        aggregate: None for a metric with one value.
        direction: which way is better.
    """
    if aggregate is None or aggregate is Aggregate.MEAN:
        return (mean(values),)
    ordered = sorted(values)
    last = len(ordered) - 1
    low, high = {
        Aggregate.WORST: (0, last),
        Aggregate.MEDIAN: (last // 2, last - last // 2),
        Aggregate.P01: (last // 100, last // 100),
        Aggregate.P05: (5 * last // 100, 5 * last // 100),
        Aggregate.P95: (last - 5 * last // 100, last - 5 * last // 100),
    }[aggregate]
    if direction is Direction.BOTH:
        return (ordered[low], ordered[high])
    return (ordered[low if direction is Direction.HIGHER else high],)


def mean(values: Values) -> float:
    """Return the exactly rounded mean; NaN where there is none, or where the sum is beyond any float."""
    try:
        return math.fsum(values) / len(values) if values else math.nan
    except (OverflowError, ValueError):  # too large; or infinities of both signs
        return math.nan


def middle(values: Values) -> float:
    """Return the median: the mean of both where it lies between two values; NaN where there is none."""
    if not values:
        return math.nan
    ordered, last = sorted(values), len(values) - 1
    low, high = ordered[last // 2], ordered[last - last // 2]
    return low if low == high else math.fsum((low / 2, high / 2))  # the sum of two may be beyond any float


def deviation(values: Values) -> float:
    """Return the median absolute deviation from the median; NaN where there is no value."""
    center = middle(values)
    return middle(tuple(abs(value - center) for value in values))
