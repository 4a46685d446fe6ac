"""The device qai_hub against a simulated AI Hub that the unmodified client talks to: what it asks, checks and says."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from hub_runs import DEPTH, S24, graph, impatient, phone, ran, submissions, workload
from hubs import client_ini, hub, lead  # noqa: F401  (fixtures)

from fidelity_gate import registry
from fidelity_gate.devices import qai_hub_client, qai_hub_waiting
from fidelity_gate.devices.qai_hub import QaiHub
from fidelity_gate.devices.qai_hub_asked import Asked
from fidelity_gate.devices.qai_hub_errors import Translator
from fidelity_gate.devices.qai_hub_names import feeds_digest, job_name, model_name
from fidelity_gate.devices.qai_hub_reading import options_of
from fidelity_gate.devices.qai_hub_resuming import resume
from fidelity_gate.errors import ExitCode, NotMeasured, OutOfTime, PolicyError, UsageError
from fidelity_gate.protocols import InferringDevice
from fidelity_gate.simulated_hub import SimulatedHub

pytest.importorskip("qai_hub")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    impatient(monkeypatch)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """A hub on which the graph has run once, for tests that only look."""
    with pytest.MonkeyPatch.context() as patch, SimulatedHub() as listening:
        impatient(patch)
        lead(patch, listening.write_client_ini(tmp_path_factory.mktemp("hub") / "client.ini"))
        said = []
        found = phone().run(workload(compiled=True, tell=said.append))
        yield listening, found, said


# ---------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"device": " "}, "device"),
        ({"runs": 4}, "runs"),
        ({"timeout": 0.5}, "timeout"),
        ({"timeout": 90_000.0}, "timeout"),
        ({"max_age": -1.0}, "max_age"),
        ({"host_overhead": -0.1}, "host_overhead"),
        ({"max_spread": 11.0}, "max_spread"),
        ({"options": "--api_token abc"}, "options"),
        ({"profile_options": "--password=abc"}, "profile_options"),
        ({"options": "--target_runtime tflite"}, "options"),
        ({"options": "--compute_unit=cpu"}, "options"),
        ({"profile_options": "--max_profiler_iterations 3"}, "profile_options"),
        ({"options": "x" * 2001}, "options"),
    ],
)
def test_options_that_mean_nothing_or_hold_a_secret_are_refused(options, field):
    with pytest.raises(UsageError) as caught:
        phone(**options)
    assert caught.value.field == field
    assert "abc" not in str(caught.value)


def test_a_policy_writes_times_and_shares_and_the_device_has_no_default():
    plug = registry.build("devices", "qai_hub", (("device", S24), ("max_spread", 0.2)))
    assert (plug.device, plug.max_spread, plug.allow_simulated) == (S24, 0.2, False)
    assert plug.units == {
        "host_overhead": "seconds",
        "max_age": "days",
        "max_spread": "fraction",
        "timeout": "duration",
    }
    with pytest.raises(PolicyError, match="needs device"):
        registry.build("devices", "qai_hub", ())


def test_it_gives_back_what_it_computes_and_loads_no_library_until_it_runs():
    assert isinstance(phone(), InferringDevice)
    heavy = "('qai_hub', 'numpy', 'h5py')"
    code = f"import sys, fidelity_gate.devices.qai_hub; print([name for name in {heavy} if name in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "[]"


def test_compilers_are_told_runtime_unit_and_the_names_of_outputs_and_profilers_the_unit_and_the_runs():
    asked = Asked("tflite", "npu", "--truncate_64bit_io", "--x 1", 30, 0.0)
    assert asked.compiler(("a", "b")) == (
        "--target_runtime tflite --compute_unit npu --output_names a,b --truncate_64bit_io"
    )
    assert asked.compiler(("a, b",)) == "--target_runtime tflite --compute_unit npu --truncate_64bit_io"
    assert asked.profiler() == "--compute_unit npu --max_profiler_iterations 30 --x 1"
    assert options_of(asked.profiler()) == {"--compute_unit": "npu", "--max_profiler_iterations": "30", "--x": "1"}
    assert options_of("--a=1 --b --c 2 3") == {"--a": "1", "--b": "", "--c": "2 3"}
    assert asked.narrowed
    assert not replace(asked, options="").narrowed


def test_names_change_with_everything_that_changes_a_result_and_with_nothing_else():
    asked = {"model": "a", "device": "b"}
    name = job_name("profile", asked)
    assert name == job_name("profile", dict(reversed(asked.items())))
    assert len({name, job_name("compile", asked), job_name("profile", {**asked, "device": "c"})}) == 3
    zeros = [np.zeros((1, 2), np.float32)]
    digests = [{"x": zeros}, {"y": zeros}, {"x": zeros * 2}, {"x": [np.zeros((2, 1), np.float32)]}]
    digests += [{"x": [np.zeros((1, 2), np.float64)]}, {"x": [np.ones((1, 2), np.float32)]}]
    assert len({feeds_digest(one) for one in digests}) == len(digests)


# ---------------------------------------------------------------- a run


def test_a_run_says_what_ran_where_and_steps_and_puzzles_follow_from_its_runs(shared):
    _, found, _ = shared
    assert len(found.run_seconds) == 100
    assert found.step_seconds == tuple(2 * seconds for seconds in found.run_seconds)
    assert found.puzzle_seconds == tuple(DEPTH.steps * seconds for seconds in found.step_seconds)
    assert found.told == "2 runs of the graph a step, 4 steps a puzzle"
    assert (found.max_spread, found.busy, found.memory, found.gap) == (None, None, None, "")
    job = found.job
    assert (job.device, job.os, job.runtime, job.compute_unit) == (S24, "14", "onnx", "npu")
    assert job.model_digest == graph().digest
    assert job.simulated
    assert job.finished.endswith("Z")
    assert job.id in job.url
    assert "--target_runtime onnx" in job.options
    assert "--max_profiler_iterations 100" in job.options
    machine = dict(found.machine)
    assert machine["service"] == "simulated Qualcomm AI Hub"
    assert machine["processor"] == S24
    profile = found.profile
    assert [share.unit for share in profile.shares] == ["npu"]
    assert min(profile.first_load_seconds, profile.warm_load_seconds, profile.compiled_bytes) > 0
    assert profile.inference_peak_bytes[1] < profile.process_peak_bytes


def test_what_is_waited_for_is_told(shared):
    _, found, said = shared
    assert said[0] == "uploading the step graph"
    assert any(one.startswith(f"profile job {found.job.id}: ") for one in said)
    assert len(said) == len(set(said))


def test_what_the_host_adds_is_of_every_run_and_is_told():
    from fidelity_gate.devices.qai_hub_reading import with_steps
    from fidelity_gate.records import DeviceRun

    found = with_steps(DeviceRun(run_seconds=(0.001, 0.002)), 2, DEPTH, 0.0005)
    assert found.step_seconds == pytest.approx((0.003, 0.005))
    assert found.puzzle_seconds == pytest.approx((0.012, 0.020))
    assert found.told == "2 runs of the graph a step, 4 steps a puzzle, and 500 us a run for the host, as stated"


def test_the_same_question_is_answered_by_the_same_job_and_nothing_is_uploaded_again(shared):
    listening, found, _ = shared
    before = len(listening.requests)
    again = ran()
    assert again.run.job == found.job
    assert again.run.run_seconds == found.run_seconds
    later = listening.requests[before:]
    assert {one.method for one in later} == {"GET"}


def test_a_job_that_was_left_behind_is_fetched_by_its_id_and_its_model_hashed_again(shared):
    _, found, _ = shared
    told = resume(found.job.id, timeout=60, compiled=True)
    assert (told.job, told.run_seconds, told.profile) == (found.job, found.run_seconds, found.profile)
    assert told.step_seconds == ()  # the graph does not say what one run of it is


def test_a_job_that_only_compiled_says_how_to_go_on(shared):
    listening, _, _ = shared
    compile_job = next(one.id for one in listening.jobs if one.order.kind == "compile")
    with pytest.raises(NotMeasured, match="compiled a model, and nothing has run yet"):
        resume(compile_job, timeout=60)


@pytest.mark.parametrize("job_id", ["../models", "", "j 1", "j" * 65])
def test_what_can_be_no_id_is_refused_before_anything_is_sent(job_id):
    with pytest.raises(UsageError, match="is no id of a job"):
        resume(job_id, timeout=5)


def test_a_job_that_nobody_knows_is_told_at_once(hub, client_ini):  # noqa: F811
    with pytest.raises(NotMeasured, match="could not be found"):
        resume("jnothing", timeout=60)


def test_other_runs_other_inputs_and_another_model_are_other_questions(shared):
    before = submissions(shared[0])
    fed = replace(graph(), feeds={**graph().feeds, "inputs": np.ones((1, 7), np.int32)})
    jobs = [shared[1].job, ran(phone(runs=6)).run.job, ran(work=workload(fed)).run.job]
    assert len({job.id for job in jobs}) == 3
    assert submissions(shared[0]) == before + 2  # compiled already
    assert ran(phone(runs=5), workload(graph("another"))).run.job.model_digest == graph("another").digest
    assert submissions(shared[0]) == before + 2 + 2


def test_a_finished_job_that_is_too_old_does_not_answer(shared, monkeypatch):
    first = shared[1].job
    now = time.time()
    monkeypatch.setattr("fidelity_gate.devices.qai_hub_jobs.time.time", lambda: now + 2 * 86_400)
    second = ran().run.job
    assert second.id != first.id
    assert ran(phone(max_age=3.0)).run.job.id == second.id  # of several, the latest


def test_no_finished_job_of_another_run_answers_where_the_policy_says_never(shared, monkeypatch):
    monkeypatch.setattr("fidelity_gate.devices.qai_hub_jobs._OURS", set())
    never = phone(max_age=0.0)
    before = submissions(shared[0])
    first = ran(never).run.job
    assert first.id != shared[1].job.id
    assert submissions(shared[0]) == before + 2
    assert ran(never).run.job.id == first.id  # of this run, which asks a thing once
    monkeypatch.setattr("fidelity_gate.devices.qai_hub_jobs._OURS", set())
    assert ran(never).run.job.id != first.id
    assert submissions(shared[0]) == before + 4


def test_a_job_that_has_not_ended_answers_however_young_a_finished_one_has_to_be(monkeypatch, tmp_path):
    impatient(monkeypatch)
    with SimulatedHub(job_seconds=2.5) as listening:
        lead(monkeypatch, listening.write_client_ini(tmp_path / "client.ini"))
        assert "has not ended after 1 s" in str(ran(phone(runs=5, max_age=0.0, timeout=1.0)).error)
        monkeypatch.setattr("fidelity_gate.devices.qai_hub_jobs._OURS", set())
        assert ran(phone(runs=5, max_age=0.0)).error is None
        assert submissions(listening) == 2


def test_outputs_come_back_for_every_entry_by_the_names_of_the_graph_and_are_those_of_this_machine(shared):
    import onnxruntime

    draws = np.random.default_rng(3)
    feeds = {
        "inputs": [
            draws.integers(0, 5, (1, 7)).astype(np.int32) for _ in range(3)
        ],  # in another order than the graph's
        "z": [draws.normal(size=(1, 7, 6)).astype(np.float32) for _ in range(3)],
    }
    told = phone(runs=5).infer(workload(), feeds, ("z_out", "logits"))
    here = onnxruntime.InferenceSession(graph().data, providers=["CPUExecutionProvider"])
    for entry in range(3):
        want = here.run(["z_out", "logits"], {name: arrays[entry] for name, arrays in feeds.items()})
        for name, array in zip(("z_out", "logits"), want, strict=True):
            np.testing.assert_allclose(told.outputs[name][entry], array, atol=1e-5)
    assert told.run.job.model_digest == graph().digest
    assert told.run.run_seconds
    with pytest.raises(NotMeasured, match="gave back no halt"):
        phone(runs=5).infer(workload(), feeds, ("z_out", "halt"))


# ---------------------------------------------------------------- which device


@pytest.mark.parametrize(
    ("options", "field", "line"),
    [
        ({"device": "samsung galaxy s24"}, "device", "did you mean 'Samsung Galaxy S24'"),
        ({"device": "Galaxy S23"}, "device", "did you mean 'Samsung Galaxy S23'"),
        ({"device": "zzz"}, "device", "qai-hub list-devices"),
        ({"device": "Samsung Galaxy S22 5G"}, "os", "os: one of 12, 13"),
        ({"os": "9"}, "os", "os: one of 14"),
    ],
)
def test_a_device_that_is_not_there_or_is_several_is_a_mistake_of_the_policy(hub, client_ini, options, field, line):  # noqa: F811
    error = ran(phone(**options)).error
    assert isinstance(error, PolicyError)
    assert error.field == field
    assert line in str(error)
    assert error.exit_code is ExitCode.REFUSED
    assert submissions(hub) == 0


def test_a_runtime_that_the_device_does_not_have_is_a_mistake_of_the_policy(tmp_path, monkeypatch):
    from fidelity_gate.simulated_hub import SimulatedDevice, SimulatedHub

    with SimulatedHub((SimulatedDevice("Board", "1", ("framework:onnx",)),)) as listening:
        lead(monkeypatch, listening.write_client_ini(tmp_path / "client.ini"))
        error = ran(phone(device="Board", runtime="tflite")).error
    assert isinstance(error, PolicyError)
    assert "it runs onnx" in str(error)


# ---------------------------------------------------------------- what must not be measured


def test_simulated_evidence_is_refused_before_anything_is_sent(hub, client_ini):  # noqa: F811
    error = ran(phone(allow_simulated=False)).error
    assert "simulated AI Hub" in str(error)
    assert "allow_simulated: true" in str(error)
    assert hub.requests == ()


def test_a_device_that_is_marked_as_simulated_is_refused_wherever_its_server_is(hub, client_ini, monkeypatch):  # noqa: F811
    monkeypatch.setattr(qai_hub_client, "_is_loopback", lambda url: False)
    monkeypatch.setattr(qai_hub_client, "_refuse_in_the_clear", lambda url, path: None)
    assert "simulated AI Hub" in str(ran(phone(allow_simulated=False)).error)
    assert submissions(hub) == 0


def test_what_is_no_step_graph_says_how_to_make_one():
    error = ran(work=replace(workload(), graph=None)).error
    assert error.exit_code is ExitCode.UNDECIDED
    assert "export it first: fidelity-gate export" in str(error)


def test_without_the_client_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "qai_hub.client", None)
    error = ran().error
    assert error.exit_code is ExitCode.UNDECIDED
    assert "is not installed (pip install 'fidelity-gate[aihub]')" in str(error)


@pytest.mark.parametrize(
    ("raised", "words"),
    [
        (ModuleNotFoundError("No module named 'h5py'", name="h5py"), "(ModuleNotFoundError: No module named 'h5py')"),
        (ImportError("cannot import name 'x'", name="qai_hub.x"), "(ImportError: cannot import name 'x')"),
        (
            TypeError("Descriptors cannot\nbe created: " + "generated " * 50),
            "(TypeError: Descriptors cannot be created",
        ),
    ],
)
def test_a_client_that_is_there_and_broken_says_what_is_broken_in_one_line(monkeypatch, raised, words):
    class Broken:
        def find_spec(self, name, path=None, target=None):
            if name == "qai_hub.client":
                raise raised

    monkeypatch.delitem(sys.modules, "qai_hub.client")
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    error = ran().error
    assert error.exit_code is ExitCode.UNDECIDED
    assert f"cannot be imported {words}" in str(error)
    assert "\n" not in str(error)
    assert len(str(error)) <= 240


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (None, "is not there"),
        ("nonsense", "cannot be read (MissingSectionHeaderError)"),
        ("[api]\napi_url = https://a\n", "lacks api_url, web_url or api_token"),
        (
            "[api]\napi_url = https://a\nweb_url = https://a\napi_token = x\nverbose = maybe\n",
            "cannot be read (ValueError)",
        ),
        ("[api]\napi_url = https://a\nweb_url = https://a\napi_token =\n", "holds an empty api_token"),
        ("[api]\napi_url = http://hub.example\nweb_url = http://a\napi_token = x\n", "would travel in the clear"),
        ("[api]\napi_url = ftp://127.0.0.1\nweb_url = http://a\napi_token = x\n", "would travel in the clear"),
    ],
)
def test_a_configuration_that_is_none_says_how_to_make_one(tmp_path, monkeypatch, text, line):
    path = tmp_path / "my.ini"
    if text is not None:
        path.write_text(text)
    lead(monkeypatch, path)
    error = ran().error
    assert type(error) is NotMeasured
    assert line in str(error)
    assert str(path) in str(error)


def test_a_server_that_is_down_is_not_waited_for(tmp_path, monkeypatch):
    with SimulatedHub() as listening:
        path = listening.write_client_ini(tmp_path / "client.ini")
    lead(monkeypatch, path)
    before = time.monotonic()
    error = ran().error
    assert "did not answer (listing devices)" in str(error)
    assert "Could not connect" in str(error)
    assert time.monotonic() - before < 10  # the client alone goes on for most of a minute


def test_no_line_shows_the_token_not_even_where_the_server_repeats_it(hub, client_ini, caplog):  # noqa: F811
    from qai_hub import client, public_rest_api

    caplog.set_level(logging.DEBUG)
    told = Translator(client, public_rest_api, "s3cret").error(
        client.UserError("bad s3cret\n| twice s3cret |"), "asking"
    )
    assert "s3cret" not in str(told)
    assert str(told) == "Qualcomm AI Hub refuses it (asking): bad [token] twice [token]"
    hub.faults.add("forbidden")
    error = ran().error
    assert hub.token not in f"{error} {caplog.text}"


@pytest.mark.parametrize("field", ["options", "profile_options"])
def test_a_policy_that_holds_the_token_under_any_name_is_refused_and_nothing_is_sent(hub, client_ini, field):  # noqa: F811
    error = ran(phone(**{field: f"--x {hub.token}"})).error
    assert (error.exit_code, error.field) == (ExitCode.REFUSED, field)
    assert "holds the token of the client's configuration" in str(error)
    assert hub.token not in str(error)
    assert not hub.requests


def test_a_name_of_a_device_is_told_in_part_where_it_is_long_and_what_helps_stays_in_sight(shared):
    error = ran(phone(device="x" * 3000)).error
    assert str(error).endswith("(qai-hub list-devices shows them)")
    assert len(str(error)) < 200


def test_the_clients_own_repeats_are_off_only_while_it_works_for_the_gate(hub, client_ini):  # noqa: F811
    from qai_hub.util import session

    kept = session.MAX_RETRIES
    seen = []
    connected = qai_hub_client.connect(10)
    connected.once("looking", lambda: seen.append(session.MAX_RETRIES))
    assert (seen, session.MAX_RETRIES) == ([0], kept)


def test_a_call_that_never_returns_is_left_behind_and_its_repeats_stay_off(hub, client_ini, monkeypatch):  # noqa: F811
    from qai_hub.util import session

    monkeypatch.setattr(session, "MAX_RETRIES", 3)
    release = threading.Event()
    connected = qai_hub_client.connect(0.1)
    with pytest.raises(OutOfTime, match=r"did not answer in 0\.1 s \(dozing\)"):
        connected.once("dozing", release.wait)
    assert session.MAX_RETRIES == 0
    release.set()


# A call that is at work on a dataset when its process ends, as after Ctrl-C: it has h5py's lock, and keeps it.
LEFT_AT_WORK = """\
import threading, time
from fidelity_gate.devices import qai_hub_client
from h5py import File
from h5py._objects import phil

