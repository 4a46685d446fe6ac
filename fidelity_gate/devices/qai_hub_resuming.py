"""A job of Qualcomm AI Hub that was left behind, fetched by its id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fidelity_gate.devices import qai_hub_models as models
from fidelity_gate.devices import qai_hub_waiting as waiting
from fidelity_gate.devices.qai_hub_asked import MODEL_TYPES, RUNTIME
from fidelity_gate.devices.qai_hub_client import connect
from fidelity_gate.devices.qai_hub_finding import Listed
from fidelity_gate.devices.qai_hub_names import digest_in
from fidelity_gate.devices.qai_hub_reading import Ran, options_of, run_of, with_steps
from fidelity_gate.errors import GateError, NotMeasured, UsageError
from fidelity_gate.files import sha256_hex
from fidelity_gate.graphs.reading import read_graph
from fidelity_gate.graphs.step_metadata import step_metadata

if TYPE_CHECKING:
    from collections.abc import Callable

    from fidelity_gate.devices.qai_hub_client import Hub
    from fidelity_gate.records import DeviceRun

PATIENCE = 1800.0  # seconds
_LONGEST_ID = 64


def resume(
    job_id: str, *, timeout: float = PATIENCE, compiled: bool = False, tell: Callable[[str], None] | None = None
) -> DeviceRun:
    """Return what a job says once it has ended: its times, its profile, and what it really ran on.

    Nothing is submitted. The model's digest is that of the file that was uploaded, which is fetched again to be hashed.

    Args:
        job_id: of a job that profiled a model; it is in the line that told of the timeout.
        timeout: seconds to wait.
        compiled: fetch the compiled model too, for its size.
        tell: takes what the wait is waiting for.

    Returns:
        A run whose `machine`, `run_seconds`, `profile` and `job` are known; `step_seconds` and `puzzle_seconds` where
        the model's file says how many runs make them. `device` and `plug` are left empty.

    Raises:
        UsageError: this can be no id.
        NotMeasured: no client, no such job, a job that failed (with the service's reason), or a profile that says too
            little.
        OutOfTime: it has not ended yet.
    """
    if not (job_id.isascii() and job_id.isalnum() and len(job_id) <= _LONGEST_ID):
        raise UsageError("is no id of a job", field="JOB", hint="letters and digits, like jabc123")
    hub = connect(timeout, tell=tell)
    # Asked once before the wait: a wrong id is told at once.
    hub.ask(f"looking at job {job_id}", lambda: hub.rest.get_job(hub.client.config, job_id))
    job = waiting.finished(hub, job_id, "AI Hub")
    if job.WhichOneof("job") == "compile_job":
        what = f"job {job_id} compiled a model, and nothing has run yet"
        raise NotMeasured(what, hint="run the gate again: it finds the job and goes on from there")
    return _run(hub, job, compiled=compiled)


def _run(hub: Hub, job: Any, *, compiled: bool) -> DeviceRun:  # noqa: ANN401  (public_api_pb2.Job)
    told = job.inference_job
    model = hub.ask("looking at the model", lambda: hub.client.get_model(told.model.model_id))
    producer = hub.ask("looking at the compile job", model.get_producer)
    source = producer.model if producer is not None and hasattr(producer, "model") else model
    data = models.stored_file(hub, source)
    digest, claimed = sha256_hex(data), digest_in(source.name)
    if claimed and claimed != digest:
        raise NotMeasured(f"the file of model {source.model_id} is not the one that its name says (SHA-256 {digest})")
    ran = Ran(
        runtime=_runtime(producer, model),
        compiler=producer.options if producer is not None else "",
        digest=digest,
        simulated=hub.simulated or Listed("", "", tuple(told.device.attributes)).simulated,
        compiled_bytes=models.stored_size(hub, model) if compiled else None,
    )
    return _stepped(run_of(hub, job, ran), data)


def _runtime(producer: Any, model: Any) -> str:  # noqa: ANN401  (qai_hub: CompileJob, Model)
    """Return the runtime as the compile job says, or as the model's type tells."""
    named = options_of(producer.options).get(RUNTIME, "") if producer is not None else ""
    kinds = [runtime for runtime, types in MODEL_TYPES.items() if model.model_type.name in types]
    return named or (kinds[0] if kinds else model.model_type.name.lower())


def _stepped(run: DeviceRun, data: bytes) -> DeviceRun:
    """Return the run with steps and puzzles, where the uploaded file is an export that says what one run is."""
    try:
        told = step_metadata(read_graph(data, "the uploaded model").metadata)
    except GateError:  # a model that is no step graph has times all the same
        return run
    if told is None:
        return run
    return with_steps(run, told.runs // told.depth.steps, told.depth, host_seconds=0.0)
