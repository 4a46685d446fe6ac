"""The GitHub action, step by step as the runner runs it, on a real model and a real policy."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import ci_repository
import pytest
from actions import Runner
from ci_repository import QUICK

from fidelity_gate import cli
from fidelity_gate.files import sha256_hex
from fidelity_gate.zoo.paths import located

CI = Path(__file__).resolve().parents[1] / "ci"
REPORTS = [
    *("fidelity-gate-annotations.txt", "fidelity-gate-verdict.json", "fidelity-gate.html", "fidelity-gate.json"),
    *("fidelity-gate.md", "fidelity-gate.sarif", "fidelity-gate.xml"),
]
WEIGHTS = Path(located("zoo:trm-addition"))
REFERENCE = sha256_hex(WEIGHTS.read_bytes())
BASE = "release/$(id)'1"  # a branch may be called so
POLICY = 'policies/we\'ird $(id) `id` %0A "q" ü.yaml'
MODULES = ("json", "numpy", "click", "fidelity_gate", "sitecustomize")  # what the gate imports, in somebody's branch
PLACE = "build $(id)/ü 'int8' %0A.safetensors"


@pytest.fixture(scope="session")
def repository(tmp_path_factory):
    return ci_repository.made(tmp_path_factory.mktemp("ci"))


@pytest.fixture
def job(tmp_path, repository):
    """Return a job that has checked out a commit of the repository."""

    def begin(branch="main", **github):
        runner = Runner(tmp_path / "job", repository.origin)
        sha = repository.workspace(runner.workspace, branch)
        event = {"repository": {"default_branch": "main"}} | github.pop("event", {})
        runner.github = {
            "event_name": "push",
            "ref": f"refs/heads/{branch}",
            "ref_protected": False,
            "base_ref": "",
            "sha": sha,
            "repository": "somebody/models",
            "run_id": "77",
            "event": event,
            **github,
        }
        return runner

    return begin


def gate(runner, **inputs):
    given = {"install": "false", "policy": "policies/release.yaml"}
    return runner.run(CI / "action.yml", given | {key.replace("_", "-"): value for key, value in inputs.items()})


def required(runner, ran, **inputs):
    given = {
        "gate-result": "failure" if ran.code else "success",
        "verdict-digest": ran.outputs["verdict-digest"],
    }
    shutil.rmtree(runner.temp / "fidelity-gate-required", ignore_errors=True)
    return runner.run(CI / "require" / "action.yml", given | inputs)


def verdict_of(runner):
    return json.loads((runner.artifacts / "fidelity-gate" / "fidelity-gate-verdict.json").read_text())


def test_main_is_judged_by_its_own_commit_and_the_required_job_agrees_and_notices_any_change(job, repository) -> None:
    runner = job()
    runner.summary_before = "x" * 1_042_000  # nearly full: what is added must still be shown
    ran = gate(runner, reference_digest=REFERENCE.upper())
    assert (ran.code, ran.outputs["verdict"], ran.outputs["exit-code"]) == (0, "passed", "0"), ran.log
    verdict = verdict_of(runner)
    assert verdict["run"] == {
        "commit": repository.main,
        "repository": "somebody/models",
        "run": "77",
        "policy_commit": repository.main,
    }
    assert json.loads(ran.outputs["artifact-digests"]) == {"int8": verdict["digests"]["candidate.int8"]}
    assert ran.outputs["policy-digest"] == verdict["digests"]["policy"]
    assert sorted(file.name for file in (runner.artifacts / "fidelity-gate").iterdir()) == REPORTS
    assert "PASSED: quick" in ran.summary
    assert ran.commands == []  # nothing to annotate
    assert not list(runner.workspace.glob(".fidelity-gate*"))

    passed = required(runner, ran)
    assert (passed.code, "passed (exit 0)" in passed.log) == (0, True)
    assert required(runner, ran, **{"gate-result": "skipped"}).code == 3
    assert required(runner, ran, **{"verdict-digest": ""}).code == 3
    missing = required(runner, ran, **{"artifact-name": "of-nobody"})
    assert (missing.code, missing.outcomes["step-1"]) == (3, "failure")
    runner.github["sha"] = "0" * 40
    assert required(runner, ran).code == 3
    runner.github["sha"] = repository.main
    file = runner.artifacts / "fidelity-gate" / "fidelity-gate-verdict.json"
    file.write_text(file.read_text().replace('"created": "2', '"created": "3'))
    assert required(runner, ran).code == 3


def test_a_pull_request_is_judged_by_its_base_whatever_its_own_policy_and_modules_say(
    job, repository, tmp_path
) -> None:
    strict = QUICK.replace("400 KiB", "100 KiB")
    repository.branch(tmp_path / "base", BASE, {POLICY: strict})
    modules = {f"{name}.py": "raise SystemExit('imported')\n" for name in MODULES}
    repository.branch(tmp_path / "head", "topic", {POLICY: QUICK, PLACE: repository.int8.read_bytes(), **modules})
    runner = job("topic", event_name="pull_request", ref="refs/pull/1/merge", base_ref=BASE)
    runner.variables["PYTHONPATH"] = str(runner.workspace)
    ran = gate(runner, policy=POLICY, candidate=f"\n  int8={PLACE}\n\n", report_folder="out/$(id) 'ü/deep")
    assert (ran.code, ran.outputs["verdict"], ran.outputs["exit-code"]) == (1, "failed", "1"), ran.log
    assert "uid=" not in ran.log
    assert "imported" not in ran.log
    (level, properties, message) = ran.commands[0]
    assert (level, properties["file"], properties["line"], len(ran.commands)) == ("error", POLICY, "8", 1)
    assert "small-enough" in message
    assert "BLOCKED: quick" in ran.summary
    verdict = verdict_of(runner)
    assert (verdict["verdict"], verdict["exit_code"], verdict["policy"]) == ("failed", 1, POLICY)
    assert verdict["run"]["policy_commit"] != verdict["run"]["commit"] == runner.github["sha"]
    assert (ran.outcomes["gate"], ran.outcomes["upload"]) == ("failure", "success")
    assert required(runner, ran).code == 3


def test_only_an_explicit_input_lets_a_branch_bring_its_own_policy(job, repository, tmp_path) -> None:
    repository.branch(tmp_path / "weak", "weak", {"policies/weak.yaml": QUICK})
    runner = job("weak")  # a push to somebody's branch: its check counts for the pull request of the same commit
    ran = gate(runner, policy="policies/weak.yaml")
    assert (ran.code, ran.outputs["verdict"]) == (2, "refused")
    assert "is not in the commit that judges, only here" in ran.summary
    assert runner.uses[-2][1]["ref"] == "refs/heads/main"
    ran = gate(runner, policy="policies/weak.yaml", policy_from="workspace")
    assert (ran.code, ran.outputs["verdict"], ran.outputs["exit-code"]) == (0, "passed", "0"), ran.log
    assert verdict_of(runner)["run"]["policy_commit"] == runner.github["sha"]


def test_a_reference_out_of_a_poisoned_cache_is_refused_in_every_report(job, tmp_path, monkeypatch, capsys) -> None:
    runner = job()
    cached = tmp_path / "cache" / "reference.safetensors"
    cached.parent.mkdir()
    poisoned = bytearray(WEIGHTS.read_bytes())
    poisoned[-1] ^= 1  # one bit of one weight
    cached.write_bytes(poisoned)
    monkeypatch.chdir(runner.workspace)
    asked = ["ci", "run", "policies/release.yaml", "--reports", "reports"]
    asked += ["--commit", "c" * 40, f"--reference={cached}"]
    assert cli.answer([*asked, f"--reference-digest={REFERENCE}"]) == 2
    assert "is not the reference that is asked for" in capsys.readouterr().err
    verdict = json.loads(Path("reports/fidelity-gate-verdict.json").read_text())
    assert (verdict["verdict"], verdict["exit_code"]) == ("refused", 2)
    assert 'failures="1"' in Path("reports/fidelity-gate.xml").read_text()
    assert not any("PASSED" in file.read_text() for file in Path("reports").iterdir())


FAKE_PYTHON = """#!/usr/bin/env bash
printf '%q ' "$@" >> "$RUNNER_TEMP/calls"; printf '%s %s\\n' "$PWD" "$PIP_CONSTRAINT" >> "$RUNNER_TEMP/calls"
if [[ "$2 $3" == "-m venv" ]]; then mkdir -p "$4/bin"; cp "$0" "$4/bin/python"; fi
"""


@pytest.mark.parametrize("extras", ["torch,attest", ""])
def test_installing_makes_an_environment_of_its_own_from_this_very_commit(tmp_path, extras) -> None:
    temp, work, fake = tmp_path / "te mp", tmp_path / "work", tmp_path / "bin" / "python3"
    for folder in (temp, work, fake.parent):
        folder.mkdir()
    fake.write_text(FAKE_PYTHON)
    fake.chmod(0o755)
    variables = {"PATH": f"{fake.parent}:/usr/bin:/bin", "RUNNER_TEMP": str(temp), "FG_SOURCE": str(CI.parent)}
    variables |= {"FG_INSTALL": "true", "FG_EXTRAS": extras, "FG_PYTHON": ""}
    subprocess.run(["bash", str(CI / "install.sh")], cwd=work, env=variables, check=True)
    calls = (temp / "calls").read_text().splitlines()
    home = temp / "fidelity-gate"
    wanted = str(CI.parent) + (f"\\[{extras.replace(',', chr(92) + ',')}\\]" if extras else "")
    assert calls[0].startswith("-I -m venv ")
    assert (
        calls[1] == f"-I -m pip install --disable-pip-version-check --no-input --quiet {wanted} {home} constraints.txt"
    )
    assert (home / "constraints.txt").read_bytes() == (CI / "constraints.txt").read_bytes()
    assert all(call.startswith("-I ") for call in calls)
    assert os.access(home / "gate", os.X_OK)


def test_extras_that_are_no_words_never_reach_pip(tmp_path) -> None:
    variables = {"PATH": "/usr/bin:/bin", "RUNNER_TEMP": str(tmp_path), "FG_SOURCE": str(CI.parent)}
    variables |= {"FG_INSTALL": "true", "FG_EXTRAS": "torch] --index-url=x [", "FG_PYTHON": sys.executable}
    done = subprocess.run(["bash", str(CI / "install.sh")], env=variables, capture_output=True, check=False, text=True)
    assert (done.returncode, "extras: words" in done.stderr) == (2, True)
