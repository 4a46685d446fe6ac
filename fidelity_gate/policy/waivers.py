"""The policy's `waiver_rules:` and `waivers:` blocks -> records; what time and files decide is the judge's to say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fidelity_gate.bounds import bound_fault
from fidelity_gate.policy.problems import near_or_known
from fidelity_gate.policy.quantities import QuantityError, parse_quantity
from fidelity_gate.records import Bound, Severity, Waiver, WaiverRules

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fidelity_gate.policy.bounding import Resolved
    from fidelity_gate.policy.problems import Path, Problems
    from fidelity_gate.policy.schema_waivers import WaiverBlock, WaiverRulesBlock

RULES, KEY = "waiver_rules", "waivers"
EXAMPLE = "waiver_rules: {max_days: 30}"


def waiver_rules(block: WaiverRulesBlock | None, problems: Problems) -> WaiverRules | None:
    """Return what may be waived."""
    if block is None:
        return None
    return WaiverRules(block.max_days, tuple(sorted(block.never or ())), problems.place((RULES,), key=True))


def check_never(rules: WaiverRules | None, checks: tuple[Resolved, ...], problems: Problems) -> None:
    """Refuse rules about a check that a whole policy does not have; parts of one may leave it out."""
    known = sorted({resolved.check.id for resolved in checks})
    for place in range(len(rules.never) if rules else 0):
        path: Path = (RULES, "never", place)
        name = problems.raw(path)
        if name not in known:
            problems.add(path, f"'{name}' is no check of this policy", near_or_known(name, known))


def waivers(
    blocks: Mapping[str, WaiverBlock] | None,
    rules: WaiverRules | None,
    checks: tuple[Resolved, ...],
    candidates: tuple[str, ...],
    problems: Problems,
) -> tuple[Waiver, ...]:
    """Return the waivers, sorted by id; what is wrong with one goes to the problems.

    Args:
        blocks: by id.
        rules: None: no waiver is borne.
        checks: of the policy, one a target.
        candidates: the policy's; none where the command line names them.
        problems: what is wrong goes here.
    """
    found = []
    for name, block in sorted((blocks or {}).items()):
        path: Path = (KEY, name)
        if rules is None:
            what = "is not borne: the policy, or one that it extends, has no waiver_rules"
            problems.add(path, what, EXAMPLE, key=True)
        about = _about(path, block, checks, problems)
        if candidates and block.candidate not in candidates:
            what = f"'{block.candidate}' is no candidate of this policy"
            problems.add((*path, "candidate"), what, near_or_known(block.candidate, candidates))
        floor = _floor((*path, "floor"), block, about, problems) if about else None
        if about and floor:
            found.append(_waiver(name, block, about, floor, problems))
    return tuple(found)


def _waiver(name: str, block: WaiverBlock, about: Resolved, floor: Bound, problems: Problems) -> Waiver:
    return Waiver(
        id=name,
        check=block.check,
        candidate=block.candidate,
        digest=block.digest,
        floor=floor,
        reason=block.reason,
        ticket=block.ticket,
        owner=block.owner,
        created=block.created,
        expires=block.expires,
        target=about.check.target,
        place=problems.place((KEY, name), key=True),
    )


def _about(path: Path, block: WaiverBlock, checks: tuple[Resolved, ...], problems: Problems) -> Resolved | None:
    """Return the check that a waiver is about, or None after adding a problem."""
    named = [resolved for resolved in checks if resolved.check.id == block.check]
    if not named:
        known = sorted({resolved.check.id for resolved in checks})
        what = f"'{block.check}' is no check of this policy"
        problems.add((*path, "check"), what, near_or_known(block.check, known))
        return None
    if named[0].check.severity is not Severity.ERROR:
        what = f"'{block.check}' blocks nothing, so there is nothing to waive"
        problems.add((*path, "check"), what, "remove the waiver")
        return None
    targets = [resolved.check.target for resolved in named]
    wanted = block.target or (targets[0] if len(targets) == 1 else None)
    if wanted in targets:
        return named[targets.index(wanted)]
    if block.target is None:
        problems.add(path, "does not say which target", f"target: {' or '.join(targets)}", key=True)
    else:
        what = f"'{block.target}' is no target of {block.check}"
        problems.add((*path, "target"), what, near_or_known(block.target, targets))
    return None


def _floor(path: Path, block: WaiverBlock, about: Resolved, problems: Problems) -> Bound | None:
    """Return the floor, or None after adding a problem."""
    plug: Any = about.plug
    ends: dict[str, float] = {}
    for key, written in (("min", block.floor.min), ("max", block.floor.max)):
        try:
            if written is not None:
                ends[key] = parse_quantity(written, plug.unit)
        except QuantityError as error:
            problems.add((*path, key), error.what, error.hint)
            return None
    floor = Bound(minimum=ends.get("min"), maximum=ends.get("max"))
    fault = bound_fault(floor, plug.direction)
    if fault:
        problems.add(path, fault, "how far the check may be missed", key=True)
        return None
    if not _reaches_further(floor, about.check.bound):
        what = "lets nothing through that the check itself does not"
        problems.add(path, what, f"the check requires {about.check.bound.text or 'less'}", key=True)
        return None
    return floor


def _reaches_further(floor: Bound, bound: Bound) -> bool:
    """Return whether something outside of a bound is above the floor; relative ends are not known yet."""
    if bound.relative:
        return True
    below = bound.minimum is not None and (floor.minimum is None or floor.minimum < bound.minimum)
    above = bound.maximum is not None and (floor.maximum is None or floor.maximum > bound.maximum)
    return below or above
