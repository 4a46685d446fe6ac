"""Two policies -> where their checks differ, and which of them asks for more there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fidelity_gate.policy.comparing_values import by_name, plain_record, unordered_each
from fidelity_gate.policy.differing import RANK, Change, Difference, narrowed, ranked
from fidelity_gate.policy.strictness import faces_one_way, is_stricter
from fidelity_gate.records import Direction, Evidence, Severity
from fidelity_gate.units import format_exact

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fidelity_gate.policy.bounding import Resolved
    from fidelity_gate.policy.differing import Side
    from fidelity_gate.policy.problems import Path

# Key of `require:` -> the field of a bound, and whether more of it asks for more.
ENDS = {
    "min": ("minimum", True),
    "max": ("maximum", False),
    "max_regression": ("max_regression", False),
    "max_drop": ("max_drop", False),
}


def check_differences(before: Side, after: Side) -> Iterator[Difference]:
    """Yield every difference of checks, from one policy to another."""
    old, new = by_id(before.checks), by_id(after.checks)
    for name in {**old, **new}:
        path: Path = ("checks", name)
        if name not in new:
            yield Difference(path, Change.REMOVED, _told(old[name][0]))
        elif name not in old:
            yield Difference(path, Change.ADDED, "", _told(new[name][0]))
        else:
            yield from _check(path, old[name], new[name])
            yield from _device(path, before, after, old[name][0])


def by_id(checks: Sequence[Resolved]) -> dict[str, list[Resolved]]:
    """Return checks by their names, each once for every target it is about."""
    found: dict[str, list[Resolved]] = {}
    for resolved in checks:
        found.setdefault(resolved.check.id, []).append(resolved)
    return found


def _told(resolved: Resolved) -> str:
    check = resolved.check
    return f"{check.metric} {check.bound.text}" + ("" if check.severity is Severity.ERROR else f", {check.severity}")


def _check(path: Path, old: Sequence[Resolved], new: Sequence[Resolved]) -> Iterator[Difference]:
    was, now = old[0].check, new[0].check
    if was.metric != now.metric:
        yield Difference((*path, "metric"), Change.INCOMPARABLE, was.metric, now.metric)
        return
    yield from unordered_each((*path, "options"), dict(was.options), dict(now.options))
    if was.aggregate is not now.aggregate:
        change = _aggregate_change(old, new)
        yield Difference((*path, "aggregate"), change, str(was.aggregate), str(now.aggregate))
    if was.severity is not now.severity:
        ranks = RANK[was.severity], RANK[now.severity]
        yield ranked((*path, "severity"), *ranks, (was.severity, now.severity), up=True)
    yield from narrowed((*path, "candidates"), was.candidates, now.candidates)
    yield from _bounds(path, old, new)


def _aggregate_change(old: Sequence[Resolved], new: Sequence[Resolved]) -> Change:
    """Return what another aggregate makes of a check; where it has an end that faces the other way, nobody knows."""
    direction: Direction = old[0].plug.direction
    if not all(faces_one_way(one.check.bound, direction) for one in (*old, *new)):
        return Change.INCOMPARABLE
    was, now = old[0].check.aggregate, new[0].check.aggregate
    if is_stricter(now, was, direction):
        return Change.TIGHTER
    return Change.LOOSER if is_stricter(was, now, direction) else Change.INCOMPARABLE


def _bounds(path: Path, old: Sequence[Resolved], new: Sequence[Resolved]) -> Iterator[Difference]:
    was, now = ({one.check.target: one for one in side} for side in (old, new))
    for target in {**was, **now}:
        if target not in now:
            yield Difference((*path, "targets"), Change.LOOSER, target or "any target")
        elif target not in was:
            yield Difference((*path, "targets"), Change.TIGHTER, "", target or "any target")
        else:
            yield from _bound((*path, "require"), was[target], now[target])


def _bound(path: Path, old: Resolved, new: Resolved) -> Iterator[Difference]:
    unit: str = old.plug.unit
    at = f" ({old.check.target})" if old.check.target else ""
    for key, (name, up) in ENDS.items():
        was, now = getattr(old.check.bound, name), getattr(new.check.bound, name)
        if was != now:
            scale = "fraction" if key == "max_regression" else unit
            shown = ("none" if end is None else format_exact(end, scale) + at for end in (was, now))
            yield ranked((*path, key), was, now, (next(shown), next(shown)), up=up)
    if old.check.against is not new.check.against and old.check.bound.relative and new.check.bound.relative:
        yield Difference(path, Change.INCOMPARABLE, str(old.check.against), str(new.check.against))


def _device(path: Path, old: Side, new: Side, resolved: Resolved) -> Iterator[Difference]:
    """Yield the difference that another device of the same name makes to a check that is measured on it."""
    if resolved.plug.evidence is not Evidence.DEVICE:
        return
    name = resolved.plug.device
    was, now = (plain_record(by_name(of.policy.devices).get(name), of, ("devices", name)) for of in (old, new))
    if was != now:
        yield Difference((*path, "options", "device"), Change.INCOMPARABLE, f"'{name}'", f"another '{name}'")
