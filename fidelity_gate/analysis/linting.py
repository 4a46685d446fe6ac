"""Runs lint rules on one model: which rules count, what they lack, and what they found."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from fidelity_gate import registry
from fidelity_gate.errors import GateError, Internal, PolicyError, UsageError
from fidelity_gate.records import Finding, Found, Linted, Location, Need, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fidelity_gate.protocols import LintRule, Subject
    from fidelity_gate.records import LintSettings, Scalar

ROOM = "analysis.rules"
RANK = {Severity.ERROR: 0, Severity.WARN: 1, Severity.OFF: 2}
# A file can be made so that every one of its tensors is a finding; nobody reads the thousandth.
MOST_OF_ONE_RULE = 500
NAME_LIMIT = 1000
TEXT_LIMIT = 1000

# What the settings are called where they were written.
KEYS = {part: f"lint.{part}" for part in ("select", "ignore", "severity", "options")}
OPTIONS = {"select": "--select", "ignore": "--ignore", "severity": "--severity", "options": "--option"}

LACKS = {
    Need.TENSORS: "no tensor of this file is known by its role",
    Need.WEIGHTS: "this format shows no weights",
    Need.GRAPH: "the file is not a step graph",
    Need.STATES: "no state input is fed by an output",
    Need.REFERENCE: "no reference was given",
    Need.TARGET: "no target was given",
}


@dataclass(frozen=True, slots=True)
class ChosenRule:
    """A rule that will run: built with its options, and with the severity that its findings get."""

    rule: LintRule
    severity: Severity


def lint(subject: Subject, settings: LintSettings, *, model: str, candidate: str) -> Linted:
    """Return what the chosen rules find in one model.

    Args:
        subject: the model, opened.
        settings: which rules count, and how much.
        model: the path that findings name.
        candidate: the candidate's id in the policy, or "".

    Raises:
        PolicyError: the settings name a rule or an option that there is not.
        ModelRefused: a rule could not read a weight; names the file and the tensor.
        Internal: a rule broke. It is never taken for a rule that found nothing.
    """
    return lint_with(chosen_rules(settings), subject, model=model, candidate=candidate)


def lint_with(rules: tuple[ChosenRule, ...], subject: Subject, *, model: str, candidate: str) -> Linted:
    """Return what these rules find in one model; as `lint`, for callers that lint many models."""
    findings: list[Finding] = []
    checked: list[str] = []
    skipped: list[tuple[str, str]] = []
    for chosen in rules:
        code = chosen.rule.code
        lacks = _lacks(chosen.rule, subject)
        if lacks:
            skipped.append((code, lacks))
            continue
        checked.append(code)
        findings += [_finding(chosen, found, model, candidate) for found in _found_by(chosen.rule, subject, model)]
    findings.sort(key=lambda finding: (RANK[finding.severity], finding.code))  # stable: the file's order within a rule
    return Linted(tuple(findings), tuple(checked), tuple(sorted(skipped)))


def chosen_rules(settings: LintSettings, *, kind: type[GateError] = PolicyError) -> tuple[ChosenRule, ...]:
    """Return the rules that run, by code.

    Where both `select` and `ignore` speak of a rule, the longer prefix decides, and between equals `ignore`.

    Raises:
        kind: a code or prefix that no rule has (with the nearest ones), or an option that its rule does not take.
    """
    table, where = registry.table_of(ROOM), str(settings.place)
    written = OPTIONS if kind is UsageError else KEYS
    for part, names in _named(settings).items():
        for name in names:
            if not any(name and code.startswith(name) for code in table):
                what, field = "no lint rule is named", written[part]
                raise registry.unknown(name, table, what=what, where=where, field=field, kind=kind)
    severities, options = dict(settings.severity), dict(settings.options)
    chosen = []
    for code in table:
        if not _selected(code, settings):
            continue
        field = f"{written['options']}.{code}"
        rule = registry.build(ROOM, code, options.get(code, ()), where=where, field=field, kind=kind)
        severity = severities.get(_longest(code, severities), rule.severity)
        if severity is not Severity.OFF:
            chosen.append(ChosenRule(rule, severity))
    return tuple(chosen)


def has(subject: Subject, need: Need) -> bool:
    """Return whether a subject has what a rule cannot do without."""
    return {
        Need.TENSORS: bool(subject.facts.tensors),
        Need.WEIGHTS: subject.weights is not None,
        Need.GRAPH: subject.graph is not None,
        Need.STATES: subject.graph is not None and bool(subject.graph.states),
        Need.REFERENCE: subject.reference is not None,
        Need.TARGET: bool(subject.targets),
    }[need]


def _lacks(rule: LintRule, subject: Subject) -> str:
    """Return the first thing that a rule cannot do without and the subject does not have, or ""."""
    lacking = [need for need in rule.needs if not has(subject, need)]
    if lacking[:1] == [Need.STATES] and subject.graph is None:
        return LACKS[Need.GRAPH]
    return LACKS[lacking[0]] if lacking else ""


def _named(settings: LintSettings) -> dict[str, tuple[str, ...]]:
    """Return every list of codes or prefixes in the settings."""
    return {
        "select": settings.select,
        "ignore": settings.ignore,
        "severity": tuple(name for name, _ in settings.severity),
        "options": tuple(name for name, _ in settings.options),
    }


def _selected(code: str, settings: LintSettings) -> bool:
    wanted = len(_longest(code, settings.select)) or (-1 if settings.select else 0)
    return wanted > (len(_longest(code, settings.ignore)) or -1)


def _longest(code: str, prefixes: Iterable[str]) -> str:
    """Return the longest of these prefixes that the code has, or ""."""
    return max((prefix for prefix in prefixes if code.startswith(prefix)), key=len, default="")


def _found_by(rule: LintRule, subject: Subject, model: str) -> Iterator[Found]:
    """Yield what one rule finds, the first `MOST_OF_ONE_RULE` places, and then how many more there are."""
    try:
        found = iter(rule.check(subject))
        for one in islice(found, MOST_OF_ONE_RULE):
            yield _checked(one)
        more = sum(1 for _ in found)
    except GateError as error:
        raise _at(error, model) from error
    except MemoryError:  # of the machine, not of the rule
        raise
    except Exception as error:
        told = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise Internal(f"lint rule {rule.code} broke: {told}", where=model) from error
    if more:
        places = "1 more place" if more == 1 else f"{more} more places"
        yield Found(Location(), f"{places} like the {MOST_OF_ONE_RULE} before", (("more", more),))


def _checked(found: Found) -> Found:
    """Return what a rule yielded; raises TypeError where it is something else, and so a bug of the rule."""
    if not isinstance(found, Found) or not found.message:
        raise TypeError(f"yielded {type(found).__name__} instead of a finding with a message")
    return found


def _at(error: GateError, model: str) -> GateError:
    """Return the error with the file it is about."""
    if error.where:
        return error
    return type(error)(error.what, where=model, field=error.field, hint=error.hint)


def _finding(chosen: ChosenRule, found: Found, model: str, candidate: str) -> Finding:
    rule, at = chosen.rule, found.location
    return Finding(
        code=rule.code,
        rule=rule.title,
        severity=chosen.severity,
        model=model,
        candidate=candidate,
        location=replace(at, name=_cut(at.name, NAME_LIMIT), context=_cut(at.context, TEXT_LIMIT)),
        message=_cut(found.message, TEXT_LIMIT),
        why=rule.why,
        fix=rule.fix,
        figures=tuple(sorted((name, _plain(value)) for name, value in found.figures)),
        target=found.target,
    )


def _cut(text: str, limit: int) -> str:
    """Return a text that a file may have written, bounded; reports make it printable."""
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _plain(value: Scalar) -> Scalar:
    """Return a figure as JSON can hold it: no numpy scalars, and in words what is not finite."""
    item = getattr(value, "item", None)
    plain: Scalar = item() if item is not None else value
    return str(plain) if isinstance(plain, float) and not math.isfinite(plain) else plain
