"""Two policies -> where they differ in what may be waived, and in what is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fidelity_gate.policy.differing import Change, Difference, ranked
from fidelity_gate.policy.waivers import KEY, RULES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.records import Policy, Waiver, WaiverRules


def waiver_differences(old: Policy, new: Policy) -> Iterator[Difference]:
    """Yield every difference; a waiver more is looser, and so is a rule that bears more of them."""
    yield from _rules(old.waiver_rules, new.waiver_rules)
    was, now = ({one.id: one for one in policy.waivers} for policy in (old, new))
    for name in {**was, **now}:
        path = (KEY, name)
        if name not in was:
            yield Difference(path, Change.LOOSER, "", _told(now[name]))
        elif name not in now:
            yield Difference(path, Change.TIGHTER, _told(was[name]))
        elif _told(was[name]) != _told(now[name]):
            yield Difference(path, Change.INCOMPARABLE, _told(was[name]), _told(now[name]))


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


def _told(waiver: Waiver) -> str:
    """Return what a waiver lets through; who made it and why changes nothing."""
    ends = (("min", waiver.floor.minimum), ("max", waiver.floor.maximum))
    floor = ", ".join(f"{key} {end:g}" for key, end in ends if end is not None)
    about = "@".join(part for part in (waiver.candidate, waiver.target) if part)
    return f"{waiver.check} of {about} ({waiver.digest[:12]}) down to {floor} until {waiver.expires}"
