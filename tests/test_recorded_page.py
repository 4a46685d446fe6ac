"""docs/recorded-devices.md as a reader follows it: what is recorded, of a run, a job or a file, is gated again."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from exported import exported
from hubs import client_ini, hub  # noqa: F401  (fixtures)
from test_recorded_perf_yaml import PERF

from fidelity_gate.cli import answer

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "recorded-devices.md").read_text(encoding="utf-8")
# What is led elsewhere: the service is that of the fixtures, and the float graph comes from the cache of exports.
BESIDE = ("fidelity-gate devices simulate", "export ", "fidelity-gate export", "fidelity-gate policy", "mkdir")
SHIPPED = "policies/examples/"  # run by test_devices_verb.py


def section(title):
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def blocks(language, text):
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


COMMANDS = [
    line[2:] for block in blocks("console", section("Record")) for line in block.splitlines() if line.startswith("$ ")
]


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a command of the page in a folder of its own; return its exit code and both outputs."""
    monkeypatch.chdir(tmp_path)

    def command(line):
        args = shlex.split(line)
        assert args.pop(0) == "fidelity-gate"
        code = int(answer(args))
        said = capsys.readouterr()
        return code, said.out, said.err

    return command


@pytest.mark.slow
def test_the_page_records_a_run_its_job_a_profile_and_a_table_and_gates_them_again(run, client_ini, tmp_path):  # noqa: F811
    import qai_hub

    shutil.copy(exported("trm-mlp-sudoku"), tmp_path / "step.onnx")
    # A recipe that takes a second; the figures of the page are of the one that it names.
    assert run("fidelity-gate compress step.onnx --recipe onnx-int8 -o int8.onnx")[0] == 0
    (policy,) = (block for block in blocks("yaml", section("Record")) if block.startswith("apiVersion"))
    (tmp_path / "phone.gate.yaml").write_text(policy)
    (tmp_path / "perf.yaml").write_text(PERF)
    (tmp_path / "records").mkdir()

    job, said = "", []
    for line in COMMANDS:
        if line.startswith((*BESIDE, "fidelity-gate compress")):
            continue
        code, out, err = run(line.partition(" #")[0].replace("jabc123", job or "jabc123"))
        assert code == 0, (line, err)
        said.append(out)
        if " run " in line:
            verdict = json.loads((tmp_path / "verdict.json").read_text())
            job = verdict["measured"]["candidates"][0]["device_runs"][0]["job"]["id"]
            (tmp_path / "profile.json").write_text(json.dumps(qai_hub.get_job(job).download_profile()))
    counts = re.findall(r"^.* added to .*$", "".join(said), re.MULTILINE)
    assert counts == [
        "2 records added to records/s24.json; it holds 2",
        "1 record added to records/s24.json; it holds 3",
        "0 records added to records/s24.json, 1 known already; it holds 3",
        "1 record added to records/s24.json; it holds 4",
        "2 records added to records/resnet18.json; it holds 2",
    ]
    shown = re.sub(r"\d{4}-\d\d-\d\d", "DAY", blocks("console", section("Record"))[0].partition("it holds 2\n")[2])
    assert re.sub(r"\d{4}-\d\d-\d\d", "DAY", said[1].partition("\n")[2]) == shown

    (replay,) = blocks("yaml", section("Gate again"))
    head, _, rest = policy.partition("devices:\n")
    (tmp_path / "again.gate.yaml").write_text(head + replay + rest[rest.index("checks:") :])
    code, out, err = run("fidelity-gate run again.gate.yaml --report terminal")
    assert code == 0, err
    assert "SIMULATED: no device ran it, recorded by a run of the gate" in out
    assert "PASSED: all 3 required checks are met; SIMULATED, no device ran anything: s24" in out
    code, out, _ = run("fidelity-gate devices list records/")
    assert code == 0
    for evidence in ("simulated, recorded by a run of the gate", "simulated, recorded from the service's job"):
        assert evidence in out
    assert "recorded by hand" in out
    assert "published, not of this file" in out
