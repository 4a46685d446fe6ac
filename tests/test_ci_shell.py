"""The scripts for GitLab and Jenkins, run as those run them: in a checkout, with their variables."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import ci_repository
import pytest
from actions import git, read_yaml
from ci_repository import AUTHOR, QUICK

CI = Path(__file__).resolve().parents[1] / "ci"
STRICT = QUICK.replace("400 KiB", "100 KiB")


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    return ci_repository.made(tmp_path_factory.mktemp("shell"))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Return a repository with the scripts of this project, and its commit."""
    folder = tmp_path_factory.mktemp("source") / "fidelity-gate"
    git("init", "--quiet", str(folder))
    scripts = {f"ci/{name}": (CI / name).read_bytes() for name in ("gate.sh", "gitlab.sh", "jenkins.sh", "install.sh")}
    ci_repository.commit(folder, scripts)
    git("-C", str(folder), "config", "uploadpack.allowAnySHA1InWant", "true")
    return folder, git("-C", str(folder), "rev-parse", "HEAD")


def variables_for(source, tmp_path, **more):
    folder, sha = source
    return {
        **AUTHOR,
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "TMPDIR": str(tmp_path / "tmp"),
        "LANG": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "FG_SOURCE_URL": str(folder),
        "FG_SOURCE_COMMIT": sha,
        "FG_INSTALL": "false",
        **more,
    }


def run(script, workspace, variables):
    Path(variables["TMPDIR"]).mkdir(exist_ok=True)
    return subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script],
        cwd=workspace,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        text=True,
    )


def gitlab_job():
    return read_yaml(CI / "gitlab.yml")[".fidelity-gate"]


def jenkins_script():
    text = (CI / "Jenkinsfile").read_text()
    (script,) = re.findall(r"sh '''(.*?)'''", text, re.DOTALL)
    assert '"""' not in text  # double quotes are where Groovy would put values into the script
    return script


def test_gitlab_judges_a_merge_request_by_its_target_branch(repository, source, tmp_path) -> None:
    target = "release/$(id)'1"
    repository.branch(tmp_path / "base", target, {"policies/p ü.yaml": STRICT})
    workspace = tmp_path / "work"
    repository.branch(tmp_path / "head", "topic", {"policies/p ü.yaml": QUICK})
    sha = repository.workspace(workspace, "topic")
    job = gitlab_job()
    asked = {key: str(value) for key, value in job["variables"].items()}
    asked |= {"FG_POLICY": "policies/p ü.yaml", "CI_PIPELINE_ID": "77", "CI_DEFAULT_BRANCH": "main"}
    asked |= {"CI_COMMIT_SHA": sha, "CI_PROJECT_PATH": "a/b", "CI_COMMIT_REF_PROTECTED": "false"}
    variables = asked | variables_for(source, tmp_path, CI_MERGE_REQUEST_TARGET_BRANCH_NAME=target)
    done = run("\n".join(job["script"]), workspace, variables)
    assert done.returncode == 1, done.stdout
    assert "uid=" not in done.stdout
    verdict = json.loads((workspace / "fidelity-gate-reports" / "fidelity-gate-verdict.json").read_text())
    assert (verdict["verdict"], verdict["run"]["commit"], verdict["run"]["run"]) == ("failed", sha, "77")
    assert verdict["run"]["policy_commit"] == git("-C", str(repository.origin), "rev-parse", target)
    assert (workspace / job["artifacts"]["reports"]["junit"]).is_file()
    assert list((tmp_path / "tmp").glob("*/trusted")) == []  # nothing is left of the checkout


@pytest.fixture(scope="module")
def passed(repository, source, tmp_path_factory):
    """Return a working folder in which Jenkins' stage ran, its commit, its variables, and how it ended."""
    tmp_path = tmp_path_factory.mktemp("jenkins")
    sha = repository.workspace(tmp_path / "work")
    asked = {"FG_POLICY": "policies/release.yaml", "FG_CANDIDATES": "int8=dist/int8.safetensors"}
    asked |= {"FG_DEFAULT_BRANCH": "main", "BRANCH_NAME": "main", "GIT_COMMIT": sha, "BUILD_NUMBER": "5"}
    variables = variables_for(source, tmp_path, JOB_NAME="models/main", **asked)
    return tmp_path / "work", sha, variables, run(jenkins_script(), tmp_path / "work", variables)


def test_jenkins_judges_the_default_branch_by_its_own_commit(passed) -> None:
    workspace, sha, _, done = passed
    assert done.returncode == 0, done.stdout
    folder = workspace / "fidelity-gate-reports"
    verdict = json.loads((folder / "fidelity-gate-verdict.json").read_text())
    assert verdict["run"] == {"commit": sha, "repository": "models/main", "run": "5", "policy_commit": sha}
    assert 'line="' not in (folder / "fidelity-gate.xml").read_text()


