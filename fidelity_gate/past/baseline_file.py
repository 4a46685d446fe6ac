"""A baseline file: one run's numbers and all that makes them the same thing, as strict JSON with a seal."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from fidelity_gate import record_json
from fidelity_gate.comparable import place_of
from fidelity_gate.errors import Refused
from fidelity_gate.files import read_file
from fidelity_gate.past.sealing import is_whole, sealed
from fidelity_gate.records import Baseline, MeasureStatus, PastModel

if TYPE_CHECKING:
    from fidelity_gate.records import Measurement, MeasurementSet, ModelRecord, Verdict

SCHEMA = "fidelity-gate/baseline/v1"
LIMIT_BYTES = 64 * 2**20
WRITE = "fidelity-gate baseline write"


def made(measured: MeasurementSet, verdict: Verdict, *, created: str, revision: str = "") -> Baseline:
    """Return the baseline of a run.

    Args:
        measured: what it measured.
        verdict: what was judged of it.
        created: when, ISO 8601, UTC.
        revision: of the code, as its owner names it.
    """
    provenance = measured.provenance
    whole = Baseline(
        tool_version=measured.tool_version,
        created=created,
        revision=revision,
        policy_name=verdict.policy_name,
        policy_digest=verdict.policy_digest,
        passed=verdict.passed,
        reason=verdict.reason,
        inputs_digest=provenance.inputs_digest,
        probes=provenance.probes,
        run=provenance.run,
        reference_digest=measured.reference.facts.digest,
        reference_depth=measured.reference.depth,
        lint=provenance.lint,
        candidates=tuple(_model(record) for record in measured.candidates),
        measurements=tuple(map(_figures, measured.measurements)),
    )
    numbers = tuple(one for one in whole.measurements if one.status is MeasureStatus.MEASURED)
    return sealed(replace(whole, measurements=numbers), SCHEMA)


def dump(baseline: Baseline) -> bytes:
    """Return the file's content; equal baselines give equal bytes."""
    return record_json.dump(baseline, SCHEMA)


def load(data: bytes, where: str) -> Baseline:
    """Return the baseline that `data` holds.

    Raises:
        Refused: it is cut short, of another kind, or was edited.
    """
    hint = f"restore it, or write a new one: {WRITE}"
    try:
        baseline = record_json.load(data, Baseline, SCHEMA, where=where, mend=f"write a new one: {WRITE}")
    except Refused as error:
        raise Refused(error.what, where=where, field=error.field, hint=error.hint or hint) from error
    if not is_whole(data, baseline.seal):
        raise Refused("was edited after it was written, or damaged", where=where, hint=hint)
    return baseline


def read(path: str) -> Baseline:
    """Return the baseline of a file; raises Refused."""
    if not os.path.lexists(path):
        hint = f"{WRITE} MEASUREMENTS --policy POLICY -o {path}"
        raise Refused("there is no such baseline, and a run never makes one", where=path, hint=hint)
    return load(read_file(path, limit_bytes=LIMIT_BYTES).data, path)


def _model(record: ModelRecord) -> PastModel:
    places = tuple(place_of(run) for run in record.device_runs if not run.gap)
    return PastModel(record.name, record.facts.digest, record.depth, record.targets, places)


def _figures(measurement: Measurement) -> Measurement:
    """Return a measurement without what is only shown, or only judged beside its number."""
    return replace(measurement, curve=(), curve_here=(), floor_values=(), floor_curve=())
