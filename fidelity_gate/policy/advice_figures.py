"""Warnings about figures: bounds that so few probes cannot tell, that nothing reaches, or that say something else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fidelity_gate.bounds import SUBSET
from fidelity_gate.policy.differing import RANK
from fidelity_gate.policy.resolution import looked_at, probes_needed, slack, whole_numbers
from fidelity_gate.policy.strictness import faces_one_way, is_stricter, is_within
from fidelity_gate.policy.weaknesses import Advice
from fidelity_gate.records import Aggregate, Direction
from fidelity_gate.units import format_exact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fidelity_gate.policy.bounding import Resolved
    from fidelity_gate.policy.weaknesses import Seen

_MEASURED = ("bytes", "seconds", "flop", "joules")  # units of what no model has none of
_MIDDLES = (Aggregate.MEAN, Aggregate.MEDIAN)


def _unresolved(seen: Seen) -> Iterator[Advice]:
    """Warn where a mean of right-or-wrong values is asked for more finely than so many probes can tell."""
    for resolved in seen.checks:
        probes = looked_at(resolved, seen.policy.minimum_probes)
        needed, left = probes_needed(resolved), slack(resolved)
        if needed is not None and left is not None and probes < needed:
            what = f"with {probes} probes one wrong answer is {1 / probes:.2g}, more than the {left:.2g} allowed"
            key = "minimum_probes" if probes == seen.policy.minimum_probes else SUBSET
            hint = f"{key}: {needed}, or require all of them"
            yield Advice("unresolved", resolved.check.place, what, hint)


def _few_probes(seen: Seen) -> Iterator[Advice]:
    probes = seen.policy.minimum_probes
    if seen.traced and probes < 20:
        what = f"minimum_probes is {probes}: a mean of so few probes says little about the next one"
        yield Advice("few-probes", seen.first, what, "100 or more")


def _too_few_inputs(seen: Seen) -> Iterator[Advice]:
    """Warn where the policy takes fewer probes than it wants: nothing that has a value a probe is ever decided."""
    count = dict(seen.policy.inputs.options).get("count")
    least = seen.policy.minimum_probes
    if type(count) is int and count < least and any(resolved.check.aggregate for resolved in seen.checks):
        what = f"count is {count}, and minimum_probes is {least}: nothing is decided (exit 3)"
        hint = f"count: {least} or more, or minimum_probes: {count} where that is justified"
        yield Advice("too-few-inputs", seen.places.place(("inputs", "count")), what, hint)


def _out_of_reach(seen: Seen) -> Iterator[Advice]:
    """Warn of a bound that no compressed candidate can meet: perfect, or nothing at all."""
    for resolved in seen.checks:
        if why := _why_out_of_reach(resolved):
            yield Advice("out-of-reach", resolved.check.place, why, "no candidate can pass; loosen it")


def _why_out_of_reach(resolved: Resolved) -> str:
    bound, plug = resolved.check.bound, resolved.plug
    highest = getattr(plug, "limits", (None, None))[1]
    metric = resolved.check.metric
    if plug.unit in _MEASURED and bound.maximum == 0:
        return f"{metric} of any model is above 0"
    if plug.unit != "" or not plug.evidence.traced:
        return ""
    if plug.direction is Direction.HIGHER and bound.minimum == highest:
        return f"only a model that is identical to the reference has a {metric} of exactly {bound.minimum:g}"
    if plug.direction is Direction.BOTH and bound.minimum is not None and bound.minimum == bound.maximum:
        return f"only one exact number is let through, and no compressed model has a {metric} of exactly that"
    return ""


def _between_values(seen: Seen) -> Iterator[Advice]:
    """Warn of a bound between two whole numbers where the metric has no others."""
    for resolved in seen.checks:
        bound = resolved.check.bound
        ends = [end for end in (bound.minimum, bound.maximum) if end is not None and not end.is_integer()]
        if ends and whole_numbers(resolved):
            check = resolved.check
            shown = f"the {check.aggregate} of {check.metric}" if check.aggregate else f"the number of {check.metric}"
            what = f"{shown} is a whole number: {format_exact(ends[0], resolved.plug.unit)} is none it can have"
            hint = "aggregate: mean" if check.aggregate else "write the whole number that is meant"
            yield Advice("between-values", check.place, what, hint)


def _above_the_floor(seen: Seen) -> Iterator[Advice]:
    """Warn where a candidate has to stay closer to the reference than the reference has to stay to itself."""
    limit = seen.policy.noise_floor.limit
    for resolved in seen.of("carry_fidelity"):
        check = resolved.check
        least = check.bound.minimum
        if check.aggregate in _MIDDLES and least is not None and limit < least < 1:
            what = f"asks for {least:g}, and a reference that keeps only {limit:g} to itself is believed"
            hint = f"nothing is decided between the two (exit 3); noise_floor: {{limit: {least:g}}} says why"
            yield Advice("above-the-floor", check.place, what, hint)


def _implied(seen: Seen) -> Iterator[Advice]:
    """Warn of a check that never decides anything, because another one is missed wherever it is."""
    for resolved in seen.checks:
        other = next((one for one in seen.of(resolved.check.metric) if _implies(one, resolved)), None)
        if other is not None:
            what = f"never decides: wherever it is missed, {other.check.id} is missed too"
            yield Advice("implied", resolved.check.place, f"{resolved.check.id} {what}", "tighten it, or remove it")


def _implies(one: Resolved, other: Resolved) -> bool:
    """Return whether a check that blocks as much asks for more of the same values than another one."""
    check, implied, direction = one.check, other.check, one.plug.direction
    same = (check.options, check.target) == (implied.options, implied.target)
    reaches = not check.candidates or set(implied.candidates or ("",)) <= set(check.candidates)
    ends = faces_one_way(check.bound, direction) and faces_one_way(implied.bound, direction)
    stricter = is_stricter(check.aggregate, implied.aggregate, direction)
    ranked = RANK[check.severity] >= RANK[implied.severity]
    return same and reaches and ends and stricter and ranked and is_within(check.bound, implied.bound)


RULES: tuple[Callable[[Seen], Iterator[Advice]], ...] = (
    _unresolved,
    _few_probes,
    _too_few_inputs,
    _out_of_reach,
    _between_values,
    _above_the_floor,
    _implied,
)
