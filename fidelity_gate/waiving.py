"""Waivers: which there may be, which hold today, and what one of them makes of a missed check. Pure, and shut.

A waiver that has expired, that is for another file, or that nothing matches is refused, whatever the checks say: a
stale waiver is a mistake in the policy, and one that is passed over is one that nobody takes out.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

from fidelity_gate.bounds import all_met
from fidelity_gate.errors import PolicyError
from fidelity_gate.matching import pairs
from fidelity_gate.records import Outcome, Severity
from fidelity_gate.wording import comparison

if TYPE_CHECKING:
    from fidelity_gate.bounds import Values
    from fidelity_gate.records import CheckResult, Direction, MeasurementSet, Policy, Waiver


def refuse_stale(policy: Policy, day: str) -> None:
    """Raise PolicyError for the first waiver that does not hold on a day, or is for nothing that could block.

    Args:
        policy: whose waivers they are.
        day: ISO 8601, UTC.
    """
    for waiver in policy.waivers:
        said = _not_borne(policy, waiver) or _not_now(waiver, day)
        if said:
            what, hint = said
            raise _error(waiver, policy, what, hint)
    _refuse_idle(policy)


def refuse_unmatched(policy: Policy, measured: MeasurementSet) -> None:
    """Raise PolicyError for the first waiver of another file than the one that was measured."""
    digests = {record.name: record.facts.digest for record in measured.candidates}
    for waiver in policy.waivers:
        if digests.get(waiver.candidate) != waiver.digest:
            what = f"is for another file: {waiver.candidate} is {digests.get(waiver.candidate, '')[:12]}... now"
            raise _error(waiver, policy, what, "waive the new file, or remove it")


def _refuse_idle(policy: Policy) -> None:
    """Raise PolicyError for a waiver of a check that its candidate does not have, and for a second one of the same.

    A policy whose candidates come from the command line does not have them yet where it is only looked at.
    """
    required = {
        (check.id, check.target, candidate) for check, candidate in pairs(policy) if check.severity is Severity.ERROR
    }
    seen: set[tuple[str, str, str]] = set()
    for waiver in policy.waivers:
        place = (waiver.check, waiver.target, waiver.candidate)
        if policy.candidates and place not in required:
            what = f"matches no check that blocks: {waiver.check} of {waiver.candidate}"
            raise _error(waiver, policy, what, "remove it")
        if place in seen:
            raise _error(waiver, policy, "is the second one for the same check and candidate", "remove one")
        seen.add(place)


def waiver_of(policy: Policy, check: str, target: str, candidate: str) -> Waiver | None:
    """Return the waiver for a check and a candidate, if there is one."""
    wanted = (check, target, candidate)
    return next((one for one in policy.waivers if (one.check, one.target, one.candidate) == wanted), None)


def with_waiver(result: CheckResult, waiver: Waiver | None, seen: Values, direction: Direction) -> CheckResult:
    """Return what a waiver makes of a compared check: a miss above the waiver's floor is waived, any other stays.

    Args:
        result: of a check that was measured and compared.
        waiver: for it; None: nothing changes.
        seen: what the check was compared by.
        direction: which way is better.
    """
    if waiver is None or result.observed is None or result.outcome not in (Outcome.PASS, Outcome.FAIL):
        return result
    if result.outcome is Outcome.PASS:
        return replace(result, reason=f"met; the waiver {waiver.id} is not needed")
    missed = comparison(result.observed, result.bound, result.unit, exact=result.compared is None)
    if not all_met(seen, waiver.floor, direction):
        under = comparison(result.observed, waiver.floor, result.unit)
        return replace(result, reason=f"{missed}, and the waiver {waiver.id} does not reach so far: {under}")
    told = f"waived until {waiver.expires} by {waiver.owner}: {waiver.ticket}"
    return replace(result, outcome=Outcome.WAIVED, reason=f"{told} ({missed}; {waiver.reason})")


def _not_borne(policy: Policy, waiver: Waiver) -> tuple[str, str] | None:
    """Return why the rules bear no such waiver, and how to mend it."""
    rules = policy.waiver_rules
    if rules is None:
        return "is not borne: the policy has no waiver_rules", "waiver_rules: {max_days: 30} in the base policy"
    if waiver.check in rules.never:
        return f"is of {waiver.check}, which is never waived", f"see never: {rules.place}"
    days = (date.fromisoformat(waiver.expires) - date.fromisoformat(waiver.created)).days
    if days < 0:
        return f"expires on {waiver.expires}, before it is made on {waiver.created}", "correct the dates"
    if days > rules.max_days:
        return f"holds for {days} days, and the rules bear {rules.max_days}", "an earlier expires:"
    return None


def _not_now(waiver: Waiver, day: str) -> tuple[str, str] | None:
    """Return why a waiver does not hold on a day, and how to mend it; ISO dates compare as texts do."""
    if not day:
        return "cannot be held against a day, and nobody said which it is", "judge again"
    if day < waiver.created:
        return f"is made on {waiver.created}, and it is {day}", "correct created:"
    if day > waiver.expires:
        return f"expired on {waiver.expires}, and it is {day}", "mend the candidate, or waive it anew"
    return None


def _error(waiver: Waiver, policy: Policy, what: str, hint: str) -> PolicyError:
    return PolicyError(what, where=str(waiver.place) or policy.path, field=f"waivers.{waiver.id}", hint=hint)