def work():
    with phil:
        taken.set()
        time.sleep(1)

qai_hub_client.connect(5)
file, taken = File.in_memory(), threading.Event()
threading.Thread(target=work, daemon=True).start()
taken.wait()
"""


def test_a_process_ends_although_a_call_that_was_left_behind_is_at_work_on_a_dataset(client_ini):  # noqa: F811
    assert subprocess.run([sys.executable, "-c", LEFT_AT_WORK], timeout=30).returncode == 0  # without: never


def test_a_job_that_has_not_ended_says_how_to_fetch_it_and_a_later_run_takes_it_up(hub, client_ini):  # noqa: F811
    from fidelity_gate.simulated_hub import Fault

    hub.faults.add(Fault("slow-job", on="inference"))
    error = ran(phone(runs=5, timeout=4.0)).error
    waiting = next(one.id for one in hub.jobs if one.order.kind == "inference")
    assert isinstance(error, OutOfTime)
    assert f"profile job {waiting} has not ended after 4 s" in str(error)
    assert f"fidelity-gate devices resume {waiting}" in str(error)
    hub.faults.clear()
    assert ran(phone(runs=5)).run.job.id == waiting
    assert submissions(hub) == 2


def test_a_name_is_no_evidence_a_foreign_file_under_it_is_not_used(hub, client_ini, tmp_path):  # noqa: F811
    other = tmp_path / "other.onnx"
    other.write_bytes(graph("another").data)
    connected = qai_hub_client.connect(30)
    foreign = connected.client.upload_model(str(other), name=model_name(graph().digest))
    found = ran(phone(runs=5)).run
    assert found.job.model_digest == graph().digest
    compiled = next(one for one in hub.jobs if one.order.kind == "compile")
    assert compiled.order.model.id != foreign.model_id


def test_a_foreign_job_under_our_name_is_not_used(shared):
    hub, ours = shared[0], ran().run.job  # noqa: F811
    name = next(one.name for one in hub.jobs if one.id == ours.id)
    connected = qai_hub_client.connect(30)
    job = connected.client.get_job(ours.id)
    target = job.model
    device = connected.module("client").Device("Samsung Galaxy S23", "13")
    foreign = connected.client.submit_inference_job(
        target, device=device, inputs=job.inputs, name=name, options=job.options, retry=False
    )
    before = submissions(hub)
    assert ran().run.job.id == ours.id != foreign.job_id
    assert submissions(hub) == before


def test_silence_while_a_job_is_waited_for_is_borne_for_a_while_and_not_for_ever(shared, monkeypatch):
    from fidelity_gate.simulated_hub import Fault

    hub, found = shared[0], shared[1].job  # noqa: F811
    hub.faults.add(Fault("unavailable", times=3, on="GET jobs/"))
    connected = qai_hub_client.connect(20)
    assert qai_hub_waiting.finished(connected, found.id, "profile").inference_job.inference_job_id == found.id
    hub.faults.add(Fault("unavailable", on="GET jobs/"))
    monkeypatch.setattr(qai_hub_waiting, "PATIENCE", 0.2)
    try:
        with pytest.raises(NotMeasured, match=f"fidelity-gate devices resume {found.id}"):
            qai_hub_waiting.finished(connected, found.id, "profile")
    finally:
        hub.faults.clear()


def test_64_bit_integers_are_narrowed_where_the_compiler_is_told_to_and_never_silently():
    from fidelity_gate.devices.qai_hub_running import _narrowed
    from fidelity_gate.errors import ModelRefused

    assert _narrowed("x", np.array([3], np.int64)).dtype == np.int32
    assert _narrowed("x", np.array([3], np.float32)).dtype == np.float32
    with pytest.raises(ModelRefused, match="beyond 32 bits"):
        _narrowed("x", np.array([2**31], np.int64))


def test_what_it_is_asked_for_is_described_without_asking_anybody():
    assert QaiHub(device=S24, os="14").describe() == (
        ("compute_unit", "npu"),
        ("os", "14"),
        ("processor", S24),
        ("runtime", "onnx"),
    )
