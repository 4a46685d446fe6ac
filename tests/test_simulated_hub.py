"""The simulated hub through the real, unmodified client: devices, uploads, datasets, jobs, results, lists."""

from __future__ import annotations

import dataclasses
import json
import time
import urllib.request
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest

from fidelity_gate.simulated_hub import Latency, Replay, SimulatedHub
from fidelity_gate.simulated_hub.replay import read_replay
from tests.hubs import client_ini, hub, lead, tiny_inputs, tiny_model, tiny_outputs  # noqa: F401

if TYPE_CHECKING:
    from pathlib import Path

S24 = "Samsung Galaxy S24"
pytestmark = pytest.mark.usefixtures("client_ini")


@pytest.fixture
def client() -> Any:
    from qai_hub.client import Client

    return Client()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_model(tmp_path)


def device(name: str = S24, os: str = "") -> Any:
    import qai_hub

    return qai_hub.Device(name, os)


def profiled(client: Any, model: Any, **more: Any) -> Any:
    job = client.submit_inference_job(model, device(), **more)
    assert job.wait(timeout=60).success, job.get_status().message
    return job


# ---------------------------------------------------------------- devices


def test_every_device_is_marked_as_simulated(client: Any, hub: SimulatedHub) -> None:  # noqa: F811
    devices = client.get_devices()
    assert S24 in {one.name for one in devices}
    assert all("vendor:simulated" in one.attributes for one in devices)
    assert [(seen.method, seen.path, seen.status) for seen in hub.requests] == [("GET", "devices/", 200)]


@pytest.mark.parametrize(
    ("name", "os", "attributes", "found"),
    [
        ("Samsung Galaxy S22 5G", "", [], ["12", "13"]),
        ("Samsung Galaxy S22 5G", "13", [], ["13"]),
        ("Samsung Galaxy S22 5G", "[,13)", [], ["12"]),
        ("Samsung Galaxy S22 5G", "[13,)", [], ["13"]),
        ("samsung galaxy s24", "", [], []),
        (S24, "15", [], []),
        ("", "", ["os:linux"], ["1.6"]),
        ("", "", ["os:linux", "format:phone"], []),
    ],
)
def test_devices_are_filtered_by_the_server(
    client: Any, name: str, os: str, attributes: list[str], found: list[str]
) -> None:
    assert [one.os for one in client.get_devices(name, os, attributes)] == found


def test_an_ambiguous_name_selects_one_device_and_an_unknown_one_none(client: Any, model: Path) -> None:
    import qai_hub

    assert client._get_device(device("Samsung Galaxy S22 5G")).os == "12"
    with pytest.raises(qai_hub.UserError, match="not available"):
        client.submit_inference_job(str(model), device("Samsung Galaxy S42"))


def test_frameworks_and_user_are_told(client: Any) -> None:
    from qai_hub import public_rest_api

    assert {framework.name for framework in client.get_frameworks()} >= {"ONNX", "QAIRT"}
    assert public_rest_api.get_auth_user(client.config).first_name == "Simulated"


# ---------------------------------------------------------------- the whole path


def test_an_onnx_model_is_compiled_run_and_profiled(client: Any, model: Path, tmp_path: Path) -> None:
    compiled = client.submit_compile_job(str(model), device(), options="--target_runtime onnx", name="digest-1")
    target = compiled.get_target_model()
    assert target is not None
    assert target.name.startswith("simulated_")
    inputs = tiny_inputs(3)
    job = profiled(client, target, inputs=inputs, name="digest-2", options="--compute_unit npu")
    made = job.download_output_data()["y"]
    assert np.array_equal(made, tiny_outputs(model, inputs))
    profile = job.download_profile()
    summary = profile["execution_summary"]
    assert len(summary["all_inference_times"]) == 100
    assert min(summary["all_inference_times"]) == summary["estimated_inference_time"] > 0
    low, high = summary["inference_memory_peak_range"]
    assert 0 < low < high < summary["estimated_inference_peak_memory"]
    assert [layer["compute_unit"] for layer in profile["execution_detail"]] == ["NPU"] * 3
    assert summary["first_load_time"] > summary["warm_load_time"] > 0
    assert (tmp_path / "tiny.onnx").read_bytes() == _fetched(target, tmp_path / "compiled.onnx")
    assert "/simulated/jobs/" in job.url
    again = client.get_job(job.job_id)
    assert "simulated by fidelity-gate" in again.hub_version
    assert (again.device.os, again.name, again.shapes) == ("14", "digest-2", {"x": ((4, 16), "float32")})
    job.download_results(str(tmp_path / "results"))
    assert {path.suffix for path in (tmp_path / "results").iterdir()} == {".h5", ".json", ".log"}
    assert "simulated" in next((tmp_path / "results").glob("*.hub.log")).read_text()


