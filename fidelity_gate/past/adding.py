"""A judged run -> what it adds to a history: a line a candidate and device, with every figure that was judged."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fidelity_gate import record_json
from fidelity_gate.bounds import deviation
from fidelity_gate.comparable import DEVICE, place_of
from fidelity_gate.files import sha256_hex
from fidelity_gate.matching import key_of
from fidelity_gate.records import Against, PastFigure, PastRun

if TYPE_CHECKING:
    from fidelity_gate.records import CheckResult, DeviceRun, MeasurementSet, ModelRecord, Report

LATENCY = "latency"
_RUN_SCHEMA = "fidelity-gate/run/v1"


def run_id(measured: MeasurementSet) -> str:
    """Return what tells one measurement from every other: the digest of all that was measured."""
    return sha256_hex(record_json.dump(measured, _RUN_SCHEMA))


def lines_of(report: Report, revision: str = "") -> tuple[PastRun, ...]:
    """Return what a judged run adds to a history; nothing where no device measured anything.

    Args:
        report: of the run.
        revision: of the code, as its owner names it.
    """
    measured = report.measured
    if measured is None:
        return ()
    identity = run_id(measured)
    found = [
        _line(report, measured, record, run, revision)
        for record in measured.candidates
        for run in record.device_runs
        if not run.gap
    ]
    return tuple(replace(line, run_id=identity) for line in found if line.figures)


def job_of(run: DeviceRun) -> str:
    """Return what a device's figures are told apart by, however often they are read: "" where nothing repeats them.

    Of a record without the id of a job (bound by hand, published) it is the file and the moment that it is of.
    """
    if run.job is None:
        return ""
    return run.job.id or " ".join(part for part in (run.plug, run.job.finished, run.job.model_digest) if part)


def _line(report: Report, measured: MeasurementSet, record: ModelRecord, run: DeviceRun, revision: str) -> PastRun:
    verdict, provenance, place = report.verdict, measured.provenance, place_of(run)
    return PastRun(
        tool_version=measured.tool_version,
        date=report.created,
        revision=revision,
        run_id="",
        policy_name=verdict.policy_name,
        policy_digest=verdict.policy_digest,
        candidate=record.name,
        candidate_digest=record.facts.digest,
        depth=record.depth,
        device=place.device,
        use=place.use,
        where=place.where,
        job=job_of(run),
        inputs_digest=provenance.inputs_digest,
        probes=provenance.probes,
        passed=verdict.passed,
        reason=verdict.reason,
        figures=_figures(report, measured, record, run),
    )


def _figures(report: Report, measured: MeasurementSet, record: ModelRecord, run: DeviceRun) -> tuple[PastFigure, ...]:
    """Return every figure of this device that was judged, once: as the check saw it that holds it against a history."""
    directions = {key_of(one.metric, one.options, one.candidate): one.direction for one in measured.measurements}
    found: dict[object, PastFigure] = {}
    for result in report.verdict.results:
        check = result.check
        key = key_of(check.metric, check.options, record.name)
        is_here = result.candidate == record.name and dict(check.options).get(DEVICE) == run.device
        if not is_here or result.observed is None or key not in directions:
            continue
        against = result.compared if result.compared and result.compared.against is Against.HISTORY else None
        if against is None and (key, check.aggregate) in found:
            continue
        found[key, check.aggregate] = PastFigure(
            metric=check.metric,
            options=check.options,
            aggregate=check.aggregate,
            unit=result.unit,
            direction=directions[key],
            value=result.observed,
            spread=_spread(result, run),
            regressed=against.regressed if against else None,
            standing=against.standing if against else None,
        )
    return tuple(found.values())


def _spread(result: CheckResult, run: DeviceRun) -> float | None:
    """Return how far the timed runs behind a latency lie apart; None for what has one value."""
    if result.check.metric != LATENCY:
        return None
    times = run.step_seconds if dict(result.check.options).get("per") == "step" else run.puzzle_seconds
    return deviation(times) if len(times) > 1 else None
