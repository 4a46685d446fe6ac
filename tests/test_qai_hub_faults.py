"""Every failure of the service, one line each: what comes of it, in one line, without a second job, and in time."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from fakes import some_facts
from hub_runs import DEPTH, graph, impatient, phone, ran, submissions, workload
from hubs import lead

from fidelity_gate import registry
from fidelity_gate.errors import ExitCode, NotMeasured, OutOfTime
from fidelity_gate.measuring.device_exchange import Call, Exchange
from fidelity_gate.models.onnx_options import Optimization
from fidelity_gate.models.onnx_session import Session
from fidelity_gate.records import ModelRecord
from fidelity_gate.simulated_hub import Fault, SimulatedHub
from fidelity_gate.simulated_hub.faults import KINDS

pytest.importorskip("qai_hub")

SECONDS = 60.0  # allowed to a run that is expected to be answered

# fault -> what the one line says, and how many jobs were submitted.
REQUESTS = {
    "unauthorized": ("does not accept the token", 0),
    "forbidden": ("refuses it (listing devices)", 0),
    "upgrade-required": ("this client is too old", 0),
    "server-error": ("did not answer (listing devices): Qualcomm AI Hub reported errors", 0),
    "unavailable": ("is unavailable right now", 0),
    "html": ("something that is not of it (listing devices), perhaps a login page", 0),
    "garbage-reply": ("DecodeError", 0),
    "rate-limited": ("takes no more requests for now", 1),
    "not-found": ("could not be found", 1),
}
UPLOADS = {
    "upload-refused": ("AccessDenied", 0),
    "upload-part-lost": ("the upload is not complete", 0),
    "upload-cut": ("the upload is not complete", 0),
    "no-etag": ("ETag not received", 0),
    "expired-dataset": ("is expired", 1),
}
COMPILING = {
    "failed-internal": ("the service's fault, INTERNAL_UNKNOWN: Internal error. (run again)", 1),
    "failed-model-invalid": ("the model's fault, MODEL_INVALID: The model could not be converted", 1),
    "failed-model-corrupt": ("the model's fault, MODEL_CORRUPT", 1),
    "failed-unsupported": ("the model's fault, UNSUPPORTED", 1),
    "failed-qnn-tool": ("the model's fault, QNN_TOOL_ERROR: QAIRT converter failed with exit code 1", 1),
    "failed-invalid-argument": ("the model's fault, INVALID_ARGUMENT", 1),
    "no-target-model": ("succeeded and made no model", 1),
    "wrong-runtime": ("of the type TFLITE, not one for onnx", 1),
    "wrong-device": ("not of Samsung Galaxy S24 (os 14) alone", 1),
    "wrong-os": ("not of Samsung Galaxy S24 (os 14) alone", 1),
    "wrong-model": ("it compiled another model", 1),
    "wrong-options": ("its options were", 1),
}
# These are told by the job that runs the model; the compiled model is there already.
RUNNING = {
    "failed-throttled": "the service's fault, CLOUD_THROTTLED: Too many requests to the device provider. (run again)",
    "failed-device-lost": "the service's fault, QDC_API_ERROR: Error uploading to QDC: status code=500 (run again)",
    "failed-cloud": "the service's fault, CLOUD_API_ERROR",
    "failed-service-busy": "the service's fault, RUNTIME_INTERNAL_SERVICE_BUSY",
    "failed-timeout": "the service's fault, RUNTIME_TIMEOUT: Job timed out after 8h",
    "failed-device-oom": "the model's fault, RUNTIME_DEVICE_OOM",
    "failed-invalid-inputs": "the model's fault, INVALID_INPUTS",
    "failed-out-of-memory": "failed, RUNTIME_OUT_OF_MEMORY: The host ran out of memory",
    "failed-crash": "failed, RUNTIME_CRASH: The application crashed on the device",
    "failed-qnn-version": "failed, QNN_VERSION_MISMATCH",
    "failed-unknown": "failed, UNKNOWN: no reason given",
    "no-profile": "the job gave no profile",
    "zero-time": "a run of 0 us, so it was not measured",
}
LEAVING = ("wrong-device", "wrong-model")  # of the job that runs the model too
ESTIMATE, PEAK = ("latency", {"statistic": "estimated"}), ("device_peak_memory", {"of": "inference"})
# The job ends as SUCCESS, and what it says is not enough: for which metric, and why.
SAYING = {
    "cpu-fallback": (("latency", {}), "was to run on the npu, and ran on the cpu"),
    "empty-profile": (ESTIMATE, "holds no inference time"),
    "missing-layers": (("latency", {}), "does not say which layers ran where"),
    "missing-memory": (PEAK, "holds no peak memory of the inference"),
    "missing-times": (("latency", {}), "holds no times of single runs"),
    "zero-memory": (PEAK, "holds no peak memory of the inference"),
    "zero-times": (ESTIMATE, "a run of 0 us, so it was not measured"),
}
# As above, of what it computed.
COMPUTING = {
    "fewer-outputs": "for 1 of 2 entries",
    "nan-outputs": "is not finite on the device",
    "no-outputs": "gave back no",
}
LOSING = ("lost-reply", "dropped-reply")
LASTING = ("no-reply", "never-ends", "unknown-state", "upload-dropped")
# What another test looks at: the first takes its time and ends well; wrong numbers are what fidelity is for; and the
# gate submits no quantize job.
ELSEWHERE = ("slow-job", "wrong-outputs", "failed-quantizer")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    impatient(monkeypatch)


def led(monkeypatch, tmp_path, *faults):
    listening = SimulatedHub(faults=faults)
    listening.start()
    lead(monkeypatch, listening.write_client_ini(tmp_path / "client.ini"))
    return listening


def one_line(error):
    told = str(error)
    assert "\n" not in told
    assert len(told) <= 200
    return told


@pytest.mark.parametrize("fault", sorted({**REQUESTS, **UPLOADS, **COMPILING}))
def test_a_failure_until_the_model_is_compiled_is_not_measured_in_one_line(monkeypatch, tmp_path, fault):
    line, jobs = {**REQUESTS, **UPLOADS, **COMPILING}[fault]
    listening = led(monkeypatch, tmp_path, fault)
    try:
        error = ran(phone(runs=5, timeout=SECONDS)).error
        assert line in one_line(error)
        assert error.exit_code is ExitCode.UNDECIDED
        assert submissions(listening) == jobs
        assert listening.token not in str(error)
    finally:
        listening.close()


@pytest.fixture(scope="module")
def compiled(tmp_path_factory):
    """A hub that holds the compiled model, for jobs that run it and fail."""
    with pytest.MonkeyPatch.context() as patch, SimulatedHub() as listening:
        impatient(patch)
        lead(patch, listening.write_client_ini(tmp_path_factory.mktemp("hub") / "client.ini"))
        listening.faults.add(Fault("failed-service-busy", times=1))
        assert "SERVICE_BUSY" in str(ran(phone(runs=5, timeout=SECONDS)).error)
        yield listening


@pytest.mark.parametrize("fault", sorted(RUNNING) + [f"running: {name}" for name in LEAVING])
def test_a_job_that_fails_on_the_device_or_is_not_the_one_that_was_asked_for_is_not_measured(compiled, fault):
    name = fault.removeprefix("running: ")
    line = RUNNING.get(name) or "is not what was asked: "
    # A question of its own for every failure, so that none is answered by another's job.
    asked = phone(runs=6 + sorted([*RUNNING, *LEAVING]).index(name), timeout=SECONDS)
    compiled.faults.clear()
    compiled.faults.add(Fault(name, times=1, on="inference"))
    before = submissions(compiled)
    error = ran(asked).error
    assert line in one_line(error)
    assert error.exit_code is ExitCode.UNDECIDED
    assert submissions(compiled) == before + 1


@pytest.mark.parametrize("fault", sorted(SAYING))
def test_a_profile_that_says_too_little_is_not_measured_in_one_line(compiled, fault):
    (metric, options), line = SAYING[fault]
    compiled.faults.clear()
    compiled.faults.add(Fault(fault, times=1, on="inference"))
    before = submissions(compiled)
    came = ran(phone(runs=60 + sorted(SAYING).index(fault), timeout=SECONDS))
    error = came.error or not_measured(came.run, metric, **options)
    assert line in one_line(error)
    assert error.exit_code is ExitCode.UNDECIDED
    assert submissions(compiled) == before + 1


def not_measured(run, metric, **options):
    """Return why a metric cannot be told of a run."""
    said = replace(run, device="s24", plug="qai_hub")
    record = ModelRecord("int8", some_facts("int8", file_format="onnx"), DEPTH, device_runs=(said,))
    with pytest.raises(NotMeasured) as caught:
        registry.build("metrics", metric, (("device", "s24"), *options.items())).measure(record, record)
    return caught.value


@pytest.mark.parametrize("fault", sorted(COMPUTING))
def test_outputs_that_are_not_those_of_all_entries_are_not_measured_in_one_line(compiled, fault):
    compiled.faults.clear()
    compiled.faults.add(Fault(fault, times=1, on="inference"))
    exchange = Exchange(Session(graph().data, Optimization.ALL, 1, ""))
    exchange.ask((Call(0, 1, 0), Call(0, 2, 0)))
    for step in (1, 2):
        exchange.at(0, step)
        exchange.run(graph().outputs, graph().feeds)
    feeds, outputs = exchange.entries()
    before = submissions(compiled)
    plug = phone(runs=80 + sorted(COMPUTING).index(fault), timeout=SECONDS)
    with pytest.raises(NotMeasured) as caught:
        exchange.take(plug.infer(workload(), feeds, outputs))
    assert COMPUTING[fault] in one_line(caught.value)
    assert submissions(compiled) == before + 1


def test_every_failure_that_the_simulated_service_knows_has_a_line_here():
    tables = (REQUESTS, UPLOADS, COMPILING, RUNNING, SAYING, COMPUTING, LOSING, LASTING, ELSEWHERE)
    assert {name for table in tables for name in table} == set(KINDS)


@pytest.mark.parametrize("fault", LOSING)
def test_a_lost_reply_makes_no_second_job(compiled, fault):
    asked = phone(runs=40 + len(fault), timeout=SECONDS)
    compiled.faults.clear()
    compiled.faults.add(Fault(fault, times=1))
    before, jobs = submissions(compiled), len(compiled.jobs)
    came = ran(asked)
    assert came.error is None
    assert came.run.job.id == compiled.jobs[-1].id
    assert submissions(compiled) == before + 1
    assert len(compiled.jobs) == jobs + 1


@pytest.mark.parametrize("what", ["model", "dataset"])
def test_a_job_that_cannot_be_compared_for_want_of_an_answer_is_not_made_again(compiled, what):
    asked = phone(runs=90 + len(what), timeout=SECONDS)
    compiled.faults.clear()
    assert ran(asked).error is None
    before = submissions(compiled)
    orders = {job.order.kind: job.order for job in compiled.jobs}  # the latest of each kind
    there = orders["compile"].model.id if what == "model" else orders["inference"].dataset.id
    compiled.faults.add(Fault("unavailable", on=f"GET {what}s/{there}"))  # a new one could be uploaded
    error = ran(asked).error
    compiled.faults.clear()
    assert error.exit_code is ExitCode.UNDECIDED
    assert "is unavailable right now" in one_line(error)
    assert submissions(compiled) == before
    assert ran(asked).error is None
    assert submissions(compiled) == before


def test_a_model_that_is_at_fault_is_told_again_and_costs_no_second_job(monkeypatch, tmp_path):
    listening = led(monkeypatch, tmp_path, Fault("failed-model-invalid", times=1))
    try:
        first, again = (ran(phone(runs=5, timeout=SECONDS)).error for _ in range(2))
        assert str(first) == str(again)
        assert submissions(listening) == 1
    finally:
        listening.close()


def test_a_job_that_failed_by_the_services_fault_is_made_again_by_the_next_run_only(monkeypatch, tmp_path):
    listening = led(monkeypatch, tmp_path, Fault("failed-internal", times=1))
    try:
        assert "the service's fault" in str(ran(phone(runs=5, timeout=SECONDS)).error)
        assert submissions(listening) == 1
        assert ran(phone(runs=5, timeout=SECONDS)).error is None
        assert submissions(listening) == 3
    finally:
        listening.close()


@pytest.mark.parametrize("fault", LASTING)
def test_nothing_lasts_longer_than_the_policy_allows(monkeypatch, tmp_path, fault):
    listening = led(monkeypatch, tmp_path, fault)
    before = time.monotonic()
    try:
        error = ran(phone(runs=5, timeout=1.5)).error
        assert isinstance(error, OutOfTime)
        assert one_line(error)
        assert submissions(listening) <= 1
        assert time.monotonic() - before < 20  # no figure: against waiting for ever
    finally:
        listening.close()
