"""Two policies -> where they differ, and which of them asks for more there.

Whatever is not known to be ordered is incomparable: another metric, other options, another aggregate, another depth.
The same comparison says what a lock allows and what `policy diff` shows.
"""

from __future__ import annotations

import os.path
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from fidelity_gate.policy.comparing_waivers import waiver_differences
from fidelity_gate.policy.differing import Change, Difference, ranked
from fidelity_gate.policy.linting import severities
from fidelity_gate.policy.schema_values import ZOO
from fidelity_gate.policy.targets import LIMIT_UNITS, limit_of
from fidelity_gate.records import Evidence, Place, Severity
from fidelity_gate.text import printable
from fidelity_gate.units import format_exact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fidelity_gate.policy.bounding import Resolved
    from fidelity_gate.policy.differing import Side
    from fidelity_gate.policy.problems import Path
    from fidelity_gate.records import LintSettings, Target

RANK = {Severity.OFF: 0, Severity.WARN: 1, Severity.ERROR: 2}
# Key of `require:` -> the field of a bound, and whether more of it asks for more.
ENDS = {
    "min": ("minimum", True),
    "max": ("maximum", False),
    "max_regression": ("max_regression", False),
    "max_drop": ("max_drop", False),
}
# Compared one by one below; a block that is added to policies later is compared as a whole.
_TOLD_APART = frozenset(
    {
        *("name", "path", "digest", "checks", "candidates", "targets", "devices", "energy_models", "lint"),
        *("noise_floor", "minimum_probes", "run", "recursion", "waivers", "waiver_rules"),
    }
)


def differences(before: Side, after: Side) -> tuple[Difference, ...]:
    """Return every difference from one policy to another, checks first; none where they ask for the same."""
    return (*_checks(before, after), *_blocks(before, after))


# ---------------------------------------------------------------- checks


def _checks(before: Side, after: Side) -> Iterator[Difference]:
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
    yield from _each((*path, "options"), dict(was.options), dict(now.options))
    if was.aggregate is not now.aggregate:
        yield Difference((*path, "aggregate"), Change.INCOMPARABLE, str(was.aggregate), str(now.aggregate))
    if was.severity is not now.severity:
        ranks = RANK[was.severity], RANK[now.severity]
        yield ranked((*path, "severity"), *ranks, (was.severity, now.severity), up=True)
    yield from _narrowed((*path, "candidates"), was.candidates, now.candidates)
    yield from _bounds(path, old, new)


def _narrowed(path: Path, old: tuple[str, ...], new: tuple[str, ...]) -> Iterator[Difference]:
    """Yield the difference of two lists of names that a check is narrowed to; an empty one is everything."""
    shown = tuple(f"only {', '.join(names)}" if names else "all" for names in (old, new))
    if old and (not new or set(new) - set(old)):
        yield Difference(path, Change.TIGHTER, shown[0], shown[1])
    if new and (not old or set(old) - set(new)):
        yield Difference(path, Change.LOOSER, shown[0], shown[1])


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
    was, now = (_plain(_named(of.policy.devices).get(name), of, ("devices", name)) for of in (old, new))
    if was != now:
        yield Difference((*path, "options", "device"), Change.INCOMPARABLE, f"'{name}'", f"another '{name}'")


# ---------------------------------------------------------------- blocks


def _blocks(before: Side, after: Side) -> Iterator[Difference]:
    old, new = before.policy, after.policy
    for key in ("noise_floor", "run", "recursion"):
        yield from _settings(key, getattr(old, key), getattr(new, key))
    if old.minimum_probes != new.minimum_probes:
        counts = old.minimum_probes, new.minimum_probes
        yield ranked(("minimum_probes",), *counts, (str(counts[0]), str(counts[1])), up=True)
    yield from _lint(old.lint, new.lint)
    yield from waiver_differences(old, new)
    yield from _targets(_named(old.targets), _named(new.targets))
    for key in ("candidates", "devices", "energy_models"):
        was, now = (
            {name: _plain(one, of, (key, name)) for name, one in _named(getattr(of.policy, key)).items()}
            for of in (before, after)
        )
        yield from _each((key,), was, now)
    for field in sorted({item.name for item in fields(old)} - _TOLD_APART):
        path = ("inputs", "calibration") if field == "calibration" else (field,)
        was, now = (_plain(_if_any(getattr(of.policy, field)), of, path) for of in (before, after))
        if was is not None and now is not None:
            yield from _value(path, was, now)
        elif was is not None or now is not None:
            shown = _shown(was) if was else "", _shown(now) if now else ""
            yield Difference(path, Change.ADDED if was is None else Change.REMOVED, *shown)


def _settings(key: str, old: Any, new: Any) -> Iterator[Difference]:  # noqa: ANN401  (records)
    """Yield the differences of a block of single values; only those of the noise floor have an order."""
    for item in fields(old):
        was, now = getattr(old, item.name), getattr(new, item.name)
        if was == now:
            continue
        shown = _shown(was), _shown(now)
        if key == "noise_floor" and item.name in ("limit", "bf16"):
            yield ranked((key, item.name), was, now, shown, up=True)
        else:
            yield Difference((key, item.name), Change.INCOMPARABLE, *shown)


