"""Measurements and a policy -> the verdict: pure, and shut by default.

What is refused, what is left undecided and what is compared:

* The measurements must be of the run that the policy asks for: the same candidates, depth of each model, run settings
  and noise perturbation. Where another policy was measured, it must have named the same reference and the same rows
  too. Anything else is refused. What their files held is recorded by digest, not compared: a policy names paths only.
* A check is judged on what was measured for exactly its metric, its options and its candidate. No such measurement, a
  value that is not finite, or fewer values than probes: not measured.
* Fewer probes than `minimum_probes`, or than an aggregate can speak about: inconclusive.
* A metric that the noise floor concerns is inconclusive where the reference does not even stay near its own perturbed
  self.
* Where a bound is relative to the past, `regressions` makes an end of it, or says what is in the way: something else
  was measured then (refused), a gap (not measured), too short a history (inconclusive).
* Only then is a number compared with a bound, raw, both ends inclusive, by `bounds.is_met`: nothing else can make a
  check pass.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fidelity_gate.bounds import (
    all_met,
    bound_fault,
    counted,
    margin,
    mean,
    nearest,
    observations,
    subset_fault,
    too_few,
    worst_row,
)
from fidelity_gate.errors import WORST_FIRST, ExitCode
from fidelity_gate.matching import indexed, key_of, pairs, refuse_other_run, refuse_unsound
from fidelity_gate.records import CheckResult, MeasureStatus, Outcome, Severity, Verdict
from fidelity_gate.regressions import Held, hold, with_outcome
from fidelity_gate.units import format_against
from fidelity_gate.waiving import refuse_stale, refuse_unmatched, waiver_of, with_waiver
from fidelity_gate.wording import comparison, headline

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.bounds import Values
    from fidelity_gate.records import Bound, Check, Measurement, MeasurementSet, NoiseFloor, Past, Policy

BLOCKING = {
    Outcome.FAIL: ExitCode.FAILED,
    Outcome.REFUSED: ExitCode.REFUSED,
    Outcome.NOT_MEASURED: ExitCode.UNDECIDED,
    Outcome.INCONCLUSIVE: ExitCode.UNDECIDED,
    Outcome.INTERNAL: ExitCode.INTERNAL,
}


@dataclass(frozen=True, slots=True)
class _Case:
    """One check for one candidate, and all that may be said about it."""

    check: Check
    candidate: str
    measurement: Measurement | None
    policy: Policy
    measured: MeasurementSet
    held: Held

    @property
    def probes(self) -> int:
        return self.measured.provenance.probes

    @property
    def bound(self) -> Bound:
        return self.held.bound


# ---------------------------------------------------------------- the decision


def judge(policy: Policy, measured: MeasurementSet, past: Past | None = None, day: str = "") -> Verdict:
    """Return the verdict of a policy on what was measured.

    Args:
        policy: what is required.
        measured: what was measured.
        past: what relative bounds are held against; without it no check that has one can pass.
        day: on which it is judged (ISO 8601, UTC); without one no waiver holds.

    Raises:
        PolicyError: a contradiction that the policy's loader should have refused, or a waiver that does not hold.
        Refused: the measurements are not of the run that this policy asks for.
    """
    refuse_unsound(policy)
    refuse_other_run(policy, measured)
    refuse_stale(policy, day)
    refuse_unmatched(policy, measured)
    return conclude(policy, tuple(_judge_case(case) for case in _cases(policy, measured, past)))


def missed(policy: Policy, measured: MeasurementSet) -> tuple[CheckResult, ...]:
    """Return the checks that block because of a number that is there already: no later measurement can mend them.

    For whoever is still measuring. What is not measured yet is left alone; nothing here can make a check pass.

    Raises:
        PolicyError: a waiver is for another file: no number can change that either.
    """
    refuse_unmatched(policy, measured)
    results = (_judge_case(case) for case in _cases(policy, measured, None))
    return tuple(result for result in results if result.outcome is Outcome.FAIL)


def _cases(policy: Policy, measured: MeasurementSet, past: Past | None) -> Iterator[_Case]:
    evidence = indexed(measured)
    for check, candidate in pairs(policy):
        found = evidence.get(key_of(check.metric, check.options, candidate))
        yield _Case(check, candidate, found, policy, measured, hold(check, found, policy, measured, past))


def conclude(policy: Policy, results: tuple[CheckResult, ...]) -> Verdict:
    """Return the verdict of judged checks: passed only if all that are required are met or waived, and one is met."""
    counted = [result for result in results if result.check.severity is Severity.ERROR]
    required = len(counted)
    met = sum(result.outcome is Outcome.PASS for result in counted)
    waived = sum(result.outcome is Outcome.WAIVED for result in counted)
    passed = met + waived == required and met > 0
    code = ExitCode.PASSED if passed else _worst_code(counted)
    return Verdict(
        policy_name=policy.name,
        policy_digest=policy.digest,
        results=results,
        required=required,
        met=met,
        passed=passed,
        exit_code=int(code),
        reason=_reason(counted, met, code),
        waived=waived,
    )


def _worst_code(counted: list[CheckResult]) -> ExitCode:
    codes = {BLOCKING[result.outcome] for result in counted if result.outcome in BLOCKING}
    return next((code for code in WORST_FIRST if code in codes), ExitCode.REFUSED)


def _reason(counted: list[CheckResult], met: int, code: ExitCode) -> str:
    if code is ExitCode.PASSED:
        return _passing(counted, met)
    first = next((result for result in counted if BLOCKING.get(result.outcome) is code), None)
    if first is None and counted:
        return f"every required check is waived, and at least one has to be met; {headline(counted[0])}"
    if first is None:
        return "the policy requires nothing, so nothing can pass"
    are = "check is" if len(counted) == 1 else "checks are"
    return f"{met} of {len(counted)} required {are} met; {headline(first)}"


def _passing(counted: list[CheckResult], met: int) -> str:
    waived = [result for result in counted if result.outcome is Outcome.WAIVED]
    if waived:
        return f"{met} of {len(counted)} required checks are met, and {len(waived)} waived; {headline(waived[0])}"
    return "the one required check is met" if met == 1 else f"all {met} required checks are met"


# ---------------------------------------------------------------- one check, one candidate


def _judge_case(case: _Case) -> CheckResult:
    check, measurement = case.check, case.measurement
    if check.severity is Severity.OFF:
        return CheckResult(check, case.candidate, Outcome.OFF, reason="switched off by the policy")
    obstacle = next(((outcome, reason) for outcome, reason in _obstacles(case) if reason), None)
    if measurement is None or (obstacle is not None and obstacle[0] is not Outcome.INCONCLUSIVE):
        outcome, reason = obstacle or (Outcome.NOT_MEASURED, "nothing was measured")
        return _told(case, outcome, reason=reason)
    seen = _observations(case, measurement, measurement.values)
    observed = nearest(seen, case.bound)
    if obstacle is not None:
        return _told(case, obstacle[0], observed=observed, reason=obstacle[1])
    met = all_met(seen, case.bound, measurement.direction)
    result = _told(case, Outcome.PASS if met else Outcome.FAIL, observed=observed)
    last = case.policy.history.last if case.policy.history else 0
    result = replace(result, compared=with_outcome(result.compared, seen, measurement.direction, last))
    waiver = waiver_of(case.policy, check.id, check.target, case.candidate)
    return with_waiver(result, waiver, seen, measurement.direction)


def _obstacles(case: _Case) -> Iterator[tuple[Outcome, str]]:
    """Yield what stands in the way of a comparison; each may presume that those before it found nothing."""
    yield Outcome.REFUSED, _no_candidate(case)
    yield Outcome.NOT_MEASURED, _unmeasured(case)
    if case.measurement is not None:
        yield Outcome.REFUSED, _misuse(case, case.measurement)
        yield Outcome.NOT_MEASURED, subset_fault(case.check, case.measurement, case.probes)
        yield Outcome.NOT_MEASURED, _unusable(case, case.measurement, case.measurement.values, "")
        if case.held.outcome is not None:
            yield case.held.outcome, case.held.reason
        yield Outcome.INCONCLUSIVE, _too_few(case, case.measurement)
        if case.measurement.floored:
            yield from _noise_obstacles(case, case.measurement)


def _no_candidate(case: _Case) -> str:
    return "" if case.candidate else "the check applies to no candidate"


def _unmeasured(case: _Case) -> str:
    if case.measurement is None:
        return f"{case.check.metric} was not measured with these options"
    if case.measurement.status is not MeasureStatus.MEASURED:
        return case.measurement.reason or f"{case.check.metric} gave no value"
    return ""


def _misuse(case: _Case, measurement: Measurement) -> str:
    check = case.check
    if measurement.per_probe and check.aggregate is None:
        return f"{check.metric} has one value a probe, and the check names no aggregate"
    if not measurement.per_probe and check.aggregate is not None:
        return f"{check.metric} has one value, and the check names the aggregate {check.aggregate.value}"
    return "" if case.held.outcome is not None else bound_fault(case.bound, measurement.direction)


def _unusable(case: _Case, measurement: Measurement, values: Values, whose: str) -> str:
    """Return why values cannot be judged: a gap, or anything that is not finite (curves are shown, so they count)."""
    wanted = counted(measurement, case.probes) if measurement.per_probe else 1
    if len(values) != wanted or wanted < 1:
        return f"{measurement.metric} has {len(values)} {whose}values, and {wanted} are needed"
    broken = [row for row, value in enumerate(values) if not math.isfinite(value)]
    if broken:
        return f"{len(broken)} of {len(values)} {whose}values are not finite, the first is number {broken[0]}"
    if not math.isfinite(mean(values)):
        return f"the {whose}values are too large to be averaged"
    curve = measurement.floor_curve if whose else measurement.curve
    if not all(math.isfinite(figure) for point in curve for figure in (point.mean, point.p05, point.worst)):
        return f"the {whose}curve over the steps is not finite"
    return ""


def _too_few(case: _Case, measurement: Measurement) -> str:
    minimum = case.policy.minimum_probes
    return too_few(case.check, measurement, case.probes, minimum) if measurement.per_probe else ""


# ---------------------------------------------------------------- the noise floor


def _noise_obstacles(case: _Case, measurement: Measurement) -> Iterator[tuple[Outcome, str]]:
    floor = case.measured.noise_floor
    if floor is None:
        yield Outcome.NOT_MEASURED, "the noise floor was not measured"
        return
    yield Outcome.NOT_MEASURED, _floor_gap(case, floor)
    yield Outcome.NOT_MEASURED, _unusable(case, measurement, measurement.floor_values, "noise floor ")
    yield Outcome.INCONCLUSIVE, _diverged(case, floor.values, "when its initial carry is perturbed")
    if case.policy.noise_floor.bf16:
        yield Outcome.INCONCLUSIVE, _diverged(case, floor.bf16_values, "in bfloat16")
    yield Outcome.INCONCLUSIVE, _own_floor_misses(case, measurement)


def _floor_gap(case: _Case, floor: NoiseFloor) -> str:
    wanted = [floor.values, *([floor.bf16_values] if case.policy.noise_floor.bf16 else [])]
    if any(len(values) != case.probes for values in wanted):
        return f"the noise floor was not measured on all {case.probes} probes"
    if not all(math.isfinite(mean(values)) for values in wanted):
        return "the noise floor is not finite"
    return ""


def _diverged(case: _Case, fidelities: Values, how: str) -> str:
    kept, limit = mean(fidelities), case.policy.noise_floor.limit
    if kept >= limit:
        return ""
    shown, shown_limit = format_against(kept, limit, "")
    return f"the reference keeps a mean fidelity of {shown} to itself {how}, under the limit of {shown_limit}"


def _own_floor_misses(case: _Case, measurement: Measurement) -> str:
    seen = _observations(case, measurement, measurement.floor_values)
    if all_met(seen, case.bound, measurement.direction):
        return ""
    exact = case.held.compared is None
    compared = comparison(nearest(seen, case.bound), case.bound, measurement.unit, exact=exact)
    return f"the reference itself, perturbed, would miss this bound: {compared}"


# ---------------------------------------------------------------- numbers


def _observations(case: _Case, measurement: Measurement, values: Values) -> Values:
    return observations(values, case.check.aggregate, measurement.direction)


def _told(case: _Case, outcome: Outcome, *, observed: float | None = None, reason: str = "") -> CheckResult:
    """Return the result; at severity "warn" a miss of any kind warns and says which kind it was."""
    check, measurement = case.check, case.measurement
    if case.held.eased:
        check = replace(check, severity=Severity.WARN)
    if check.severity is Severity.WARN and outcome is not Outcome.PASS:
        reason = f"{outcome.value.replace('-', ' ')}: {reason}" if reason else ""
        outcome = Outcome.WARN
    if measurement is None or observed is None:
        unit = measurement.unit if measurement is not None else ""
        return CheckResult(check, case.candidate, outcome, unit, reason=reason)
    inside = margin(observed, case.bound)
    return CheckResult(
        check=check,
        candidate=case.candidate,
        outcome=outcome,
        unit=measurement.unit,
        observed=observed,
        margin=inside if math.isfinite(inside) else None,
        worst_probe=worst_row(measurement, case.bound) if measurement.per_probe else None,
        reason=reason,
        compared=case.held.compared,
    )
