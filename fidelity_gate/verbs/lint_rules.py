"""`lint --list` and `lint --explain`: what lint rules there are, and all that one says of itself."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from fidelity_gate import registry
from fidelity_gate.analysis.explaining import GROUPS, NEEDS, facts_of, options_of
from fidelity_gate.analysis.linting import ROOM
from fidelity_gate.errors import UsageError
from fidelity_gate.verbs.columns import columns

if TYPE_CHECKING:
    from fidelity_gate.analysis.linting import ChosenRule
    from fidelity_gate.protocols import LintRule

WIDTH = 100


def listed(rules: tuple[ChosenRule, ...]) -> str:
    """Return a table of rules, by code."""
    rows = [("code", "severity", "rule", "needs", "looks for")]
    for chosen in rules:
        rule = chosen.rule
        needs = ", ".join(need.value for need in rule.needs) or "-"
        looks_for = facts_of(rule).summary.removeprefix("Looks for ").removesuffix(".")
        rows.append((rule.code, chosen.severity.value, rule.title, needs, looks_for))
    return columns(rows)


def explained(name: str) -> str:
    """Return everything that a rule says of itself.

    Args:
        name: its code or its title.

    Raises:
        UsageError: no such rule; names the nearest ones.
    """
    rule = _found(name)
    facts = facts_of(rule)
    needs = ", ".join(NEEDS[need] for need in rule.needs) or "nothing but the file"
    parts = [
        f"{rule.code} {rule.title} ({rule.severity.value}; {GROUPS.get(rule.code[:3], 'of another package')})",
        facts.summary,
        facts.documentation,
        _wrapped(f"Why it matters: {rule.why}"),
        _wrapped(f"How to mend it: {rule.fix}"),
        f"Needs: {needs}",
        _options(rule),
        _examples(rule),
    ]
    return "\n\n".join(part for part in parts if part)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, WIDTH, break_long_words=False, break_on_hyphens=False)


def _options(rule: LintRule) -> str:
    options = options_of(rule)
    if not options:
        return ""
    first = options[0]
    head = f"Options, with their defaults (lint: {{options: {{{rule.code}: {{{first.name}: {first.default}}}}}}}):"
    rows = [(f"  {option.name}", str(option.default), option.told) for option in options]
    return f"{head}\n{columns(rows)}"


def _examples(rule: LintRule) -> str:
    """Return where a checkout has files that fail and pass; rules of other packages have their own."""
    if not type(rule).__module__.startswith("fidelity_gate."):
        return ""
    return f"Examples that fail and pass: tests/lint_examples/{rule.code.lower()}.py (page: docs/lint/{rule.code}.md)"


def _found(name: str) -> LintRule:
    table = registry.table_of(ROOM)
    codes = {registry.find(ROOM, code).title: code for code in table}
    code = codes.get(name, name.upper())
    if code not in table:
        raise registry.unknown(name, {**table, **codes}, what="no lint rule is named", kind=UsageError)
    rule: LintRule = registry.build(ROOM, code, (), kind=UsageError)
    return rule
