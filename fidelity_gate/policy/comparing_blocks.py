"""Two policies -> where all that is not a check differs, and which of them asks for more there."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from fidelity_gate.matching import targets_of
from fidelity_gate.policy.baselines import HISTORY
from fidelity_gate.policy.comparing_values import by_name, plain_record, shown_value, unordered, unordered_each
from fidelity_gate.policy.comparing_waivers import waiver_differences
from fidelity_gate.policy.differing import RANK, Change, Difference, ranked
from fidelity_gate.policy.linting import severities
from fidelity_gate.policy.targets import LIMIT_UNITS, limit_of
from fidelity_gate.units import format_exact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fidelity_gate.policy.differing import Side
    from fidelity_gate.policy.problems import Path
    from fidelity_gate.records import HistorySpec, LintSettings, Policy, Target

# Compared one by one below; a block that is added to policies later is compared as a whole.
_TOLD_APART = frozenset(
    {
        *("name", "path", "digest", "checks", "candidates", "targets", "devices", "energy_models", "lint"),
        *("noise_floor", "minimum_probes", "run", "recursion", "waivers", "waiver_rules", "history"),
    }
)
# Key of `history:` -> the field of its record, its unit, and whether more of it asks for more.
_HISTORY = {
    "minimum": ("minimum", "", True),
    "floor": ("floor_seconds", "seconds", False),
    "memory_floor": ("floor_bytes", "bytes", False),
    "spreads": ("spreads", "", False),
    "while_new": ("warn_while_new", "", False),
}


def block_differences(before: Side, after: Side) -> Iterator[Difference]:
    """Yield every difference of blocks, from one policy to another."""
    old, new = before.policy, after.policy
    for key in ("noise_floor", "run", "recursion"):
        yield from _settings(key, getattr(old, key), getattr(new, key))
    if old.minimum_probes != new.minimum_probes:
        counts = old.minimum_probes, new.minimum_probes
        yield ranked(("minimum_probes",), *counts, (str(counts[0]), str(counts[1])), up=True)
    yield from _lint(old.lint, new.lint)
    yield from waiver_differences(before, after)
    yield from _targets(by_name(old.targets), by_name(new.targets))
    yield from _candidates(before, after)
    yield from _history(old.history, new.history, before, after)
    for key in ("devices", "energy_models"):
        was, now = (
            {name: plain_record(one, of, (key, name)) for name, one in by_name(getattr(of.policy, key)).items()}
            for of in (before, after)
        )
        yield from unordered_each((key,), was, now)
    for field in sorted({item.name for item in fields(old)} - _TOLD_APART):
        path = ("inputs", "calibration") if field == "calibration" else (field,)
        was, now = (plain_record(_if_any(getattr(of.policy, field)), of, path) for of in (before, after))
        if was is not None and now is not None:
            yield from unordered(path, was, now)
        elif was is not None or now is not None:
            shown = shown_value(was) if was else "", shown_value(now) if now else ""
            yield Difference(path, Change.ADDED if was is None else Change.REMOVED, *shown)


def _settings(key: str, old: Any, new: Any) -> Iterator[Difference]:  # noqa: ANN401  (records)
    """Yield the differences of a block of single values; only those of the noise floor have an order."""
    for item in fields(old):
        was, now = getattr(old, item.name), getattr(new, item.name)
        if was == now:
            continue
        shown = shown_value(was), shown_value(now)
        if key == "noise_floor" and item.name in ("limit", "bf16"):
            yield ranked((key, item.name), was, now, shown, up=True)
        else:
            yield Difference((key, item.name), Change.INCOMPARABLE, *shown)


def _candidates(before: Side, after: Side) -> Iterator[Difference]:
    """Yield the differences of candidates: fewer targets ask for less of one, and so does `uncompressed`."""
    was, now = (
        {one.name: plain_record(one, of, ("candidates", one.name)) for one in of.policy.candidates}
        for of in (before, after)
    )
    for name in (one for one in was if one in now):
        path: Path = ("candidates", name)
        was[name].pop("targets"), now[name].pop("targets")
        yield from _for_targets(name, before.policy, after.policy)
        said = was[name].pop("uncompressed"), now[name].pop("uncompressed")
        if said[0] is not said[1]:
            shown = shown_value(said[0]), shown_value(said[1])
            yield ranked((*path, "uncompressed"), *said, shown, up=False)
    yield from unordered_each(("candidates",), was, now)


def _for_targets(name: str, old: Policy, new: Policy) -> Iterator[Difference]:
    """Yield the difference of what one candidate is for, of the targets that both policies have."""
    path: Path = ("candidates", name, "targets")
    was, now = ([one.name for one in targets_of(by_name(of.candidates)[name], of)] for of in (old, new))
    known = [by_name(of.targets) for of in (old, new)]
    shown = ", ".join(was) or "none", ", ".join(now) or "none"
    if any(one not in was and one in known[0] for one in now):
        yield Difference(path, Change.TIGHTER, *shown)
    if any(one not in now and one in known[1] for one in was):
        yield Difference(path, Change.LOOSER, *shown)


def _history(old: HistorySpec | None, new: HistorySpec | None, before: Side, after: Side) -> Iterator[Difference]:
    """Yield the differences of what earlier runs mean; how many of them count has no order."""
    path: Path = (HISTORY,)
    if old is None or new is None:
        if old is not new:
            shown = _history_told(old, before), _history_told(new, after)
            yield Difference(path, Change.ADDED if old is None else Change.REMOVED, *shown)
        return
    was, now = (plain_record(one, side, path) for one, side in ((old, before), (new, after)))
    for key, (field, unit, up) in _HISTORY.items():
        ends = was.pop(field), now.pop(field)
        if ends[0] != ends[1]:
            shown = _history_shown(ends[0], unit), _history_shown(ends[1], unit)
            yield ranked((*path, key), *ends, shown, up=up)
    yield from unordered(path, was, now)


def _history_shown(value: float, unit: str) -> str:
    if isinstance(value, bool):
        return "warn" if value else "block"
    return format_exact(value, unit) if unit else shown_value(value)


def _history_told(history: HistorySpec | None, side: Side) -> str:
    return "" if history is None else shown_value(plain_record(history, side, (HISTORY,)))


def _lint(old: LintSettings, new: LintSettings) -> Iterator[Difference]:
    was, now = severities(old), severities(new)
    for code in was:
        if was[code] is not now[code]:
            shown = f"{code} {was[code]}", f"{code} {now[code]}"
            yield ranked(("lint",), RANK[was[code]], RANK[now[code]], shown, up=True)
    options, others = ({code: dict(given) for code, given in settings.options} for settings in (old, new))
    for code in sorted({*options, *others}):
        if options.get(code) != others.get(code):
            was_given, now_given = (shown_value(given.get(code, "as it ships")) for given in (options, others))
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
                yield Difference((*path, item.name), Change.INCOMPARABLE, shown_value(was), shown_value(now))


def _if_any(record: Any) -> Any:  # noqa: ANN401  (records)
    """Return a model or a source of probes, or None where the command line names it."""
    named = record.path if hasattr(record, "path") else getattr(record, "use", "yes")
    return record if named else None
