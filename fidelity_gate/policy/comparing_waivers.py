"""Two policies -> where they differ in what may be waived, and in what is."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING

from fidelity_gate.policy.differing import Change, Difference, ranked
from fidelity_gate.policy.waivers import KEY, RULES
from fidelity_gate.units import format_exact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.policy.differing import Side
    from fidelity_gate.policy.problems import Path
    from fidelity_gate.records import Waiver, WaiverRules


def waiver_differences(before: Side, after: Side) -> Iterator[Difference]:
    """Yield every difference; a waiver more is looser, and so is a rule that bears more of them."""
    yield from _rules(before.policy.waiver_rules, after.policy.waiver_rules)
    was, now = ({one.id: one for one in side.policy.waivers} for side in (before, after))
    for name in {**was, **now}:
        path = (KEY, name)
        if name not in was:
            yield Difference(path, Change.LOOSER, "", _told(now[name], after))
        elif name not in now:
            yield Difference(path, Change.TIGHTER, _told(was[name], before))
        elif _about(was[name]) != _about(now[name]):
            yield Difference(path, Change.INCOMPARABLE, _told(was[name], before), _told(now[name], after))
        else:
            yield from _reach(path, was[name], now[name], _unit(now[name], after))


def floor_told(waiver: Waiver, unit: str) -> str:
    """Return how far a check may be missed: `min: 95 %`.

    Args:
        waiver: of the check.
        unit: of its metric.
    """
    ends = (("min", waiver.floor.minimum), ("max", waiver.floor.maximum))
    return ", ".join(f"{key}: {format_exact(end, unit)}" for key, end in ends if end is not None)


def _reach(path: Path, old: Waiver, new: Waiver, unit: str) -> Iterator[Difference]:
    """Yield how far and how long a waiver holds; who made it, when and why changes nothing."""
    ends = (("min", old.floor.minimum, new.floor.minimum, True), ("max", old.floor.maximum, new.floor.maximum, False))
    for key, was, now, up in ends:
        if was != now:
            shown = tuple("none" if end is None else format_exact(end, unit) for end in (was, now))
            yield ranked((*path, "floor", key), was, now, (shown[0], shown[1]), up=up)
    if old.expires != new.expires:
        was, now = (date.fromisoformat(one.expires).toordinal() for one in (old, new))
        yield ranked((*path, "expires"), was, now, (old.expires, new.expires), up=False)


def _rules(old: WaiverRules | None, new: WaiverRules | None) -> Iterator[Difference]:
    if old is None or new is None:
        if old is not new:
            change = Change.LOOSER if old is None else Change.TIGHTER
            yield Difference((RULES,), change, _borne(old), _borne(new))
        return
    if old.max_days != new.max_days:
        shown = f"{old.max_days} days", f"{new.max_days} days"
        yield ranked((RULES, "max_days"), old.max_days, new.max_days, shown, up=False)
    for change, names in (
        (Change.LOOSER, set(old.never) - set(new.never)),
        (Change.TIGHTER, set(new.never) - set(old.never)),
    ):
        if names:
            shown = ", ".join(old.never) or "none", ", ".join(new.never) or "none"
            yield Difference((RULES, "never"), change, *shown)


def _borne(rules: WaiverRules | None) -> str:
    return f"waivers of {rules.max_days} days" if rules else "no waivers"


def _about(waiver: Waiver) -> tuple[str, str, str, str]:
    return waiver.check, waiver.target, waiver.candidate, waiver.digest


def _unit(waiver: Waiver, side: Side) -> str:
    return next((str(one.plug.unit) for one in side.checks if one.check.id == waiver.check), "")


def _told(waiver: Waiver, side: Side) -> str:
    """Return what a waiver lets through."""
    about = "@".join(part for part in (waiver.candidate, waiver.target) if part)
    floor = floor_told(waiver, _unit(waiver, side))
    return f"{waiver.check} of {about} ({waiver.digest[:12]}...) down to {floor} until {waiver.expires}"
