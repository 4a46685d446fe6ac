"""Records out of what the gate has at hand: a run's measurements, a job of the service, a profile with a word on it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fidelity_gate.device_records.saved import Origin, SaidDepth, SavedProfile
from fidelity_gate.errors import Refused
from fidelity_gate.records import DeviceProfile, Role

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.records import Depth, DeviceRun, MeasurementSet, ModelFacts, ModelRecord

RECORDED = "recorded"  # the plug that replays records: what it says was recorded before
_NARROW_BITS = 16  # below it a weight counts as quantized
_MATRIX = 2


@dataclass(frozen=True, slots=True)
class Named:
    """What people call a model whose profile is recorded."""

    model: str
    variant: str


@dataclass(frozen=True, slots=True)
class GivenFile:
    """A model's file, opened and hashed.

    Attributes:
        facts: what it holds.
        graph_digest: SHA-256 of the step graph alone; "" where the file is none.
    """

    facts: ModelFacts
    graph_digest: str


def from_measurements(measured: MeasurementSet, source: str) -> Iterator[SavedProfile]:
    """Yield a record for every model that a device service ran, the reference among them.

    Replayed records are left out, because they would come out younger and better bound than they are; so are runs on
    the host, which no job binds to a device.

    Args:
        measured: of one run.
        source: where it is from, for people.
    """
    for record in (measured.reference, *measured.candidates):
        for run in record.device_runs:
            if run.job is not None and run.plug != RECORDED and not run.gap:
                yield _of_run(record, run, measured.provenance.policy_name, source)


def from_job(run: DeviceRun, named: Named, file: GivenFile | None) -> SavedProfile:
    """Return the record of a job that was fetched by its id.

    Args:
        run: as the service tells it, its job known.
        named: what people call the model.
        file: the model's file, where somebody gave it; None: bound to the graph that was uploaded alone.

    Raises:
        Refused: the file that was given is not the one that was uploaded, or the run has no job.
    """
    if run.job is None:
        raise Refused("no job of a device service is behind this run")
    found = _bound(run, named, Origin.JOB, run.job.url or f"job {run.job.id}")
    if file is None:
        return replace(found, model_digest=run.job.model_digest)
    if file.graph_digest != run.job.model_digest:
        hint = f"uploaded: sha256 {run.job.model_digest[:16]}..."
        raise Refused(f"is not the file that job {run.job.id} ran", where=file.facts.path, hint=hint)
    return replace(_with_facts(found, file.facts), depth=_said(file.facts.depth))


def from_profile(
    profile: tuple[tuple[float, ...], DeviceProfile], bound: SavedProfile, file: GivenFile
) -> SavedProfile:
    """Return the record of a profile alone, bound by whoever recorded it.

    Args:
        profile: seconds of every run, and what else it says.
        bound: everything that the profile does not tell: device, runtime, date and the like.
        file: the model's file.
    """
    run_seconds, told = profile
    found = replace(bound, origin=Origin.BY_HAND, run_seconds=run_seconds, profile=told)
    return replace(_with_facts(found, file.facts), graph_digest=file.graph_digest, depth=_said(file.facts.depth))


def precision_of(facts: ModelFacts) -> str:
    """Return "float", or the width of the narrowest matrices of the recursive block: "int8", "4.25-bit"; "" unknown."""
    bits = [tensor.bits for tensor in facts.tensors if tensor.role is Role.BLOCK and len(tensor.shape) >= _MATRIX]
    if not bits:
        return ""
    narrowest = min(bits)
    if narrowest >= _NARROW_BITS:
        return "float"
    return f"int{narrowest:g}" if float(narrowest).is_integer() else f"{narrowest:g}-bit"


def smallest_side(facts: ModelFacts) -> int | None:
    """Return the smallest side of the recursive block's matrices; None where no such matrix is known."""
    sides = [min(one.shape) for one in facts.tensors if one.role is Role.BLOCK and len(one.shape) >= _MATRIX]
    return min(sides, default=None)


def _of_run(record: ModelRecord, run: DeviceRun, policy: str, source: str) -> SavedProfile:
    found = _bound(run, Named(policy, record.name), Origin.RUN, source)
    return replace(_with_facts(found, record.facts), depth=_said(record.depth))


def _bound(run: DeviceRun, named: Named, origin: Origin, source: str) -> SavedProfile:
    job = run.job
    if job is None:
        raise Refused("no job of a device service is behind this run")
    return SavedProfile(
        origin=origin,
        source=source,
        model=named.model,
        variant=named.variant,
        precision="",
        device=job.device,
        runtime=job.runtime,
        measured=job.finished,
        os=job.os,
        compute_unit=job.compute_unit,
        simulated=job.simulated,
        graph_digest=job.model_digest,
        runs_per_step=run.runs_a_step or None,
        job_id=job.id,
        job_url=job.url,
        options=job.options,
        tools=tuple((name, str(value)) for name, value in run.machine),
        run_seconds=run.run_seconds,
        host_seconds=run.host_seconds,
        profile=run.profile or DeviceProfile(),
    )


def _with_facts(record: SavedProfile, facts: ModelFacts) -> SavedProfile:
    return replace(
        record,
        model_digest=facts.digest,
        file_bytes=facts.size_bytes,
        precision=record.precision or precision_of(facts),
        tokens=record.tokens or (facts.geometry.tokens if facts.geometry else None),
        smallest_side=record.smallest_side or smallest_side(facts),
    )


def _said(depth: Depth | None) -> SaidDepth:
    return SaidDepth() if depth is None else SaidDepth(depth.h_cycles, depth.l_cycles, depth.steps)