def _lint(old: LintSettings, new: LintSettings) -> Iterator[Difference]:
    was, now = severities(old), severities(new)
    for code in was:
        if was[code] is not now[code]:
            shown = f"{code} {was[code]}", f"{code} {now[code]}"
            yield ranked(("lint",), RANK[was[code]], RANK[now[code]], shown, up=True)
    options, others = ({code: dict(given) for code, given in settings.options} for settings in (old, new))
    for code in sorted({*options, *others}):
        if options.get(code) != others.get(code):
            was_given, now_given = (_shown(given.get(code, "as it ships")) for given in (options, others))
            yield Difference(("lint",), Change.INCOMPARABLE, f"{code} {was_given}", f"{code} {now_given}")


def _targets(old: Mapping[str, Target], new: Mapping[str, Target]) -> Iterator[Difference]:
    for name in {**old, **new}:
        path: Path = ("targets", name)
        if name not in new:
            yield Difference(path, Change.REMOVED, name)
        elif name not in old:
            yield Difference(path, Change.ADDED, "", name)
        elif old[name] != new[name]:
            yield from _target(path, old[name], new[name])


def _target(path: Path, old: Target, new: Target) -> Iterator[Difference]:
    for word, unit in LIMIT_UNITS.items():
        was, now = limit_of(old, word), limit_of(new, word)
        if was != now:
            shown = tuple("none" if limit is None else format_exact(limit, unit) for limit in (was, now))
            yield ranked((*path, word), was, now, (shown[0], shown[1]), up=False)
    for item in fields(old):
        if item.name not in ("sram_bytes", "flash_bytes", "latency_s"):
            was, now = getattr(old, item.name), getattr(new, item.name)
            if was != now:
                yield Difference((*path, item.name), Change.INCOMPARABLE, _shown(was), _shown(now))


def _each(path: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    """Yield the differences of two mappings whose values have no order."""
    for name in {**old, **new}:
        if name not in new:
            yield Difference((*path, name), Change.REMOVED, _shown(old[name]))
        elif name not in old:
            yield Difference((*path, name), Change.ADDED, "", _shown(new[name]))
        else:
            yield from _value((*path, name), old[name], new[name])


def _value(path: Path, old: Any, new: Any) -> Iterator[Difference]:  # noqa: ANN401
    """Yield the differences of two values, or of those in them, that have no order."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            yield from _value((*path, key), old.get(key, ""), new.get(key, ""))
    elif _typed(old) != _typed(new):
        yield Difference(path, Change.INCOMPARABLE, _shown(old), _shown(new))


# ---------------------------------------------------------------- values


def _named(records: Sequence[Any]) -> dict[str, Any]:
    return {record.name: record for record in records}


def _if_any(record: Any) -> Any:  # noqa: ANN401  (records)
    """Return a model or a source of probes, or None where the command line names it."""
    named = record.path if hasattr(record, "path") else getattr(record, "use", "yes")
    return record if named else None


def _typed(value: Any) -> Any:  # noqa: ANN401  (1, 1.0 and true are equal in Python)
    return (type(value).__name__, value) if isinstance(value, bool | int | float) else value


def _plain(value: Any, side: Side, path: Path) -> Any:  # noqa: ANN401  (records)
    """Return a record without places, its paths against the policy's folder: what the same text says elsewhere too."""
    if is_dataclass(value) and not isinstance(value, type):
        named = {item.name: getattr(value, item.name) for item in fields(value)}
        plain = {
            key: _told_path(key, one, side, path) if key in ("path", "base") else _plain(one, side, (*path, key))
            for key, one in named.items()
            if not isinstance(one, Place) and key != "name"
        }
        return plain | dict(plain.pop("options", ()))  # the options of a plug are written beside what it is
    return value


def _told_path(key: str, resolved: Any, side: Side, path: Path) -> Any:  # noqa: ANN401  (a path, where it is text)
    """Return a path against the policy's folder, as far as it was written against a folder."""
    node, _ = side.places.tree.at((*path, key))
    there = resolved if key == "base" else node.scalar
    if not isinstance(there, str) or os.path.isabs(str(node.scalar)) or there.startswith(ZOO):  # noqa: PTH117
        return resolved
    if key == "path":
        there = os.path.join(os.path.dirname(node.place.file), there)  # noqa: PTH118, PTH120
    return os.path.relpath(there or ".", os.path.dirname(side.policy.path) or ".")  # noqa: PTH120


def _shown(value: Any) -> str:  # noqa: ANN401
    """Return a value for people, in one line."""
    if isinstance(value, dict):
        said = [f"{key}={_shown(one)}" for key, one in value.items() if one not in (None, "", ".", (), False)]
        return printable(" ".join(said), 120)
    if isinstance(value, tuple):
        pairs = [f"{one[0]}={one[1]}" if isinstance(one, tuple) and len(one) == 2 else str(one) for one in value]
        return printable(",".join(pairs), 120)
    if isinstance(value, bool):
        return str(value).lower()
    return printable(f"{value:g}" if isinstance(value, float) else str(value), 120)
