"""The policy's `lint:` block -> records.LintSettings; every code, prefix and option of it must mean something."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fidelity_gate import registry
from fidelity_gate.policy.plugs import built, option_values
from fidelity_gate.policy.problems import near_or_known
from fidelity_gate.records import LintSettings, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fidelity_gate.policy.problems import Path, Problems
    from fidelity_gate.policy.schema_checks import LintBlock
    from fidelity_gate.records import Options

ROOM = "analysis.rules"
KEY = "lint"


def lint_settings(block: LintBlock | None, problems: Problems) -> LintSettings:
    """Return which rules count, and how much; what is wrong with the block goes to the problems."""
    if block is None:
        return LintSettings()
    select, ignore = tuple(block.select or ()), tuple(block.ignore or ())
    severity = block.severity or {}
    if not (select or ignore or severity or block.options):
        problems.add((KEY,), "is empty", "select, ignore, severity or options; or remove the block")
    _check_prefixes((KEY, "select"), select, problems)
    _check_prefixes((KEY, "ignore"), ignore, problems)
    for prefix in severity:
        _check_prefix((KEY, "severity", prefix), prefix, problems, key=True)
    for index, prefix in enumerate(ignore):
        if prefix in select:
            problems.add((KEY, "ignore", index), f"'{prefix}' is selected too", "name it in one of the two")
    options = [(code, _options(code, given, problems)) for code, given in sorted((block.options or {}).items())]
    return LintSettings(
        select=select,
        ignore=ignore,
        severity=tuple(sorted((prefix, Severity(name)) for prefix, name in severity.items())),
        options=tuple(options),
        place=problems.place((KEY,), key=True),
    )


def severities(settings: LintSettings) -> dict[str, Severity]:
    """Return what a finding of every rule counts under these settings, by code; off for a rule that is left out."""
    own = dict(settings.severity)
    found: dict[str, Severity] = {}
    for code in registry.table_of(ROOM):
        wanted = _longest(code, settings.select) or (0 if not settings.select else -1)
        rule: Severity = registry.find(ROOM, code).severity
        named = max((prefix for prefix in own if code.startswith(prefix)), key=len, default="")
        kept = wanted > (_longest(code, settings.ignore) or -1)
        found[code] = own.get(named, rule) if kept else Severity.OFF
    return found


def _longest(code: str, prefixes: Iterable[str]) -> int:
    """Return the length of the longest of these prefixes that the code has, or 0."""
    return max((len(prefix) for prefix in prefixes if code.startswith(prefix)), default=0)


def _check_prefixes(path: Path, prefixes: Iterable[str], problems: Problems) -> None:
    seen: list[str] = []
    for index, prefix in enumerate(prefixes):
        _check_prefix((*path, index), prefix, problems)
        if prefix in seen:
            problems.add((*path, index), f"'{prefix}' is named twice", "name it once")
        seen.append(prefix)


def _check_prefix(path: Path, prefix: str, problems: Problems, *, key: bool = False) -> None:
    codes = registry.table_of(ROOM)
    if not prefix or not any(code.startswith(prefix) for code in codes):
        what = f"'{prefix}' is neither the code of a lint rule nor the beginning of one"
        problems.add(path, what, _near(prefix, codes), key=key)


def _near(name: str, codes: Iterable[str]) -> str:
    """Return the nearest codes; a family of them where its number is one that there is."""
    families = sorted({code[:3] for code in codes})
    return near_or_known(name, codes) if len(name) > len(families[0]) else f"families: {', '.join(families)}"


def _options(code: str, given: dict[str, object], problems: Problems) -> Options:
    """Return the options of one rule as it takes them."""
    path: Path = (KEY, "options", code)
    codes = registry.table_of(ROOM)
    if code not in codes:
        whole = any(known.startswith(code) for known in codes)
        hint = "options are of one rule: its whole code" if whole else _near(code, codes)
        problems.add(path, f"no lint rule has the code '{code}'", hint, key=True)
        return ()
    if not given:
        problems.add(path, "is empty", "name an option of the rule, or remove the key")
        return ()
    rule = built(ROOM, code, given, path, problems)
    return () if rule is None else option_values(rule, given)
