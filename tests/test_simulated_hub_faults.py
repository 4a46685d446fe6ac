"""Every failure of the simulated hub's list, as the real client meets it; no line of the list is without its test."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError

from fidelity_gate.errors import UsageError
from fidelity_gate.simulated_hub import Fault, Faults, SimulatedHub
from fidelity_gate.simulated_hub.faults import JOB, KINDS, REQUEST, UPLOAD
from tests.hubs import client_ini, hub, lead, tiny_inputs, tiny_model, tiny_outputs  # noqa: F401

if TYPE_CHECKING:
    from collections.abc import Callable


# ruff: noqa: F811  (fixtures)

pytestmark = pytest.mark.usefixtures("client_ini")


@pytest.fixture
def client() -> Any:
    from qai_hub.client import Client

    return Client()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_model(tmp_path)


def submit(client: Any, model: Any, **more: Any) -> Any:
    import qai_hub

    return client.submit_inference_job(model, qai_hub.Device("Samsung Galaxy S24"), retry=False, **more)


def posts(hub: SimulatedHub) -> int:
    return sum((seen.method, seen.path) == ("POST", "jobs/") for seen in hub.requests)


# ---------------------------------------------------------------- the list


def test_every_fault_of_the_list_is_tested_here() -> None:
    tested = {*REFUSALS, *LOST, *UPLOADS, *PROFILES, *OUTPUTS, *FOREIGN, *OTHERS}
    assert tested | {name for name, kind in KINDS.items() if kind.failure} == set(KINDS)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rate-limit", "did you mean rate-limited"),
        ("rate-limited:", "is no count"),
        ("rate-limited:0", "at least once"),
        ("rate-limited:-1", "is no count"),
        ("rate-limited:\u0663", "is no count"),
        ("", "no fault is named"),
    ],
)
def test_a_fault_that_is_not_in_the_list_is_refused(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        Fault.parse(text)


def test_faults_strike_as_often_as_they_say_and_each_where_it_belongs() -> None:
    faults = Faults(["server-error:2", Fault("unavailable", 1, on="POST models/"), "slow-job"])
    assert [faults.first(REQUEST, "GET devices/") for _ in range(3)] == ["server-error", "server-error", ""]
    assert faults.first(REQUEST, "POST models/") == "unavailable"
    assert faults.all(JOB, "compile") == faults.all(JOB, "inference") == {"slow-job"}
    assert faults.first(UPLOAD, "") == ""
    faults.clear()
    assert faults.all(JOB, "compile") == frozenset()


# ---------------------------------------------------------------- answers to requests

REFUSALS = {
    "unauthorized": ("UserError", "Failed to authenticate"),
    "forbidden": ("UserError", "simulated fault: forbidden"),
    "upgrade-required": ("UserError", "too old"),
    "server-error": ("InternalError", "reported errors"),
    "unavailable": ("InternalError", "unavailable right now"),
    "html": ("APIException", "status code 200"),
    "garbage-reply": ("DecodeError", ""),
}


@pytest.mark.parametrize("name", sorted(REFUSALS))
def test_a_fault_replaces_every_answer(client: Any, hub: SimulatedHub, name: str) -> None:
    import qai_hub
    from qai_hub.public_rest_api import APIException

    kinds = {"UserError": qai_hub.UserError, "InternalError": qai_hub.InternalError, "APIException": APIException}
    kind, words = REFUSALS[name]
    hub.faults.add(name)
    with pytest.raises(kinds.get(kind, DecodeError)) as caught:
        client.get_devices()
    assert words in " ".join(str(caught.value).replace("|", " ").split())
    hub.faults.clear()
    assert client.get_devices()


def test_a_job_that_is_not_found(client: Any, hub: SimulatedHub, model: Path) -> None:
    import qai_hub

    job = submit(client, str(model))
    hub.faults.add("not-found:1")
    with pytest.raises(qai_hub.UserError, match="could not be found"):
        client.get_job(job.job_id)
    assert client.get_job(job.job_id).job_id == job.job_id


def test_a_submission_is_throttled_once_n_times_and_for_ever(client: Any, hub: SimulatedHub, model: Path) -> None:
    from qai_hub.client import RateLimitedError

    uploaded = client.upload_model(str(model))
    hub.faults.add("rate-limited:1")
    assert submit(client, uploaded).wait(timeout=60).success  # the client itself tries again
    hub.faults.add("rate-limited:2")
    with pytest.raises(RateLimitedError):
        submit(client, uploaded)
    assert submit(client, uploaded).wait(timeout=60).success
    hub.faults.add("rate-limited")
    for _ in range(2):
        with pytest.raises(RateLimitedError):
            submit(client, uploaded)
    assert len(hub.jobs) == 2


LOST = ("lost-reply", "dropped-reply")


@pytest.mark.parametrize("name", LOST)
def test_a_lost_answer_leaves_a_job_and_the_client_submits_another(
    client: Any, hub: SimulatedHub, model: Path, name: str
) -> None:
    uploaded = client.upload_model(str(model))
    hub.faults.add(f"{name}:1")
    job = submit(client, uploaded, name="by-digest")
    assert (posts(hub), len(hub.jobs)) == (2, 2)
    assert [one.name for one in client.get_job_summaries()] == ["by-digest", "by-digest"]
    assert job.job_id == hub.jobs[1].id


@pytest.mark.parametrize("name", LOST)
def test_a_lost_answer_without_retries_leaves_one_job_to_be_found_by_its_name(
    client: Any, hub: SimulatedHub, model: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import qai_hub
    from qai_hub.util import session

    uploaded = client.upload_model(str(model))
    monkeypatch.setattr(session, "MAX_RETRIES", 0)
    hub.faults.add(f"{name}:1")
    with pytest.raises(qai_hub.InternalError):
        submit(client, uploaded, name="by-digest")
    assert posts(hub) == 1
    assert [one.name for one in client.get_job_summaries()] == ["by-digest"]


def test_a_request_that_is_never_answered(hub: SimulatedHub) -> None:
    hub.faults.add("no-reply")
    request = urllib.request.Request(f"{hub.url}api/v1/devices/", headers={"Authorization": f"token {hub.token}"})  # noqa: S310
    with pytest.raises((socket.timeout, urllib.error.URLError)):
        urllib.request.urlopen(request, timeout=0.3)  # noqa: S310
    assert [seen.status for seen in hub.requests] == [0]


def test_another_token_is_refused(client: Any, hub: SimulatedHub) -> None:
    import qai_hub

    client.config.api_token = hub.token[:-1] + "x"
    with pytest.raises(qai_hub.UserError, match="authenticate"):
        client.get_devices()


# ---------------------------------------------------------------- uploads

UPLOADS = {
    "upload-refused": ("UserError", "Access Denied"),
    "upload-part-lost": ("UserError", "part 1 of 3 is missing"),
    "upload-cut": ("UserError", "part 1 of 3 has"),
    "no-etag": ("AssertionError", "ETag"),
    "upload-dropped": ("", ""),
    "expired-dataset": ("", ""),
}


@pytest.mark.parametrize("name", [name for name, (kind, _) in sorted(UPLOADS.items()) if kind])
def test_a_partial_upload_is_refused_and_its_model_cannot_be_used(
    name: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import qai_hub
    from qai_hub.client import Client

    kind, words = UPLOADS[name]
    with SimulatedHub(faults=[f"{name}:1"], part_bytes=1 + model.stat().st_size // 3) as small:
        lead(monkeypatch, small.write_client_ini(tmp_path / "small.ini"))
        client = Client()
        with pytest.raises(qai_hub.UserError if kind == "UserError" else AssertionError, match=words):
            client.upload_model(str(model))
        assert client.get_models() == []
        left = client.get_model(next(seen.path for seen in small.requests if "multipart" in seen.path).split("/")[1])
        with pytest.raises(qai_hub.UserError, match="not uploaded completely"):
            submit(client, left)


def test_a_connection_that_drops_in_an_upload_is_tried_again(client: Any, hub: SimulatedHub, model: Path) -> None:
    hub.faults.add("upload-dropped:1")
    uploaded = client.upload_model(str(model))
    assert [seen.status for seen in hub.requests if seen.method == "PUT"] == [0, 200]
    assert submit(client, uploaded).wait(timeout=60).success


def test_a_dataset_that_has_expired_cannot_be_used(client: Any, hub: SimulatedHub, model: Path) -> None:
    import qai_hub

    hub.faults.add("expired-dataset:1")
    dataset = client.upload_dataset(tiny_inputs(1))
    with pytest.raises(qai_hub.UserError, match="expired"):
        submit(client, str(model), inputs=dataset)


# ---------------------------------------------------------------- jobs that fail


@pytest.mark.parametrize("name", sorted(name for name, kind in KINDS.items() if kind.failure))
def test_a_job_fails_with_the_type_and_the_reason_of_the_service(
    client: Any, hub: SimulatedHub, model: Path, name: str
) -> None:
    from qai_hub import public_api_pb2, public_rest_api

    kind = KINDS[name]
    hub.faults.add(f"{name}:1")
    job = _job_of_kind(client, model, kind.on)
    status = job.wait(timeout=60)
    assert (status.failure, status.message) == (True, kind.reason)
    told = public_rest_api.get_job(client.config, job.job_id).failure_type
    assert told == public_api_pb2.JobFailureType.Value(kind.failure)
    if kind.on == "inference":
        assert (job.download_profile(), job.download_output_data()) == ({}, None)  # no exception: the client fails open
        assert submit(client, job.model).wait(timeout=60).success


def _job_of_kind(client: Any, model: Path, kind: str) -> Any:
    import qai_hub

    if kind == "compile":
        return client.submit_compile_job(str(model), qai_hub.Device("Samsung Galaxy S24"))
    if kind == "quantize":
        return client.submit_quantize_job(str(model), tiny_inputs(1))
    return submit(client, str(model))


# ---------------------------------------------------------------- jobs that succeed and are wrong

PROFILES: dict[str, Callable[[dict[str, Any], list[Any]], bool]] = {
    "zero-times": lambda s, _: set(s["all_inference_times"]) == {0} and s["estimated_inference_time"] == 0,
    "zero-time": lambda s, _: sorted(s["all_inference_times"])[:2][0] == 0 < sorted(s["all_inference_times"])[1],
    "missing-times": lambda s, _: s["all_inference_times"] == [] and s["estimated_inference_time"] > 0,
    "zero-memory": lambda s, _: (
        s["inference_memory_peak_range"] == (0, 0) and s["estimated_inference_peak_memory"] == 0
    ),
    "missing-memory": lambda s, _: s["inference_memory_peak_range"] is None,
    "missing-layers": lambda s, layers: layers == [] and s["estimated_inference_time"] > 0,
    "empty-profile": lambda s, layers: layers == [] and s["estimated_inference_time"] == 0,
    "cpu-fallback": lambda s, layers: {layer["compute_unit"] for layer in layers} == {"CPU"},
}


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_a_profile_of_a_job_that_succeeded_is_wrong(client: Any, hub: SimulatedHub, model: Path, name: str) -> None:
    uploaded = client.upload_model(str(model))
    right, wrong = PROFILES[name], submit(client, uploaded).download_profile()
    assert not right(wrong["execution_summary"], wrong["execution_detail"])
    hub.faults.add(f"{name}:1")
    job = submit(client, uploaded)
    assert job.wait(timeout=60).success
    profile = job.download_profile()
    assert right(profile["execution_summary"], profile["execution_detail"])


OUTPUTS: dict[str, Callable[[Any, list[Any]], bool]] = {
    "no-outputs": lambda made, expected: made is None,
    "nan-outputs": lambda made, expected: len(made) == 2 and all(np.isnan(one).sum() == 1 for one in made),
    "fewer-outputs": lambda made, expected: len(made) == 1 and np.array_equal(made[0], expected[0]),
    "wrong-outputs": lambda made, expected: np.array_equal(np.array(made), np.array(expected) + 1),
}


@pytest.mark.parametrize("name", sorted(OUTPUTS))
def test_outputs_of_a_job_that_succeeded_are_wrong(client: Any, hub: SimulatedHub, model: Path, name: str) -> None:
    inputs = tiny_inputs(2)
    hub.faults.add(f"{name}:1")
    job = submit(client, str(model), inputs=inputs)
    assert job.wait(timeout=60).success, job.get_status().message
    outputs = job.download_output_data()
    assert OUTPUTS[name](outputs and outputs["y"], tiny_outputs(model, inputs))


FOREIGN: dict[str, Callable[[Any, Any], bool]] = {
    "wrong-device": lambda told, asked: told.device.name != asked.device.name,
    "wrong-os": lambda told, asked: told.device.os != "14",
    "wrong-model": lambda told, asked: told.model.model_id != asked.model.model_id,
    "wrong-options": lambda told, asked: told.options != asked.options,
}


@pytest.mark.parametrize("name", sorted(FOREIGN))
def test_a_job_says_that_it_ran_something_else(client: Any, hub: SimulatedHub, model: Path, name: str) -> None:
    uploaded = client.upload_model(str(model))
    sound = submit(client, uploaded, options="--compute_unit npu")
    assert not FOREIGN[name](client.get_job(sound.job_id), sound)
    hub.faults.add(f"{name}:1")
    job = submit(client, uploaded, options="--compute_unit npu")
    assert job.wait(timeout=60).success
    assert FOREIGN[name](client.get_job(job.job_id), job)


# ---------------------------------------------------------------- the others, one by one

OTHERS = (
    *("not-found", "rate-limited", "no-reply"),
    *("slow-job", "never-ends", "unknown-state", "no-profile", "wrong-runtime", "no-target-model"),
)


@pytest.mark.parametrize(("name", "code"), [("never-ends", "PROVISIONING_DEVICE"), ("unknown-state", "UNSPECIFIED")])
def test_a_job_that_never_ends_keeps_nobody_from_the_next(
    client: Any, hub: SimulatedHub, model: Path, name: str, code: str
) -> None:
    uploaded = client.upload_model(str(model))
    hub.faults.add(f"{name}:1")
    job = submit(client, uploaded)
    with pytest.raises(TimeoutError):
        job.wait(timeout=0.25)
    assert (job.get_status().code, job.get_status().running) == (code, True)
    assert submit(client, uploaded).wait(timeout=60).success


def test_a_model_of_a_job_that_never_ends_is_never_run(client: Any, hub: SimulatedHub, model: Path) -> None:
    hub.faults.add("never-ends:1")
    compiled = _job_of_kind(client, model, "compile")
    job = submit(client, compiled.get_target_model())
    with pytest.raises(TimeoutError):
        job.wait(timeout=0.25)


def test_a_slow_job_takes_its_time(client: Any, hub: SimulatedHub, model: Path) -> None:
    hub.faults.add("slow-job:1")
    job = submit(client, str(model))
    with pytest.raises(TimeoutError):
        job.wait(timeout=0.25)
    assert hub.jobs[0].ends - hub.jobs[0].began == pytest.approx(5.0)


def test_a_job_that_succeeded_has_no_profile(client: Any, hub: SimulatedHub, model: Path) -> None:
    hub.faults.add("no-profile:1")
    job = submit(client, str(model))
    assert job.wait(timeout=60).success
    assert job.download_profile() == {}


def test_a_compiled_model_is_for_another_runtime_or_is_none(client: Any, hub: SimulatedHub, model: Path) -> None:
    import qai_hub

    hub.faults.add("wrong-runtime:1", Fault("no-target-model", 1))
    device = qai_hub.Device("Samsung Galaxy S24")
    job = client.submit_compile_job(str(model), device, options="--target_runtime onnx")
    assert job.wait(timeout=60).success
    assert job.get_target_model() is None
    hub.faults.add("wrong-runtime:1")
    job = client.submit_compile_job(str(model), device, options="--target_runtime onnx")
    assert job.get_target_model().model_type is qai_hub.SourceModelType.TFLITE


def test_the_page_lists_every_fault() -> None:
    page = (Path(__file__).resolve().parents[1] / "docs" / "simulated-hub.md").read_text()
    missing = [name for name, kind in KINDS.items() if f"| `{name}` |" not in page or f"| {kind.text} |" not in page]
    assert missing == []