def _fetched(target: Any, path: Path) -> bytes:
    target.download(str(path))
    return path.read_bytes()


def test_a_model_compiled_for_another_runtime_says_what_it_is_and_still_runs(
    client: Any, model: Path, tmp_path: Path
) -> None:
    inputs = tiny_inputs(1)
    compiled = client.submit_compile_job(str(model), device(), options="--target_runtime tflite")
    job = profiled(client, compiled.get_target_model(), inputs=inputs, profile=False)
    assert np.array_equal(job.download_output_data()["y"], tiny_outputs(model, inputs))
    assert job.download_profile() == {}
    held = _fetched(compiled.get_target_model(), tmp_path / "model.tflite")
    assert held.startswith(b"simulated by fidelity-gate: no compiled model")
    assert model.read_bytes() in held


def test_a_quantize_job_really_quantizes(client: Any, model: Path, tmp_path: Path) -> None:
    inputs = tiny_inputs(4)
    job = client.submit_quantize_job(str(model), inputs)
    assert job.wait(timeout=60).success, job.get_status().message
    made = onnx.load_from_string(_fetched(job.get_target_model(), tmp_path / "quantized.onnx"))
    assert {tensor.data_type for tensor in made.graph.initializer if len(tensor.dims) == 2} == {onnx.TensorProto.INT8}
    assert any(item.key == "simulated_by" for item in made.metadata_props)
    outputs = profiled(client, job.get_target_model(), inputs=inputs).download_output_data()["y"]
    expected = np.array(tiny_outputs(model, inputs))
    assert 0 < np.abs(np.array(outputs) - expected).max() < 0.05 * np.abs(expected).max()


