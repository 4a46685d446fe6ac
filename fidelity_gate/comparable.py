"""Whether an earlier run is of the same thing as this one: only then does a difference of numbers say anything."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from fidelity_gate.records import DeviceRun, PastPlace
from fidelity_gate.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.records import (
        Baseline,
        Measurement,
        MeasurementSet,
        ModelRecord,
        PastModel,
        PastRun,
        Policy,
        Provenance,
        Scalar,
    )

LONGEST = 24  # characters of a digest that are told
DEVICE = "device"  # the option of metrics that are measured on one


@dataclass(frozen=True, slots=True)
class Subject:
    """One number of this run, and all that an earlier one of the same thing must share with it."""

    policy: Policy
    measured: MeasurementSet
    record: ModelRecord  # the candidate
    measurement: Measurement

    @property
    def provenance(self) -> Provenance:
        """Return what the run was made with."""
        return self.measured.provenance

    @property
    def place(self) -> PastPlace | None:
        """Return where it was measured; None for what needs no device."""
        device = str(dict(self.measurement.options).get(DEVICE) or "")
        runs = (run for run in self.record.device_runs if run.device == device)
        return place_of(next(runs, DeviceRun(device))) if device else None


def place_of(run: DeviceRun) -> PastPlace:
    """Return where a device ran a model: the machine; of a device service all that its job says it ran with.

    What else there is to tell of a job (its age, the record that it was read from) is not where it ran.
    """
    job = run.job
    if job is None:
        return PastPlace(run.device, run.plug, tuple(sorted(run.machine)))
    where: dict[str, Scalar] = {
        "compute_unit": job.compute_unit,
        "device": job.device,
        "options": job.options,
        "os": job.os,
        "runtime": job.runtime,
        "simulated": job.simulated,
        "tools": dict(run.machine).get("tools", ""),
    }
    return PastPlace(run.device, run.plug, tuple(where.items()))


def in_series(run: PastRun, subject: Subject) -> bool:
    """Return whether an earlier run is of the same candidate at the same depth in the same place."""
    then = (run.policy_name, run.candidate, run.depth, PastPlace(run.device, run.use, run.where))
    return then == (subject.policy.name, subject.record.name, subject.record.depth, subject.place)


def difference(subject: Subject, baseline: Baseline, model: PastModel) -> str:
    """Return the first way in which a baseline is of something else than this run, or ""."""
    return next(_differences(subject, baseline, model), "")


def _differences(subject: Subject, baseline: Baseline, model: PastModel) -> Iterator[str]:
    for what, then, now in _identity(subject, baseline, model):
        if then != now:
            yield f"is of another {what}: {printable(then, LONGEST)}, and this run has {printable(now, LONGEST)}"
    if subject.place is not None:
        there = next((one for one in model.places if one.device == subject.place.device), None)
        if there is None:
            yield f"has nothing that ran on {subject.place.device}"
        elif there != subject.place:
            yield f"is of another machine or runtime: {_other_place(there, subject.place)}"


def _identity(subject: Subject, baseline: Baseline, model: PastModel) -> Iterator[tuple[str, str, str]]:
    provenance = subject.provenance
    yield "policy", baseline.policy_name, subject.policy.name
    yield "set of inputs (sha256)", baseline.inputs_digest, provenance.inputs_digest
    yield "number of probes", str(baseline.probes), str(provenance.probes)
    yield "depth of the reference", str(baseline.reference_depth), str(subject.measured.reference.depth)
    yield f"depth of {model.name}", str(model.depth), str(subject.record.depth)
    for field in fields(baseline.run):
        then, now = (repr(getattr(run, field.name)) for run in (baseline.run, provenance.run))
        yield f"run.{field.name}", then, now


def _other_place(then: PastPlace, now: PastPlace) -> str:
    """Return the first fact in which two places differ."""
    old, new = ({**dict(one.where), "kind of device": one.use} for one in (then, now))
    name = next(name for name in sorted({**old, **new}) if old.get(name) != new.get(name))
    return f"{name} {old.get(name)}, and this run has {new.get(name)}"
