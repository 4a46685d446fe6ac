"""A finished job of Qualcomm AI Hub -> a device run: what it says, what it really ran on, and how steps follow."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from fidelity_gate.devices import qai_hub_profile as profiles
from fidelity_gate.devices.qai_hub_asked import RUNTIME, UNIT
from fidelity_gate.devices.qai_hub_errors import SERVICE
from fidelity_gate.errors import NotMeasured
from fidelity_gate.records import DeviceJob, DeviceRun
from fidelity_gate.text import printable
from fidelity_gate.units import format_value

if TYPE_CHECKING:
    from fidelity_gate.devices.qai_hub_client import Hub
    from fidelity_gate.records import Depth, Options

_NAME_LIMIT, _OPTIONS_LIMIT, _TOOLS_SHOWN = 100, 400, 6


@dataclass(frozen=True, slots=True)
class Ran:
    """What a job ran.

    Attributes:
        runtime: that the model was compiled for.
        compiler: options of the compile job; "" where there was none.
        digest: SHA-256 of the step graph that was uploaded.
        simulated: whether no device ran it.
        compiled_bytes: size of the compiled model, where it was asked for.
    """

    runtime: str
    compiler: str
    digest: str
    simulated: bool
    compiled_bytes: int | None = None


def run_of(hub: Hub, job: Any, ran: Ran) -> DeviceRun:  # noqa: ANN401  (public_api_pb2.Job)
    """Return what a finished job says; times of runs only.

    Raises:
        NotMeasured: its profile is missing, or holds figures that cannot be.
    """
    told = job.inference_job
    job_id = str(told.inference_job_id)
    client_job = hub.ask("reading the job", lambda: hub.client.get_job(job_id))
    profile = hub.ask("fetching the profile", client_job.download_profile)
    try:
        seconds, found = profiles.profile_of(profile, ran.compiled_bytes)
    except NotMeasured as error:
        raise NotMeasured(f"job {job_id}: {error.what}", hint=hub.job_url(job_id)) from error
    told_job = _device_job(hub, told, ran)
    return DeviceRun(machine=_machine(hub, told_job), run_seconds=seconds, job=told_job, profile=found)


def with_steps(run: DeviceRun, runs_a_step: int, depth: Depth, host_seconds: float) -> DeviceRun:
    """Return the run with the seconds of steps and puzzles that follow from those of its runs.

    Args:
        run: of which single runs of the graph were timed.
        runs_a_step: runs of the graph that make one ACT step.
        depth: how deep the model runs.
        host_seconds: what the host adds to every run.
    """
    known = replace(run, runs_a_step=runs_a_step, host_seconds=host_seconds)
    steps = tuple(known.step_of(seconds) for seconds in run.run_seconds)
    added = f", and {format_value(host_seconds, 'seconds')} a run for the host, as stated" if host_seconds else ""
    told = f"{_counted(runs_a_step, 'run')} of the graph a step, {_counted(depth.steps, 'step')} a puzzle{added}"
    return replace(known, step_seconds=steps, puzzle_seconds=tuple(depth.steps * one for one in steps), told=told)


def options_of(text: str) -> dict[str, str]:
    """Return `--name value` pairs as the service writes options; a name without a value has ""."""
    found: dict[str, str] = {}
    name = ""
    for word in text.split():
        if word.startswith("--"):
            name, _, value = word.partition("=")
            found[name] = value
        elif name:
            found[name] = f"{found[name]} {word}".strip()
    return found


def _device_job(hub: Hub, told: Any, ran: Ran) -> DeviceJob:  # noqa: ANN401  (public_api_pb2.InferenceJob)
    profiler = options_of(told.options)
    unit = profiler.get(UNIT) or options_of(ran.compiler).get(UNIT) or "all"
    job_id = str(told.inference_job_id)
    return DeviceJob(
        id=printable(job_id, _NAME_LIMIT),
        url=printable(hub.job_url(job_id)),
        device=printable(told.device.name, _NAME_LIMIT),
        os=printable(told.device.os, _NAME_LIMIT),
        runtime=ran.runtime or options_of(ran.compiler).get(RUNTIME, ""),
        compute_unit=printable(unit, _NAME_LIMIT),
        model_digest=ran.digest,
        finished=_finished(told),
        simulated=ran.simulated,
        options=printable("; ".join(part for part in (ran.compiler, told.options) if part), _OPTIONS_LIMIT),
    )


def _machine(hub: Hub, job: DeviceJob) -> Options:
    facts: dict[str, str | int | float | bool | None] = {
        "compute_unit": job.compute_unit,
        "processor": job.device,
        "runtime": job.runtime,
        "service": f"simulated {SERVICE}" if job.simulated else SERVICE,
        "system": f"os {job.os}",
        "tools": _tools(hub, job.id),
    }
    return tuple(sorted((name, value) for name, value in facts.items() if value))


def _tools(hub: Hub, job_id: str) -> str:
    """Return the versions of the service's tools, which the client's dictionary of a profile leaves out."""
    try:
        result = hub.ask("reading the profile", lambda: hub.rest.get_job_results(hub.client.config, job_id))
    except NotMeasured:
        return ""
    versions = result.inference_job_result.detail.tool_versions
    return ", ".join(printable(f"{one.name} {one.version}", _NAME_LIMIT) for one in list(versions)[:_TOOLS_SHOWN])


def _finished(told: Any) -> str:  # noqa: ANN401  (public_api_pb2.InferenceJob)
    """Return when the job ended, ISO 8601 in UTC; when it was made, where the service does not say."""
    for name in ("completion_time", "last_updated_time", "creation_time"):
        if told.HasField(name):
            moment = datetime.fromtimestamp(getattr(told, name).seconds, tz=UTC)
            return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    return ""


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"
