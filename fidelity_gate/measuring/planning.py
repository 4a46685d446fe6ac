"""A policy's checks -> the metrics to measure, what each has to see, and the measurement that came of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fidelity_gate import registry
from fidelity_gate.errors import NotMeasured
from fidelity_gate.protocols import StepsMetric
from fidelity_gate.records import Evidence, Measured, Measurement, MeasureStatus, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fidelity_gate.protocols import Accumulator
    from fidelity_gate.records import Check, Depth, ModelRecord, Options, Policy
    from fidelity_gate.tracing.entrants import Reading, Traced


@dataclass(frozen=True, slots=True)
class Wanted:
    """One metric with its options, and the candidates that some check wants it of."""

    metric: str
    options: Options
    plug: Any  # TraceMetric, FileMetric, DeviceMetric or StepsMetric
    candidates: frozenset[str]

    def of(self, candidate: str, evidence: Evidence) -> bool:
        """Return whether it is wanted of this candidate and needs this evidence."""
        return candidate in self.candidates and self.plug.evidence is evidence

    @property
    def traced(self) -> bool:
        """Return whether models have to be stepped side by side for it."""
        evidence: Evidence = self.plug.evidence
        return evidence.traced

    @property
    def stepped(self) -> bool:
        """Return whether a device has to compute steps for it."""
        return isinstance(self.plug, StepsMetric)

    @property
    def runs(self) -> bool:
        """Return whether models have to run for it, in whichever way."""
        return self.plug.evidence is not Evidence.FILE


def wanted(policy: Policy) -> tuple[Wanted, ...]:
    """Return every metric that a check of the policy asks for, each once.

    Raises:
        PolicyError: no such metric, or options it does not have.
    """
    found: dict[str, Wanted] = {}
    for check in policy.checks:
        if check.severity is Severity.OFF:
            continue
        # Types count: 1, 1.0 and true are equal in Python and are three options in a policy.
        key = repr((check.metric, sorted(check.options, key=str)))
        names = frozenset(check.candidates or (spec.name for spec in policy.candidates))
        earlier = found.get(key)
        found[key] = replace(earlier, candidates=earlier.candidates | names) if earlier else _resolved(check, names)
    return tuple(found[key] for key in sorted(found))


def _resolved(check: Check, names: frozenset[str]) -> Wanted:
    plug = registry.build(
        "metrics", check.metric, check.options, where=str(check.place), field=f"checks.{check.id}.options"
    )
    return Wanted(check.metric, check.options, plug, names)


def accumulators(wants: Iterable[Wanted], candidate: str, depth: Depth, evidence: Evidence) -> tuple[Accumulator, ...]:
    """Return a fresh accumulator for every metric that needs this evidence of this candidate, in order."""
    return tuple(want.plug.accumulator(depth) for want in wants if want.of(candidate, evidence))


def from_records(want: Wanted, reference: ModelRecord, candidate: ModelRecord) -> Measurement:
    """Return the measurement of a metric that is answered by what the records hold of files, or of devices."""
    try:
        return _measured(want, candidate.name, want.plug.measure(reference, candidate))
    except NotMeasured as error:
        return _not_measured(want, candidate.name, str(error))


def from_steps(want: Wanted, candidate: str, found: Measured) -> Measurement:
    """Return the measurement of a metric that is answered by what a device computed."""
    return _measured(want, candidate, found)


def not_run(want: Wanted, candidate: str, reason: str) -> Measurement:
    """Return the measurement of a metric that nobody tried to measure."""
    return _not_measured(want, candidate, reason)


def from_trace(want: Wanted, candidate: str, reading: Reading, traced: Traced) -> Measurement:
    """Return the measurement of a metric that a trace answers.

    A dead trajectory (one that never moves or ignores its input) has the value that the metric states for it, or none.
    """
    if reading.measured is None:
        return _not_measured(want, candidate, reading.reason)
    if not traced.fault:
        return _measured(want, candidate, _noted(reading.measured, traced.note))
    if want.plug.dead is None:
        return _not_measured(want, candidate, traced.fault)
    values = (float(want.plug.dead),) * len(reading.measured.values)
    told = f"{traced.fault}, so this counts as {want.plug.dead:g}"
    return _measured(want, candidate, replace(reading.measured, values=values, detail=told))


def floored(measurement: Measurement, reading: Reading) -> Measurement:
    """Return the measurement with the same metric of the reference against its perturbed self."""
    if measurement.status is not MeasureStatus.MEASURED:
        return measurement
    found, gap = reading.measured, reading.reason
    if found is not None and not _finite(found):
        found, gap = None, "a value is not finite"
    if found is None:
        detail = f"{measurement.detail}; no noise floor: {gap}".removeprefix("; ")
        return replace(measurement, detail=detail)
    return replace(measurement, floor_values=found.values, floor_curve=found.curve)


def _measured(want: Wanted, candidate: str, found: Measured) -> Measurement:
    if not found.values:
        return _not_measured(want, candidate, "the metric gave no value")
    if not _finite(found):
        return _not_measured(want, candidate, "a value is not finite")
    measurement = _not_measured(want, candidate, "")
    return replace(
        measurement,
        status=MeasureStatus.MEASURED,
        values=found.values,
        curve=found.curve,
        detail=found.detail,
        rows=found.rows,
        curve_here=found.curve_here,
        ran_on=found.ran_on,
    )


def _not_measured(want: Wanted, candidate: str, reason: str) -> Measurement:
    return Measurement(
        metric=want.metric,
        options=want.options,
        candidate=candidate,
        unit=want.plug.unit,
        direction=want.plug.direction,
        per_probe=want.plug.per_probe,
        floored=want.plug.floored,
        status=MeasureStatus.NOT_MEASURED,
        reason=reason,
    )


def _finite(found: Measured) -> bool:
    figures = (figure for point in (*found.curve, *found.curve_here) for figure in (point.mean, point.p05, point.worst))
    return all(map(math.isfinite, (*found.values, *figures)))


def _noted(found: Measured, note: str) -> Measured:
    return replace(found, detail=f"{found.detail}; {note}".removeprefix("; ")) if note else found
