"""What only shows when the whole policy is seen: doubled checks, candidates and targets that nothing is required of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from fidelity_gate.matching import pairs, requires, targets_of
from fidelity_gate.policy.targets import has_properties
from fidelity_gate.records import Against, Aggregate, Severity
from fidelity_gate.wording import LINT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fidelity_gate.policy.bounding import Resolved
    from fidelity_gate.policy.problems import Problems
    from fidelity_gate.records import ModelSpec, Policy, Target

Thing: TypeAlias = tuple[str, Any, Aggregate | None, str, Against | None]


def cross_check(policy: Policy, checks: Sequence[Resolved], problems: Problems) -> None:
    """Add every contradiction between blocks to the problems."""
    _one_check_a_thing(checks, [spec.name for spec in policy.candidates], problems)
    if all(resolved.check.severity is not Severity.ERROR for resolved in checks):
        problems.add(
            ("checks",), "no check has severity error, so nothing could block", "severity: error on one", key=True
        )
        return
    _checked_candidates(policy, problems)
    _used_targets(policy, problems)
    _distinct_models(policy, problems)
    _used_baseline(policy, problems)


def _one_check_a_thing(checks: Sequence[Resolved], names: list[str], problems: Problems) -> None:
    """Refuse two checks on one number: which one counts would have to be guessed, and both adding up surprises."""
    seen: dict[Thing, list[Resolved]] = {}
    for resolved in checks:
        check = resolved.check
        if check.severity is Severity.OFF:
            continue
        others = seen.setdefault((check.metric, resolved.plug, check.aggregate, check.target, check.against), [])
        mine = set(check.candidates or names)
        for other in others:
            theirs = set(other.check.candidates or names)
            if mine & theirs or not (mine and theirs):
                hint = "put min and max into one check, or give each its own candidates, targets or options"
                what = f"asks for the same number as the check '{other.check.id}'"
                problems.add(("checks", check.id), what, hint, key=True)
                break
        others.append(resolved)


def _checked_candidates(policy: Policy, problems: Problems) -> None:
    """Refuse a candidate that nothing is required of, and a check that is about no candidate."""
    found = pairs(policy)
    required = {name for check, name in found if requires(check, policy)}
    for spec in policy.candidates:
        if spec.name not in required:
            what, hint = "no check of severity error is about this candidate", "give it a check, or remove it"
            if any(check.severity is Severity.ERROR for check, name in found if name == spec.name):
                what = "while the history is new nothing is required of this candidate: its checks only warn then"
                hint = "give it a check with min or max, or remove while_new: warn"
            problems.add(("candidates", spec.name), what, hint, key=True)
    for check, name in found if policy.candidates else ():
        if not name:
            hint = "remove the check, or widen its candidates: or targets:"
            what = f"is about no candidate for the target '{check.target}'" if check.target else "is about no candidate"
            problems.add(("checks", check.id), what, hint, key=True)


def _used_targets(policy: Policy, problems: Problems) -> None:
    """Refuse a target that no check is about: naming it would only look like gating it."""
    used = {check.target for check in policy.checks}
    for index, target in enumerate(policy.targets):
        properties = has_properties(target)
        if target.name not in used and not (properties and _linted_for(policy, target)):
            example = "{metric: lint, require: {max: 0}}" if properties else "require: {max: target.sram}"
            hint = f"e.g. {example}; or remove the target"
            problems.add(("targets", index), f"no check is about the target '{target.name}'", hint)


def _linted_for(policy: Policy, target: Target) -> bool:
    """Return whether lint looks at a candidate that is for this target."""
    checks = [check for check in policy.checks if check.metric == LINT and check.severity is not Severity.OFF]
    if not policy.candidates:  # they come from the command line, and are for all targets
        return bool(checks)
    names = {name for check, name in pairs(policy) if check in checks}
    return any(spec.name in names and target in targets_of(spec, policy) for spec in policy.candidates)


def _distinct_models(policy: Policy, problems: Problems) -> None:
    """Refuse a file that is compared with itself by oversight (links and copies show later, by digest)."""
    seen: dict[tuple[str, str], ModelSpec] = {}
    for spec in policy.candidates:
        path = ("candidates", spec.name)
        same_depth = spec.recursion is None
        if spec.path == policy.reference.path and (same_depth or not spec.uncompressed):
            hint = "name the compressed file; to compare depths: uncompressed: true and a recursion: of its own"
            problems.add(path, "is the reference itself", hint)
        elif (twin := seen.setdefault((spec.path, str(spec.recursion)), spec)) is not spec:
            problems.add(path, f"is the same file at the same depth as '{twin.name}'", "remove one")


def _used_baseline(policy: Policy, problems: Problems) -> None:
    """Refuse a baseline that no check is held against: naming it would only look like comparing with it."""
    held = any(check.against is Against.BASELINE for check in policy.checks)
    if policy.baseline is not None and not held:
        hint = "require: {max_regression: 1 %} or {max_drop: 0.005} in a check, or remove the block"
        problems.add(("baseline",), "no check is held against the baseline", hint, key=True)