def test_a_model_in_several_parts_arrives_whole(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from qai_hub.client import Client

    with SimulatedHub(part_bytes=1000) as small:
        lead(monkeypatch, small.write_client_ini(tmp_path / "small.ini"))
        uploaded = Client().upload_model(str(model))
        assert sum(seen.method == "PUT" for seen in small.requests) == -(-model.stat().st_size // 1000) > 2
        assert _fetched(uploaded, tmp_path / "back.onnx") == model.read_bytes()
        assert Client().get_model(uploaded.model_id).input_spec[None][0].shape == (4, 16)


def test_models_jobs_and_datasets_are_listed_newest_first_and_jobs_by_name(client: Any, model: Path) -> None:
    from qai_hub.client import JobStatus, JobType

    first, second = client.upload_model(str(model)), client.upload_model(str(model), name="b/../c.onnx")
    assert [one.model_id for one in client.get_models()] == [second.model_id, first.model_id]
    assert [one.model_id for one in client.get_models(offset=1, limit=1)] == [first.model_id]
    assert second.name == "b/../c.onnx"
    assert client.get_model(second.model_id).name == "b_.._c.onnx"
    jobs = [profiled(client, first, name=f"digest-{place}") for place in range(3)]
    compiled = client.submit_compile_job(first, device())
    compiled.wait()
    found = client.get_job_summaries(type=JobType.INFERENCE, state=JobStatus.State.SUCCESS)
    assert [one.name for one in found] == ["digest-2", "digest-1", "digest-0"]
    assert (
        found[0].estimated_inference_time == jobs[2].download_profile()["execution_summary"]["estimated_inference_time"]
    )
    assert client.get_job_summaries(state=JobStatus.State.FAILED) == []
    assert [one.job_id for one in client.get_job_summaries(limit=1)] == [compiled.job_id]
    jobs[0].set_name("renamed")
    assert client.get_job(jobs[0].job_id).name == "renamed"


def test_a_dataset_comes_back_as_it_was_and_can_be_used_again(client: Any, model: Path) -> None:
    inputs = tiny_inputs(2)
    dataset = client.upload_dataset(inputs, name="carries")
    back = client.get_dataset(dataset.dataset_id)
    assert not back.is_expired()
    assert np.array_equal(back.download()["x"], inputs["x"])
    job = profiled(client, str(model), inputs=back, profile=False)
    assert len(job.download_output_data()["y"]) == 2
    assert client.get_job(job.job_id).inputs.name == "carries"


# ---------------------------------------------------------------- what cannot work


@pytest.mark.parametrize(
    ("content", "options", "failure"),
    [
        (b"no model", "", "MODEL_INVALID"),
        (None, "--target_runtime onnxx", "INVALID_ARGUMENT"),
    ],
)
def test_a_compile_job_that_cannot_work_fails_with_a_reason(
    client: Any, model: Path, content: bytes | None, options: str, failure: str
) -> None:
    from qai_hub import public_api_pb2, public_rest_api

    if content is not None:
        model.write_bytes(content)
    job = client.submit_compile_job(str(model), device(), options=options)
    status = job.wait(timeout=60)
    assert status.failure
    assert status.message
    kind = public_rest_api.get_job(client.config, job.job_id).failure_type
    assert public_api_pb2.JobFailureType.Name(kind) == f"JOB_FAILURE_TYPE_{failure}"


@pytest.mark.parametrize("inputs", [{"z": [np.zeros((4, 16), np.float32)]}, {"x": [np.zeros((4, 16), np.int32)]}])
def test_inputs_that_do_not_fit_the_model_fail_the_job(client: Any, model: Path, inputs: dict[str, Any]) -> None:
    job = client.submit_inference_job(str(model), device(), inputs=inputs)
    status = job.wait(timeout=60)
    assert status.failure
    assert "the model takes" in status.message
    assert job.download_profile() == {}


def test_a_job_on_the_model_of_a_failed_job_fails_as_well(client: Any, model: Path, hub: SimulatedHub) -> None:  # noqa: F811
    hub.faults.add("failed-qnn-tool")
    compiled = client.submit_compile_job(str(model), device(), options="--target_runtime onnx")
    status = client.submit_inference_job(compiled.get_target_model(), device()).wait(timeout=60)
    assert status.failure
    assert compiled.job_id in status.message


# ---------------------------------------------------------------- times


def test_a_job_goes_through_its_states_in_the_seconds_it_is_given(
    client: Any, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qai_hub.client import Client

    with SimulatedHub(job_seconds=1.0) as slow:
        lead(monkeypatch, slow.write_client_ini(tmp_path / "slow.ini"))
        start = time.monotonic()
        job = Client().submit_inference_job(str(model), device())
        seen = [job.get_status().code]
        while seen[-1] not in ("SUCCESS", "FAILED"):
            time.sleep(0.05)
            code = job.get_status().code
            seen += [code] if code != seen[-1] else []
        assert seen == ["CREATED", "PROVISIONING_DEVICE", "MEASURING_PERFORMANCE", "SUCCESS"]
        assert time.monotonic() - start >= 1.0


def test_equal_jobs_have_equal_times_and_another_device_has_others(client: Any, model: Path) -> None:
    uploaded = client.upload_model(str(model))
    times = [profiled(client, uploaded).download_profile() for _ in range(2)]
    assert times[0] == times[1]
    job = client.submit_inference_job(uploaded, device("Dragonwing RB3 Gen 2 Vision Kit"))
    assert job.download_profile()["execution_summary"]["all_inference_times"][0] > 2 * _first(times[0])


def _first(profile: dict[str, Any]) -> int:
    return int(profile["execution_summary"]["all_inference_times"][0])


def test_an_operator_that_the_npu_lacks_runs_on_the_cpu_and_costs(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qai_hub.client import Client

    latency = Latency(cpu_operators=("Relu",), jitter=0.0, runs=5)
    with SimulatedHub(latency=latency) as other:
        lead(monkeypatch, other.write_client_ini(tmp_path / "cpu.ini"))
        profile = profiled(Client(), str(model)).download_profile()
        assert [layer["compute_unit"] for layer in profile["execution_detail"]] == ["NPU", "CPU", "NPU"]
        assert len(set(profile["execution_summary"]["all_inference_times"])) == 1
        assert _first(profile) >= latency.overhead_us + 2 * latency.switch_us
        on_cpu = profiled(Client(), str(model), options="--compute_unit cpu").download_profile()
        assert {layer["compute_unit"] for layer in on_cpu["execution_detail"]} == {"CPU"}


ROW = {
    "model": "tiny",
    "device": S24,
    "runtime": "onnx",
    "precision": "float",
    "inference_time_ms": 30.5,
    "peak_mb": [0, 12],
    "unit": "NPU",
    "layers": {"total": 7, "npu": 5, "cpu": 2},
}


def test_a_recorded_profile_is_replayed_where_it_fits_the_job(
    client: Any, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qai_hub.client import Client

    replay = _replay(tmp_path, [ROW, ROW | {"device": "Samsung Galaxy S25", "inference_time_ms": 1}])
    with SimulatedHub(replay=replay, latency=Latency(jitter=0.0)) as other:
        lead(monkeypatch, other.write_client_ini(tmp_path / "replay.ini"))
        compiled = Client().submit_compile_job(str(model), device(), options="--target_runtime onnx")
        profile = profiled(Client(), compiled.get_target_model()).download_profile()
        assert _first(profile) == 30_500
        assert profile["execution_summary"]["inference_memory_peak_range"] == (0, 12 << 20)
        assert sorted(layer["compute_unit"] for layer in profile["execution_detail"]) == ["CPU"] * 2 + ["NPU"] * 5
        unfit = Client().submit_inference_job(str(model), device("Samsung Galaxy S23")).download_profile()
        assert _first(unfit) < 1000


def _replay(folder: Path, rows: list[dict[str, Any]]) -> Replay:
    path = folder / "rows.json"
    path.write_text(json.dumps({"source": "us", "rows": rows}))
    return read_replay(path)


def test_a_replayed_row_is_chosen_by_precision_and_an_ambiguous_one_is_not(tmp_path: Path) -> None:
    rows = [ROW, ROW | {"precision": "w8a8", "inference_time_ms": 4.0}]
    replay = _replay(tmp_path, rows)
    found = {p: replay.find(["Tiny.onnx"], S24, "onnx", p) for p in ("float", "w8a8", "w4a16")}
    assert [found[p].milliseconds if found[p] else None for p in found] == [30.5, 4.0, None]
    assert replay.find(["tiny_w8a8.onnx"], S24, "onnx", "float").milliseconds == 4.0  # type: ignore[union-attr]
    assert replay.find(["tiny"], S24, "tflite", "float") is None


def test_the_published_rows_can_be_replayed(shared: Path) -> None:
    replay = read_replay(shared / "data" / "aihub_profiles.json")
    row = replay.find(["resnet18"], S24, "onnx", "float")
    assert row is not None
    assert row.milliseconds == 0.939


# ---------------------------------------------------------------- the server itself


def test_the_pages_behind_urls_say_that_they_are_simulated(client: Any, model: Path, hub: SimulatedHub) -> None:  # noqa: F811
    job = profiled(client, str(model))
    for url in (hub.web_url, job.url, client.get_job(job.job_id).model.url):
        with urllib.request.urlopen(url, timeout=10) as page:  # noqa: S310
            assert "no device ran anything" in page.read().decode()


def test_a_closed_hub_leaves_no_folder_and_no_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    with SimulatedHub() as closing:
        port = closing.port
        assert list((tmp_path / "tmp").iterdir())
    assert not list((tmp_path / "tmp").iterdir())
    with SimulatedHub(port=port) as again:
        assert again.port == port
        assert again.token != closing.token


def test_a_device_cannot_be_made_that_hides_that_it_is_simulated() -> None:
    from fidelity_gate.simulated_hub import SimulatedDevice

    made = dataclasses.replace(SimulatedDevice("Mine", "1"), attributes=("framework:onnx",))
    assert "vendor:simulated" in made.attributes
