"""What devices computed of single steps: how much, of which probes, on what, and in which jobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fidelity_gate.records import StepMode
from fidelity_gate.reports.html.figures import count_of
from fidelity_gate.reports.html.links import plain_link

if TYPE_CHECKING:
    from fidelity_gate.records import DeviceJob, DeviceSteps, MeasurementSet, ModelRecord

MOST = 40
MOST_JOBS = 8  # of one run
FROM = {
    StepMode.FORCED: "each from the reference's own carry",
    StepMode.FREE: "each from what the device itself gave the step before",
}


@dataclass(frozen=True, slots=True)
class Job:
    """One job of a service: `link` is "" where its address is nothing to follow."""

    text: str
    link: str


@dataclass(frozen=True, slots=True)
class Stepped:
    """Steps of one model on one device."""

    model: str
    device: str
    simulated: bool
    machine: str
    done: str
    jobs: tuple[Job, ...]
    more_jobs: int
    gap: str


@dataclass(frozen=True, slots=True)
class AllSteps:
    """All that are shown, and how many are not."""

    shown: tuple[Stepped, ...] = ()
    left_out: int = 0


def device_steps(measured: MeasurementSet | None) -> AllSteps:
    """Return what devices computed of every model."""
    models = (measured.reference, *measured.candidates) if measured else ()
    found = [(model, told) for model in models for told in model.device_steps]
    return AllSteps(tuple(_stepped(*one) for one in found[:MOST]), max(0, len(found) - MOST))


def _stepped(model: ModelRecord, told: DeviceSteps) -> Stepped:
    steps, probes = count_of(len(told.steps), "step"), count_of(len(told.rows), "probe")
    asked = "asked once" if told.requests == 1 else f"asked {told.requests:,} times"
    runs = count_of(told.entries, "run")
    return Stepped(
        model=model.name,
        device=told.wanted.device,
        simulated=any(job.simulated for job in told.jobs),
        machine=", ".join(f"{name} {value}" for name, value in told.machine),
        done="" if told.gap else f"{runs} of the graph: {steps} of {probes}, {FROM[told.wanted.mode]}; {asked}",
        jobs=tuple(Job(job_text(job), plain_link(job.url)) for job in told.jobs[:MOST_JOBS]),
        more_jobs=max(0, len(told.jobs) - MOST_JOBS),
        gap=told.gap,
    )


def job_text(job: DeviceJob) -> str:
    """Return what a job was, and where it ran."""
    told = (job.id, job.device, job.os, job.runtime, job.compute_unit, job.finished)
    return " \N{MIDDLE DOT} ".join(part for part in told if part)
