"""What a lint rule says of itself, taken apart: for `lint --explain`, the rules' pages and SARIF's descriptors."""

from __future__ import annotations

import dataclasses
import inspect
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fidelity_gate import registry
from fidelity_gate.records import Need, RuleFacts

if TYPE_CHECKING:
    from fidelity_gate.protocols import LintRule
    from fidelity_gate.records import Severity

GROUPS = {
    "FG1": "not really compressed",
    "FG2": "scales",
    "FG3": "carry path",
    "FG4": "target fit",
    "FG5": "drift from the reference",
    "FG6": "hygiene",
}
NEEDS = {
    Need.TENSORS: "tensors known by their roles",
    Need.WEIGHTS: "weights that can be read",
    Need.GRAPH: "a step graph (ONNX)",
    Need.STATES: "a step graph whose state inputs are fed by outputs",
    Need.REFERENCE: "a reference",
    Need.TARGET: "a target",
}
_ATTRIBUTES = re.compile(r"\n*^Attributes:\n((?:[ ]+.*\n?|\n)*)", re.MULTILINE)
_ATTRIBUTE = re.compile(r"^    (\w+): ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class RuleOption:
    """One threshold of a rule."""

    name: str
    default: object
    told: str  # what its docstring says of it, in one line


def facts_of(rule: LintRule, severity: Severity | None = None) -> RuleFacts:
    """Return what a rule says of itself; the severity is its own where none is given."""
    summary, body = documented(type(rule))
    return RuleFacts(
        code=rule.code,
        title=rule.title,
        severity=severity or rule.severity,
        summary=summary,
        documentation=body,
        why=rule.why,
        fix=rule.fix,
    )


def documented(kind: type) -> tuple[str, str]:
    """Return the first line of a docstring, and all that follows but for its attributes."""
    text = inspect.getdoc(kind) or ""  # python -OO keeps none
    summary, _, rest = _ATTRIBUTES.sub("\n\n", text).partition("\n\n")
    return summary, rest.strip()


def options_of(rule: LintRule) -> tuple[RuleOption, ...]:
    """Return a rule's thresholds with their defaults, in the order of its fields."""
    told = attributes_of(type(rule))
    return tuple(
        RuleOption(name, _default(rule, name), told.get(name, "")) for name in registry.option_types(type(rule))
    )


def _default(rule: LintRule, name: str) -> object:
    plain: object = dataclasses.asdict(rule)[name]  # type: ignore[call-overload]  # every plug is a dataclass
    return plain


def attributes_of(kind: type) -> dict[str, str]:
    """Return what the `Attributes:` of a class's docstring say, name -> one line."""
    found = _ATTRIBUTES.search(inspect.getdoc(kind) or "")
    parts = _ATTRIBUTE.split(found.group(1)) if found else []
    return {name: " ".join(said.split()) for name, said in zip(parts[1::2], parts[2::2], strict=True)}
