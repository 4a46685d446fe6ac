"""Every way in which a public comparison tool exits 0 by accident, run through the whole gate: none passes here."""

import json
from dataclasses import replace

import numpy as np
import pytest
from fakes import (
    PROBES,
    SHELF,
    FakeOpened,
    FakeRecursion,
    one_token_flipped,
    renamed,
    scaled,
    some_facts,
    some_probes,
    without,
)

import fidelity_gate.inputs
import fidelity_gate.models
from fidelity_gate import measurements_file
from fidelity_gate.cli import answer

POLICY = """\
apiVersion: fidelity-gate/v1
name: conformance
reference: {path: ref, use: fake}
candidates:
  int8: {path: int8, use: fake}
inputs: {use: fake}
recursion: {h_cycles: 1, l_cycles: 2, steps: 6}
minimum_probes: 100
checks:
  carry-fidelity: {metric: carry_fidelity, aggregate: mean, require: {min: 0.97}}
  no-lost-token: {metric: carry_fidelity, options: {stream: all, tokens: worst}, aggregate: worst, require: {min: 0.5}}
  same-scale: {metric: carry_norm_ratio, options: {stream: all}, aggregate: worst, require: {min: 0.9, max: 1.1}}
  same-answers: {metric: answer_agreement, options: {level: puzzle}, aggregate: mean, require: {min: 0.9}}
  really-compressed: {metric: compressed_share, require: {min: 90 %}}
"""
TOKENS = 97


@pytest.fixture(autouse=True)
def stocked(monkeypatch, tmp_path):
    monkeypatch.setitem(fidelity_gate.models.TABLE, "fake", "fakes:FakeFormat")
    monkeypatch.setitem(fidelity_gate.inputs.TABLE, "fake", "fakes:FakeInputs")
    monkeypatch.chdir(tmp_path)
    PROBES.clear()
    PROBES["probes"] = some_probes(100, tokens=TOKENS)
    SHELF.clear()
    SHELF["ref"] = FakeOpened(some_facts("ref"), make())
    candidate()


def make(**settings):
    recursion = FakeRecursion(**settings)
    recursion.positions = np.random.default_rng(8).normal(size=(TOKENS, recursion.positions.shape[1]))
    return recursion


def candidate(*, bits=8.0, **settings):
    SHELF["int8"] = FakeOpened(some_facts("int8", bits=bits), make(**{"error": 1e-5, **settings}))


@pytest.fixture
def gate(tmp_path, capsys):
    """Run the gate; return its exit code, every check's outcome, and the error line."""

    def run(policy=POLICY):
        (tmp_path / "release.yaml").write_text(policy)
        code = int(answer(["run", "release.yaml", "--report", "json:verdict.json", "--measurements", "m.json"]))
        told = capsys.readouterr()
        report = json.loads((tmp_path / "verdict.json").read_text())
        results = (report.get("verdict") or {}).get("results", [])
        return code, {each["check"]["id"]: each["outcome"] for each in results}, told.err

    return run


def test_the_sound_candidate_passes_so_that_the_others_are_stopped_by_their_faults(gate):
    code, outcomes, _ = gate()
    assert code == 0
    assert set(outcomes.values()) == {"pass"}


@pytest.mark.parametrize("warp", [without("z_L"), without("z_H"), renamed])
def test_lost_or_renamed_carry_outputs_are_refused(gate, warp):
    candidate(warp=warp)
    code, _, error = gate()
    assert code == 2
    assert "int8" in error
    assert "streams" in error


def test_streams_that_both_sides_lost_are_not_there_to_be_checked(gate):
    for name in ("ref", "int8"):
        SHELF[name].recursion.streams = ("z_H",)
    code, _, error = gate(POLICY.replace("tokens: worst", "tokens: worst, stream: z_L").replace("stream: all, ", "", 1))
    assert code == 2
    assert "no stream 'z_L'" in error


def test_a_carry_ten_times_as_long_fails(gate):
    candidate(warp=scaled)
    code, outcomes, _ = gate()
    assert code == 1
    assert outcomes["carry-fidelity"] == "pass"  # a cosine cannot see it
    assert outcomes["same-scale"] == "fail"


def test_one_sign_flipped_token_of_97_fails(gate):
    candidate(warp=one_token_flipped)
    code, outcomes, _ = gate()
    assert code == 1
    assert outcomes["carry-fidelity"] == "pass"  # the mean over 97 tokens cannot see it
    assert outcomes["no-lost-token"] == "fail"


def test_no_inputs_at_all_are_refused(gate):
    PROBES["probes"] = some_probes(100, tokens=TOKENS).rows(0, 0)
    assert gate()[0] == 2


def test_inputs_of_zeros_are_refused(gate):
    probes = PROBES["probes"]
    PROBES["probes"] = replace(probes, inputs=np.zeros_like(probes.inputs))
    assert gate()[0] == 2


def test_half_the_inputs_decide_nothing(gate):
    PROBES["probes"] = some_probes(50, tokens=TOKENS)
    code, outcomes, _ = gate()
    assert code == 3
    assert outcomes["carry-fidelity"] == "inconclusive"


def test_measurements_on_half_the_inputs_decide_nothing(gate, tmp_path, capsys):
    assert gate()[0] == 0
    measured = measurements_file.read(str(tmp_path / "m.json"))
    halved = tuple(
        replace(one, values=one.values[: max(1, len(one.values) // 2)], floor_values=one.floor_values[:50])
        for one in measured.measurements
    )
    (tmp_path / "half.json").write_bytes(measurements_file.dump(replace(measured, measurements=halved)))
    assert int(answer(["judge", "half.json", "--policy", "release.yaml"])) == 3


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("stream: all, tokens: worst", "stream: z_h, tokens: worst"),
        ("metric: carry_norm_ratio", "metric: carry_norm_ration"),
        ("tokens: worst", "token: worst"),
        ("min: 0.97", "mim: 0.97"),
        ("require: {min: 0.97}", "requires: {min: 0.97}"),
        ("aggregate: mean", "agregate: mean"),
        ("checks:", "check:"),
    ],
)
def test_a_misspelt_name_in_a_threshold_is_refused(gate, right, wrong):
    assert right in POLICY
    assert gate(POLICY.replace(right, wrong, 1))[0] == 2


def test_an_uncompressed_file_under_the_compressed_name_is_refused(gate):
    candidate(bits=32.0, error=0.0)
    code, _, error = gate()
    assert code == 2
    assert "not compressed" in error


def test_damage_to_the_output_head_alone_fails(gate):
    candidate(error=0.0)
    SHELF["int8"].recursion.head = SHELF["int8"].recursion.head[:, ::-1].copy()
    code, outcomes, _ = gate()
    assert code == 1
    assert outcomes["carry-fidelity"] == "pass"
    assert outcomes["same-answers"] == "fail"


def test_a_chaotic_reference_decides_nothing(gate):
    deep = POLICY.replace("steps: 6", "steps: 24")
    SHELF["ref"] = FakeOpened(some_facts("ref", depth=None), make(gain=8.0))
    SHELF["int8"] = FakeOpened(some_facts("int8", bits=8.0, depth=None), make(gain=8.0, error=1e-6))
    code, outcomes, _ = gate(deep)
    assert code == 3
    assert outcomes["carry-fidelity"] == "inconclusive"
