"""Waiting for a job of Qualcomm AI Hub: asked ever more seldom, until it has ended or time is up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from fidelity_gate.devices.qai_hub_errors import Throttled, Unanswered
from fidelity_gate.errors import NotMeasured, OutOfTime
from fidelity_gate.text import printable

if TYPE_CHECKING:
    from fidelity_gate.devices.qai_hub_client import Hub

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 10.0  # seconds between two looks; the client's own is 10
_LAST = 0.1  # seconds before the deadline in which no other look is begun
PATIENCE = 120.0  # seconds without any answer, after which nobody is there
RESUME = "fidelity-gate devices resume"
_DONE, _FAILED = "JOB_STATE_DONE", "JOB_STATE_FAILED"
# What failed because of the service, its devices or its provider: another try may end otherwise.
INFRASTRUCTURE = (
    "CLOUD_API_ERROR",
    "CLOUD_RESOURCE_MISSING",
    "CLOUD_THROTTLED",
    "INTERNAL_LOGIC",
    "INTERNAL_UNKNOWN",
    "QDC_API_ERROR",
    "RUNTIME_FAILED_DEPENDENCY",
    "RUNTIME_INTERNAL_SERVICE_BUSY",
    "RUNTIME_OUT_OF_DISK",
    "RUNTIME_TIMEOUT",
)
# What the model, its options or its inputs brought about: it fails again until one of them is changed. Of all else
# (a crash, a version that does not fit) nobody knows.
MODEL = (
    "INVALID_ARGUMENT",
    "INVALID_INPUTS",
    "MODEL_CORRUPT",
    "MODEL_INVALID",
    "MODEL_UNKNOWN",
    "QNN_TOOL_ERROR",
    "RUNTIME_DEVICE_OOM",
    "UNSUPPORTED",
)
_FAILURE, _STATE = "JOB_FAILURE_TYPE_", "JOB_STATE_"


class ModelAtFault(NotMeasured):
    """A job failed because of the model, its options or its inputs: it would fail again."""


def finished(hub: Hub, job_id: str, kind: str) -> Any:  # noqa: ANN401  (public_api_pb2.Job)
    """Return the message of a job that ended with success.

    Args:
        hub: the client, with its deadline.
        job_id: of the job.
        kind: what it does, for people: "compile", "profile".

    Raises:
        OutOfTime: it has not ended; the line says how to go on later.
        NotMeasured: it failed, with the service's reason; or nobody answers.
    """
    try:
        return _awaited(hub, job_id, kind)
    except BaseException as stop:
        if not isinstance(stop, Exception):  # Ctrl-C or SIGTERM: the job does not hear them
            stop.add_note(f"{kind} job {printable(job_id)} goes on ({RESUME} {job_id}; running again finds the job)")
        raise


def _awaited(hub: Hub, job_id: str, kind: str) -> Any:  # noqa: ANN401
    pause, silent_since = FIRST_PAUSE, None
    while True:
        try:
            job = _look(hub, job_id, kind)
        except (Unanswered, Throttled) as error:
            silent_since = silent_since or time.monotonic()
            if time.monotonic() - silent_since > PATIENCE:
                raise _left_behind(error, job_id) from error
        else:
            silent_since = None
            state = _state(hub, job)
            hub.say(f"{kind} job {printable(job_id)}: {state.removeprefix(_STATE).lower().replace('_', ' ')}")
            if state == _DONE:
                return job
            if state == _FAILED:
                raise failure(hub, job, job_id, kind)
        if hub.deadline.left <= _LAST:
            what = f"{kind} job {printable(job_id)} has not ended after {_minutes(hub.deadline.seconds)}"
            raise OutOfTime(what, hint=f"{RESUME} {job_id}, or a longer timeout; running again finds the job")
        time.sleep(min(pause, hub.deadline.left - _LAST / 2))
        pause = min(LONGEST_PAUSE, pause * 1.5)


def message(job: Any) -> Any:  # noqa: ANN401  (public_api_pb2: CompileJob, InferenceJob)
    """Return the part of a job's message that says what it is; None where it is of a kind of an older client."""
    kind = job.WhichOneof("job")
    return getattr(job, kind) if kind in ("compile_job", "inference_job") else None


def has_failed(hub: Hub, job: Any) -> bool:  # noqa: ANN401  (public_api_pb2.Job)
    """Return whether a job has ended without success."""
    return _state(hub, job) == _FAILED


def _look(hub: Hub, job_id: str, kind: str) -> Any:  # noqa: ANN401
    try:
        return hub.once(f"waiting for {kind} job {job_id}", lambda: hub.rest.get_job(hub.client.config, job_id))
    except OutOfTime as error:
        raise _left_behind(error, job_id) from error


def _left_behind(error: NotMeasured | OutOfTime, job_id: str) -> NotMeasured | OutOfTime:
    """Return the error with the way to go on: the job may well end."""
    return type(error)(error.what, hint=f"{RESUME} {job_id}; running again finds the job")


def _state(hub: Hub, job: Any) -> str:  # noqa: ANN401
    """Return the state's name; a state that this client does not know counts as running, as it does for the client."""
    told, states = message(job), hub.rest.api_pb.JobState
    if told is None:
        raise NotMeasured("is a job of a kind that this client cannot read", hint="run again, which makes a new one")
    return str(states.Name(told.job_state)) if told.job_state in states.values() else f"{_STATE}UNSPECIFIED"


def failure(hub: Hub, job: Any, job_id: str, kind: str) -> NotMeasured:  # noqa: ANN401
    """Return why a job failed, in the service's own words, and whose fault that is."""
    kinds = hub.rest.api_pb.JobFailureType
    code = str(kinds.Name(job.failure_type)) if job.failure_type in kinds.values() else str(job.failure_type)
    code = code.removeprefix(_FAILURE)
    reason = printable(message(job).failure_reason or "no reason given", 110)
    told = f"{kind} job {printable(job_id)} failed"
    if code in INFRASTRUCTURE:
        return NotMeasured(f"{told}: the service's fault, {code}: {reason}", hint="run again")
    if code in MODEL:
        return ModelAtFault(f"{told}: the model's fault, {code}: {reason}", hint="change it, or its options")
    return NotMeasured(f"{told}, {code}: {reason}", hint=f"its log: {hub.job_url(job_id)}")


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:g} min" if seconds >= 60 else f"{seconds:g} s"
