"""The whole gate on real files, through both doors: a small random TRM, its INT8 and its INT2, and nothing faked."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest
from model_files import weights_of

from fidelity_gate import cli, measurements_file
from fidelity_gate.models.families.trm import Trm
from fidelity_gate.records import Artifact, Depth
from fidelity_gate.storage.artifact import encode
from fidelity_gate.storage.quantized import dense_tensor

FAMILY = Trm(hidden_size=32, vocab_size=7, num_heads=2, layers=1, seq_len=6)
POLICY = """\
apiVersion: fidelity-gate/v1
name: tiny
reference: ref.safetensors
candidates: {int8: int8.safetensors, int2: int2.safetensors}
inputs: {use: npz, path: eval.npz}
recursion: {h_cycles: 2, l_cycles: 2, steps: 3}
targets: [soc-8mb]
minimum_probes: 20
checks:
  carry-fidelity: {metric: carry_fidelity, aggregate: mean, require: {min: 0.95}}
  tail: {metric: carry_fidelity, aggregate: p05, require: {min: 0.8}}
  one-step: {metric: step_fidelity, aggregate: mean, require: {min: 0.99}, severity: warn}
  fits: {metric: sram_peak, require: {max: target.sram}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a reference, two candidates that the command line made, probes and a policy."""
    path = tmp_path_factory.mktemp("real")
    roles = {name: role for name, (_, role) in FAMILY.tensors().items()}
    tensors = tuple(dense_tensor(name, roles[name], array * 0.5) for name, array in sorted(weights_of(FAMILY).items()))
    artifact = Artifact("trm", FAMILY.architecture(), Depth(2, 2, 3), tensors)
    (path / "ref.safetensors").write_bytes(encode(artifact))
    inputs = np.random.default_rng(3).integers(0, 7, size=(24, 6)).astype(np.int32)
    np.savez(path / "eval.npz", inputs=inputs)
    (path / "tiny.gate.yaml").write_text(POLICY)
    for recipe in ("int8", "int2"):
        target = str(path / f"{recipe}.safetensors")
        assert cli.answer(["compress", str(path / "ref.safetensors"), "--recipe", recipe, "-o", target]) == 0
    return path


def test_the_gate_lets_int8_through_and_blocks_int2_twice_in_the_same_way(folder, monkeypatch, capsys) -> None:
    monkeypatch.chdir(folder)
    args = ["--report", "terminal", "--report", "junit:gate.xml", "--report", "json:verdict.json"]
    assert cli.answer(["run", "tiny.gate.yaml", *args, "--measurements", "one.json"]) == 1
    assert cli.answer(["measure", "tiny.gate.yaml", "-o", "two.json"]) == 0
    out = capsys.readouterr().out

    assert (folder / "one.json").read_bytes() == (folder / "two.json").read_bytes()
    results = json.loads((folder / "verdict.json").read_text())["verdict"]["results"]
    outcomes = {(one["check"]["id"], one["candidate"]): one["outcome"] for one in results}
    assert {outcomes[name, "int8"] for name in ("carry-fidelity", "tail", "one-step", "fits")} == {"pass"}
    assert outcomes["carry-fidelity", "int2"] == outcomes["tail", "int2"] == "fail"
    assert outcomes["one-step", "int2"] == "warn"
    assert outcomes["fits", "int2"] == "pass"
    failed = {
        (case.get("classname"), case.get("name"))
        for case in ElementTree.parse("gate.xml").iter("testcase")  # noqa: S314
        if case.find("failure") is not None
    }
    assert failed == {("tiny.int2", "carry-fidelity"), ("tiny.int2", "tail"), ("tiny", "gate.verdict")}
    assert out.splitlines()[-1].startswith("BLOCKED (exit 1): 4 of 6 required checks are met; carry-fidelity int2: ")
    assert "  int8  0.99" in out
    assert measurements_file.read("one.json").provenance.probes == 24
    for again in (["judge", "one.json", "--policy", "tiny.gate.yaml"], ["report", "verdict.json"]):
        assert cli.answer(again) == 1


def test_int8_alone_may_ship(folder, monkeypatch, capsys) -> None:
    monkeypatch.chdir(folder)
    Path("alone.yaml").write_text(POLICY.replace(", int2: int2.safetensors", ""))

    assert cli.answer(["run", "alone.yaml", "--report", "junit:gate.xml"]) == 0
    assert not list(ElementTree.parse("gate.xml").iter("failure"))  # noqa: S314


def test_the_reference_under_another_name_is_refused_and_the_report_says_so(folder, monkeypatch, capsys) -> None:
    monkeypatch.chdir(folder)
    Path("copy.safetensors").write_bytes(Path("ref.safetensors").read_bytes())
    code = cli.answer(["run", "tiny.gate.yaml", "--candidate", "int8=copy.safetensors", "--report", "junit:gate.xml"])

    assert code == 2
    assert "is the reference itself" in capsys.readouterr().err
    (failure,) = ElementTree.parse("gate.xml").iter("failure")  # noqa: S314
    assert failure.get("type") == "refused"


def test_pytest_comes_to_the_same_verdict(folder, pytester) -> None:
    plugin = "fidelity_gate.pytest_plugin"
    own = () if any(point.value == plugin for point in entry_points(group="pytest11")) else ("-p", plugin)
    quiet = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "-p", "no:timeout", "-W", "default")
    result = pytester.runpytest_inprocess(*own, *quiet, "--fidelity-gate", str(folder / "tiny.gate.yaml"))

    result.assert_outcomes(passed=6, failed=3, warnings=1)
    result.stdout.fnmatch_lines(["BLOCKED (exit 1): 4 of 6 required checks are met; carry-fidelity int2: *"])