def test_the_release_workflow_signs_what_passed_and_nothing_else(passed, tmp_path) -> None:
    workspace, sha, variables, _ = passed
    work, temp = tmp_path / "work", tmp_path / "temp"
    shutil.copytree(workspace, work)
    shutil.copytree(workspace / "fidelity-gate-reports", work / "reports")
    temp.mkdir()
    (work / "release").mkdir()
    key = _openssl("genpkey", "-algorithm", "ed25519")
    (work / "release" / "gate.pub").write_text(_openssl("pkey", "-pubout", text=key))
    attest = read_yaml(CI / "workflows" / "release.yml")["jobs"]["attest"]["steps"]
    (work / ".fidelity-gate").symlink_to(CI.parent)
    variables = variables | {"RUNNER_TEMP": str(temp), "GITHUB_SHA": sha, "FIDELITY_GATE_KEY": key, "FG_EXTRAS": ""}
    variables |= {"FG_SOURCE": ".fidelity-gate", "FG_PYTHON": "", "TMPDIR": str(tmp_path)}
    install, sign, verify = (step["run"] for step in attest if "run" in step)
    for script in (install, sign, verify):
        done = run(script, work, variables)
        assert done.returncode == 0, done.stdout
    assert "may be deployed" in done.stdout
    assert json.loads((temp / "predicate.json").read_text())["result"] == "PASSED"
    assert not (temp / "gate.key").exists()

    with (work / "dist" / "int8.safetensors").open("ab") as handle:
        handle.write(b"x")
    assert (run(sign, work, variables).returncode, run(verify, work, variables).returncode) == (3, 2)


def _openssl(*words, text=""):
    return subprocess.run(["openssl", *words], input=text, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    ("script", "variables", "base"),
    [
        ("gitlab.sh", {"CI_COMMIT_REF_PROTECTED": "true"}, "commit"),
        ("gitlab.sh", {"CI_COMMIT_REF_PROTECTED": "false"}, "refs/heads/main"),
        (
            "gitlab.sh",
            {"CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "old", "CI_COMMIT_REF_PROTECTED": "true"},
            "refs/heads/old",
        ),
        ("gitlab.sh", {"FG_POLICY_FROM": "workspace"}, "workspace"),
        ("jenkins.sh", {"BRANCH_NAME": "main"}, "commit"),
        ("jenkins.sh", {"BRANCH_NAME": "topic"}, "refs/heads/main"),
        ("jenkins.sh", {"BRANCH_NAME": "PR-1", "CHANGE_TARGET": "old"}, "refs/heads/old"),
        ("jenkins.sh", {"BRANCH_NAME": "main", "FG_POLICY_FROM": "v1"}, "v1"),
    ],
)
def test_each_ci_says_whose_policy_counts(tmp_path, script, variables, base) -> None:
    (tmp_path / script).write_bytes((CI / script).read_bytes())
    (tmp_path / "gate.sh").write_text('printf %s "$FG_BASE"\n')
    given = {"CI_COMMIT_SHA": "c", "CI_PROJECT_PATH": "a/b", "CI_PIPELINE_ID": "7", "CI_DEFAULT_BRANCH": "main"}
    given |= {"GIT_COMMIT": "c", "FG_DEFAULT_BRANCH": "main", "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        ["bash", str(tmp_path / script)], env=given | variables, check=True, capture_output=True, text=True
    )
    assert done.stdout == base


def test_a_fork_on_gitlab_is_refused_because_its_target_branch_is_its_own(tmp_path) -> None:
    (tmp_path / "gitlab.sh").write_bytes((CI / "gitlab.sh").read_bytes())
    (tmp_path / "gate.sh").write_text('printf %s "$FG_BASE"\n')
    report = tmp_path / "fidelity-gate-reports" / "fidelity-gate.xml"
    report.parent.mkdir()
    given = {"CI_COMMIT_SHA": "c", "CI_PROJECT_PATH": "fork/b", "CI_PIPELINE_ID": "7", "CI_DEFAULT_BRANCH": "main"}
    given |= {
        "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
        "CI_MERGE_REQUEST_PROJECT_ID": "1",
        "PATH": "/usr/bin:/bin",
    }
    for project, code, base in (("2", 2, ""), ("1", 0, "refs/heads/main")):
        report.write_text("green")
        command = ["bash", str(tmp_path / "gitlab.sh")]
        variables = given | {"CI_PROJECT_ID": project}
        done = subprocess.run(command, cwd=tmp_path, env=variables, check=False, capture_output=True, text=True)
        assert (done.returncode, done.stdout, report.exists()) == (code, base, code == 0)
        assert ("runs in a fork" in done.stderr) == (code == 2)


def test_a_gate_that_cannot_even_be_installed_leaves_no_older_report(repository, source, tmp_path) -> None:
    workspace = tmp_path / "work"
    repository.workspace(workspace)
    reports = workspace / "fidelity-gate-reports"
    reports.mkdir()
    for name in ("fidelity-gate.xml", "fidelity-gate-verdict.json"):
        (reports / name).write_text("green")
    asked = {"FG_INSTALL": "maybe", "CI_COMMIT_SHA": "c", "CI_PROJECT_PATH": "a/b", "CI_PIPELINE_ID": "7"}
    asked |= {"CI_DEFAULT_BRANCH": "main", "FG_POLICY": "policies/release.yaml"}
    done = run("\n".join(gitlab_job()["script"]), workspace, variables_for(source, tmp_path) | asked)
    assert (done.returncode, list(reports.iterdir())) == (2, [])
