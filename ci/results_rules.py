"""The part of docs/results.md that holds lint rules against what turned out: which fired, and on what."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fidelity_gate import registry
from fidelity_gate.records import Severity

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Rung:
    """One model under one recipe: whether it may ship by its labels, and the rules that complained of its file."""

    model: str
    recipe: str
    may_ship: bool
    fired: tuple[tuple[str, Severity], ...]  # code, severity

    @property
    def rules_text(self) -> str:
        """Return the codes, errors in bold; a dash for none."""
        return " ".join(f"**{code}**" if severity is Severity.ERROR else code for code, severity in self.fired) or "-"

    @property
    def blocked(self) -> bool:
        """Return whether a rule of error severity fired."""
        return any(severity is Severity.ERROR for _, severity in self.fired)


def rules_section(rungs: Iterable[Rung]) -> str:
    """Return the section: a line a rule, and every rung on which rules and labels differ."""
    found = list(rungs)
    sound, broken = [[rung for rung in found if rung.may_ship is kept] for kept in (True, False)]
    lines = [
        "## What lint said beforehand",
        "",
        f"Of {len(found)} files {len(broken)} are broken by their labels. A rule reads the file alone.",
        "",
        "| rule | what it looks for | severity | fired on broken | fired on sound |",
        "|---|---|---|---|---|",
        *_rule_lines(found, sound, broken),
        "",
        *_differences(sound, broken),
    ]
    return "\n".join([*lines, ""])


def _rule_lines(found: list[Rung], sound: list[Rung], broken: list[Rung]) -> list[str]:
    severities = {code: severity for rung in found for code, severity in rung.fired}
    lines = []
    for code, severity in sorted(severities.items()):
        hits = [sum(code in dict(rung.fired) for rung in group) for group in (broken, sound)]
        title = registry.find("analysis.rules", code).title
        lines.append(
            f"| [{code}](lint/{code}.md) | {title} | {severity.value} | {hits[0]} of {len(broken)} | "
            f"{hits[1]} of {len(sound)} |"
        )
    return lines


def _differences(sound: list[Rung], broken: list[Rung]) -> list[str]:
    blocked = [rung for rung in sound if rung.blocked]
    passed = [rung for rung in broken if not rung.blocked]
    lines = [
        f"Rules of error severity stop {len(broken) - len(passed)} of {len(broken)} broken files and "
        f"{len(blocked)} of {len(sound)} sound ones."
    ]
    if blocked:
        lines.append(f"Sound, and stopped: {_by_recipe(blocked)}.")
    if passed:
        lines.append(f"Broken, and not stopped by any rule: {_by_recipe(passed)}; only stepping the models tells.")
    return lines


def _by_recipe(rungs: list[Rung]) -> str:
    models: dict[str, list[str]] = defaultdict(list)
    for rung in rungs:
        models[rung.recipe].append(rung.model)
    return "; ".join(f"`{recipe}` ({', '.join(names)})" for recipe, names in models.items())
