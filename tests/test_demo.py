"""The demo on real weights, the shipped policies, and paths into the zoo."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from docs_pages import ROOT, blocks, missing
from junitparser import JUnitXml

from fidelity_gate.cli import answer
from fidelity_gate.errors import UsageError
from fidelity_gate.shipped import policy_path
from fidelity_gate.verbs.stages import prepare
from fidelity_gate.zoo import catalog
from fidelity_gate.zoo.paths import located


@pytest.mark.slow
def test_the_demo_blocks_naive_int4_and_nothing_else_and_prints_what_the_readme_shows(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")  # as after `make demo`, which activates no environment
    monkeypatch.setattr("sys.argv", [str(tmp_path / ".venv" / "bin" / "fidelity-gate"), "demo"])
    folder = Path("fidelity-gate-demo")
    assert answer(["demo"]) == 0
    told = capsys.readouterr().out
    shown = next(block.body for block in blocks(ROOT / "README.md") if "Naive INT4 is blocked" in block.body)
    assert not missing(tuple(line for line in shown.split("\n") if line), told)
    assert "Naive INT4 is blocked, INT8 and calibrated INT4 may ship." in told
    assert f"to forward: {folder}/report.html" in told
    page = (folder / "report.html").read_text()
    assert "17 of 21 required checks are met" in page
    assert page.count('<figure class="puzzle') >= 6
    verdict = json.loads((folder / "verdict.json").read_text())
    assert verdict["verdict"]["exit_code"] == 1
    suites = JUnitXml.fromfile(str(folder / "junit.xml"))
    failed = {case.classname for suite in suites for case in suite if case.result}
    assert {name.split(".")[1] for name in failed if name.count(".")} <= {"int4-naive", "gate"}
    # What the demo tells people to do next works.
    assert f"  .venv/bin/fidelity-gate judge {folder}/measurements.json --policy {folder}/demo.yaml\n" in told
    assert answer(["judge", str(folder / "measurements.json"), "--policy", str(folder / "demo.yaml")]) == 1


def test_a_demo_that_cannot_write_says_where(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert answer(["demo", "--output", str(tmp_path / "file")]) == 2
    assert "--output" in capsys.readouterr().err


@pytest.mark.parametrize("name", catalog.names())
def test_every_zoo_model_has_a_policy_of_its_depth_on_both_targets(name):
    policy = prepare(
        str(policy_path(f"zoo/{name}.yaml")), reference=None, candidates=("int8=int8.safetensors",), inputs=None
    )
    found = catalog.entry(name)
    assert policy.recursion == found.depth
    assert {target.name for target in policy.targets} == {"soc-8mb", "mcu-4mb"}
    assert policy.reference.path == str(found.weights)
    assert dict(policy.inputs.options)["path"] == str(found.evaluation)
    assert dict(policy.calibration.options)["path"] == str(found.calibration)


def test_paths_into_the_zoo_are_located_and_others_left_alone():
    name = catalog.names()[0]
    assert Path(located(f"zoo:{name}")).is_file()
    assert Path(located(f"zoo:{name}/calibration")).is_file()
    assert located("zoo.safetensors") == "zoo.safetensors"
    with pytest.raises(UsageError, match="no rows 'training'"):
        located(f"zoo:{name}/training")
    with pytest.raises(UsageError, match="no zoo model is named"):
        located("zoo:nobody")


def test_a_shipped_policy_that_is_not_there_is_our_own_fault():
    with pytest.raises(Exception, match="is not installed"):
        policy_path("nothing.yaml")
