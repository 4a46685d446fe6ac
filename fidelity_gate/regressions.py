"""What of the past a check is held against: a baseline, or the runs before. Pure, and shut where it does not fit.

The past only ever becomes an end of a bound; `bounds.is_met` compares it like any other.

* A baseline must be of the same thing: the policy's name, the inputs and how many probes, the depth of reference and
  candidate, the run settings; for a metric of a device the machine and all that it ran with; for lint its settings and
  targets. Anything else is refused. A baseline that has no such number: not measured.
* A history is the earlier runs of the same candidate at the same depth on the same device, machine and runtime. Runs
  that were regressions themselves do not count: a regression that is only repeated often enough never becomes the
  normal case. Too few of the others: inconclusive.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fidelity_gate.bounds import all_met, deviation, from_past, mean, middle, observations, relative_fault, tightest
from fidelity_gate.bounds import counted as probes_of
from fidelity_gate.comparable import Subject, difference, in_series
from fidelity_gate.matching import key_of
from fidelity_gate.records import Against, Bound, Compared, MeasureStatus, Outcome, PastPoint, Standing
from fidelity_gate.wording import LINT, counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fidelity_gate.bounds import Values
    from fidelity_gate.records import (
        Baseline,
        Check,
        Direction,
        HistorySpec,
        Measurement,
        MeasurementSet,
        Past,
        PastFigure,
        PastModel,
        PastRun,
        Policy,
    )

MEND = "to accept this run as the new one: fidelity-gate baseline write"


@dataclass(frozen=True, slots=True)
class Held:
    """What a number has to be within; or the outcome and the reason why nothing can be said about that.

    Attributes:
        bound: the check's own ends, and the end that follows from the past where it is known.
        compared: what of the past there is, for people and for `with_outcome`.
        outcome: None where there is nothing in the way.
        reason: "" where there is nothing in the way.
        eased: the policy lets the check warn while there is too little history.
    """

    bound: Bound
    compared: Compared | None = None
    outcome: Outcome | None = None
    reason: str = ""
    eased: bool = False


def hold(
    check: Check, measurement: Measurement | None, policy: Policy, measured: MeasurementSet, past: Past | None
) -> Held:
    """Return what a check's number has to be within.

    Args:
        check: the check.
        measurement: of it; None where nothing was measured.
        policy: whose check it is.
        measured: all that was measured in the run.
        past: what was read of the past; None: nothing.
    """
    if not check.bound.relative:
        return Held(check.bound)
    own = tightest(check.bound, Bound())
    records = {record.name: record for record in measured.candidates}
    if measurement is None or measurement.status is not MeasureStatus.MEASURED:
        return Held(own)  # the judge says that there is no number
    fault = relative_fault(check.bound, measurement.direction)
    if fault:
        return Held(own, outcome=Outcome.REFUSED, reason=fault)
    subject = Subject(policy, measured, records[measurement.candidate], measurement)
    if check.against is Against.BASELINE and past is not None and past.baseline is not None:
        return _held_against_baseline(check, subject, past.baseline)
    if check.against is Against.HISTORY and past is not None and policy.history is not None:
        return _held_against_history(check, subject, policy.history, past.runs)
    return Held(own, outcome=Outcome.NOT_MEASURED, reason="nothing of the past was read that it could be held against")


def with_outcome(compared: Compared | None, seen: Values, direction: Direction, last: int) -> Compared | None:
    """Return the comparison with what came of it: whether the numbers are a regression, and how they stand.

    Args:
        compared: what there is of the past; None: nothing.
        seen: the numbers that the check is judged by.
        direction: which way is better.
        last: how many runs of a history count.
    """
    if compared is None or compared.limit is None:
        return compared
    regressed = not all_met(seen, compared.limit, direction)
    flags = [bool(point.regressed) for point in compared.series][-last:]
    there = standing(flags, regressed=regressed) if compared.against is Against.HISTORY else None
    return replace(compared, regressed=regressed, standing=there)


def standing(before: Sequence[bool], *, regressed: bool) -> Standing:
    """Return how a number stands.

    Args:
        before: whether each of the last runs was a regression, oldest first.
        regressed: whether this one is.
    """
    onsets = sum(now and not earlier for earlier, now in zip([False, *before], before, strict=False))
    lately = bool(before) and before[-1]
    if regressed:
        return Standing.SUSTAINED if lately else Standing.FLAKY if onsets else Standing.NEW
    if onsets > 1:
        return Standing.FLAKY
    return Standing.RECOVERED if lately else Standing.STEADY


# ---------------------------------------------------------------- against a baseline


def _held_against_baseline(check: Check, subject: Subject, baseline: Baseline) -> Held:
    own, measurement = tightest(check.bound, Bound()), subject.measurement
    wanted = key_of(measurement.metric, measurement.options, measurement.candidate)
    found = [one for one in baseline.measurements if key_of(one.metric, one.options, one.candidate) == wanted]
    model = next((one for one in baseline.candidates if one.name == measurement.candidate), None)
    if model is None or not found:
        what = f"the baseline has no {measurement.metric} of {measurement.candidate} with these options; {MEND}"
        return Held(own, outcome=Outcome.NOT_MEASURED, reason=what)
    foreign = (
        difference(subject, baseline, model)
        or _other_lint(check, subject, baseline, model)
        or _unusable(measurement, baseline, found)
    )
    if foreign:
        return Held(own, outcome=Outcome.REFUSED, reason=f"the baseline {foreign}; {MEND}")
    (old,) = observations(found[0].values, check.aggregate, measurement.direction)
    limit = from_past(check.bound, old, measurement.direction)
    bound = tightest(check.bound, limit)
    when, blocked = baseline.created, not baseline.passed
    return Held(bound, Compared(Against.BASELINE, bound, limit, old, when=when, blocked=blocked))


def _other_lint(check: Check, subject: Subject, baseline: Baseline, model: PastModel) -> str:
    """Return that findings were counted in another way, or "": by other rules, or for other targets."""
    then, now = (baseline.lint, model.targets), (subject.provenance.lint, subject.record.targets)
    return "was linted by other settings, or for other targets" if check.metric == LINT and then != now else ""


def _unusable(measurement: Measurement, baseline: Baseline, found: list[Measurement]) -> str:
    """Return why the numbers of a baseline cannot be held against, or ""."""
    old, what = found[0], f"{measurement.metric} of {measurement.candidate}"
    if len(found) > 1:
        return f"has {what} more than once"
    then, now = ((one.unit, one.direction, one.per_probe, one.rows) for one in (old, measurement))
    if then != now:
        return f"tells {what} in another way, or of other probes"
    whole = len(old.values) == (probes_of(old, baseline.probes) if old.per_probe else 1)
    if old.status is not MeasureStatus.MEASURED or not whole or not math.isfinite(mean(old.values)):
        return f"has no usable {what}"
    return ""


# ---------------------------------------------------------------- against the runs before


def _held_against_history(check: Check, subject: Subject, spec: HistorySpec, runs: tuple[PastRun, ...]) -> Held:
    own = tightest(check.bound, Bound())
    if subject.place is None:
        what = f"a history holds numbers of devices only, and {check.metric} needs none"
        return Held(own, outcome=Outcome.REFUSED, reason=what)
    series = [
        (run, figure)
        for run in runs
        if in_series(run, subject)
        for figure in run.figures
        if _is_same_figure(check, subject, run, figure)
    ]
    points = tuple(PastPoint(run.date, figure.value, run.revision, figure.regressed) for run, figure in series)
    taken = [figure for _, figure in series if not figure.regressed][-spec.last :]
    compared = Compared(Against.HISTORY, own, runs=len(taken), series=points)
    if len(taken) < spec.minimum:
        return _held_while_new(check, spec, compared)
    old, noise = middle(tuple(figure.value for figure in taken)), _noise(taken, spec)
    limit = from_past(check.bound, old, subject.measurement.direction, noise)
    bound = tightest(check.bound, limit)
    return Held(bound, replace(compared, bound=bound, limit=limit, old=old, noise=noise))


def _held_while_new(check: Check, spec: HistorySpec, compared: Compared) -> Held:
    """Return what holds while there is too little history: nothing is decided, unless the policy says to warn."""
    # After a regression a history is not new any more: what is missing then is missing because of it.
    eases = spec.warn_while_new and not any(point.regressed for point in compared.series)
    if eases and check.bound.absolute:
        return Held(compared.bound, compared)
    runs = counted(compared.runs, "run")
    reason = f"the history has {runs} of it on this device, machine and runtime, and {spec.minimum} are needed"
    return Held(compared.bound, compared, Outcome.INCONCLUSIVE, reason, eased=eases)


def _is_same_figure(check: Check, subject: Subject, run: PastRun, figure: PastFigure) -> bool:
    measurement, provenance = subject.measurement, subject.provenance
    then = (key_of(figure.metric, figure.options, ""), figure.aggregate, figure.unit, figure.direction)
    now = (key_of(check.metric, check.options, ""), check.aggregate, measurement.unit, measurement.direction)
    probes = (run.inputs_digest, run.probes) == (provenance.inputs_digest, provenance.probes)
    return then == now and (probes or not measurement.per_probe)


def _noise(figures: list[PastFigure], spec: HistorySpec) -> float:
    """Return the difference that is no regression, in the metric's unit.

    A spread is how far the timed runs behind a number lie apart, in the middle of the runs that count. Where a run has
    one value only, such as a peak of memory, it is how far the values of the runs do.
    """
    floor = {"seconds": spec.floor_seconds, "bytes": spec.floor_bytes}.get(figures[0].unit, 0.0)
    values = tuple(figure.value for figure in figures)
    spreads = tuple(figure.spread for figure in figures if figure.spread is not None)
    spread = middle(spreads) if len(spreads) == len(values) else deviation(values)
    return max(floor, spec.spreads * spread)
