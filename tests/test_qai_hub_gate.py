"""The whole gate with phones, from the command line: step graphs, a policy, the unmodified client, a simulated hub."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from hub_runs import impatient, submissions
from hubs import lead
from onnx_steps import REASONER, reasoner, write

from fidelity_gate import cli
from fidelity_gate.devices import qai_hub_waiting
from fidelity_gate.devices.qai_hub_resuming import resume
from fidelity_gate.graphs.step_metadata import StepMetadata, Unit
from fidelity_gate.records import Depth
from fidelity_gate.simulated_hub import Fault, SimulatedHub

pytest.importorskip("qai_hub")

POLICY = """\
apiVersion: fidelity-gate/v1
name: phones
reference: ref.onnx
candidates:
  mine: {{path: mine.onnx, uncompressed: true}}
inputs: {{use: npz, path: eval.npz}}
recursion: {{h_cycles: 2, l_cycles: 1, steps: 4}}
minimum_probes: 5
devices:
  s24: {{use: qai_hub, device: {device}, runs: 10, host_overhead: 1 ms, allow_simulated: {allowed}}}
checks:
  puzzle: {{metric: latency, options: {{device: s24}}, require: {{max: {bound}}}}}
  npu: {{metric: npu_share, options: {{device: s24}}, require: {{min: 90 %}}}}
  size: {{metric: compiled_size, options: {{device: s24}}, require: {{max: 1 MiB}}}}
"""
TOLD = StepMetadata("trm", Unit.H_CYCLE, Depth(2, 1, 4), "0" * 64)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("phones")
    metadata = TOLD.properties()
    write(path, REASONER, reasoner(), name="ref", metadata=metadata)
    other = np.linspace(-1, 1, 18, dtype=np.float32).reshape(6, 3)
    write(
        path, REASONER.replace("head", "other"), reasoner(), name="mine", metadata=metadata, constants={"other": other}
    )
    np.savez(path / "eval.npz", inputs=np.random.default_rng(5).integers(0, 5, (8, 7)).astype(np.int32))
    return path


@pytest.fixture(scope="module")
def listening(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch, SimulatedHub() as hub:
        impatient(patch)
        lead(patch, hub.write_client_ini(tmp_path_factory.mktemp("hub") / "client.ini"))
        yield hub


def gated(folder, monkeypatch, *args, **policy):
    monkeypatch.chdir(folder)
    texts = {"device": "Samsung Galaxy S24", "allowed": "true", "bound": "10 s", **policy}
    (folder / "phones.yaml").write_text(POLICY.format(**texts))
    return cli.answer(["run", "phones.yaml", *args])


def test_a_policy_gates_a_phone_and_a_second_run_costs_nothing(folder, listening, monkeypatch, capsys):
    args = ("--report", "json:verdict.json", "--report", "junit:gate.xml", "--measurements", "saved.json")
    assert gated(folder, monkeypatch, *args) == 0
    assert submissions(listening) == 4  # reference and candidate, each compiled and run
    measured = json.loads((folder / "verdict.json").read_text())["measured"]["measurements"]
    details = {one["metric"]: one["detail"] for one in measured}
    ours = [one for one in listening.jobs if one.order.kind == "inference"]
    for place in (one["ran_on"] for one in measured):
        assert place.startswith("on qai_hub (SIMULATED: no device ran it, Samsung Galaxy S24, onnx on npu, os 14, job ")
        assert listening.web_url in place
        assert any(job.id in place for job in ours)
    assert "2 runs of the graph a step, 4 steps a puzzle, and 1 ms a run for the host, as stated" in details["latency"]
    assert "reference 100 %" in details["npu_share"]

    assert gated(folder, monkeypatch, bound="1 us") == 1  # another bound is another policy, and the same question
    assert submissions(listening) == 4
    assert listening.token not in (folder / "saved.json").read_text() + capsys.readouterr().out
    shutil.copy(folder / "phones.yaml", folder / "tight.yaml")
    assert cli.answer(["judge", "--policy", "tight.yaml", "saved.json"]) == 1


def test_a_job_of_the_gate_is_resumed_with_its_steps(folder, listening, monkeypatch):
    assert gated(folder, monkeypatch) == 0
    job = next(one for one in listening.jobs if one.order.kind == "inference")
    run = resume(job.id, timeout=30)
    assert run.step_seconds == tuple(2 * seconds for seconds in run.run_seconds)
    assert run.puzzle_seconds == tuple(4 * seconds for seconds in run.step_seconds)


def test_an_export_says_itself_how_many_runs_make_its_steps():
    assert TOLD.runs == 8


@pytest.mark.parametrize(
    ("policy", "code", "line"),
    [
        ({"device": "Galaxy S24"}, 2, "devices.s24.device: no device is named 'Galaxy S24' (did you mean 'Samsung"),
        ({"device": "Samsung Galaxy S22 5G"}, 2, "devices.s24.os: 'Samsung Galaxy S22 5G' is not one device alone"),
        ({"allowed": "false"}, 3, "what answers is a simulated AI Hub: no device would run anything"),
    ],
)
def test_a_wrong_device_is_refused_and_simulated_evidence_decides_nothing(
    folder, listening, monkeypatch, capsys, policy, code, line
):
    before = submissions(listening)
    assert gated(folder, monkeypatch, **policy) == code
    told = capsys.readouterr()
    assert line in " ".join((told.out + told.err).split())
    assert submissions(listening) == before


def test_who_interrupts_a_wait_is_told_which_job_goes_on_and_how_to_fetch_it(folder, listening, monkeypatch, capsys):
    def interrupted(connected, job_id, kind):
        if kind == "profile":
            raise KeyboardInterrupt
        return look(connected, job_id, kind)

    look = qai_hub_waiting._look
    monkeypatch.setattr("test_qai_hub_gate.POLICY", POLICY.replace("runs: 10", "runs: 12"))
    with monkeypatch.context() as patch:
        patch.setattr(qai_hub_waiting, "_look", interrupted)
        assert gated(folder, monkeypatch) == 130
    job = listening.jobs[-1]
    later = f"(fidelity-gate devices resume {job.id}; running again finds the job)"
    assert capsys.readouterr().err.endswith(f"interrupted: profile job {job.id} goes on {later}\n")
    assert gated(folder, monkeypatch) == 0
    assert [one.name for one in listening.jobs].count(job.name) == 1


def test_a_phone_that_falls_back_to_its_cpu_blocks_by_the_cause(folder, listening, monkeypatch):
    listening.faults.add(Fault("cpu-fallback", on="inference"))
    try:
        text = POLICY.replace("runs: 10", "runs: 11")
        monkeypatch.setattr("test_qai_hub_gate.POLICY", text)
        assert gated(folder, monkeypatch, "--report", "json:verdict.json") == 1
    finally:
        listening.faults.clear()
    results = json.loads((folder / "verdict.json").read_text())["verdict"]["results"]
    told = {one["check"]["id"]: (one["outcome"], one["reason"]) for one in results}
    assert told["npu"][0] == "fail"
    assert told["puzzle"][0] == "not-measured"
    assert "was to run on the npu, and ran on the cpu" in told["puzzle"][1]
