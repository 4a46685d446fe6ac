"""The step of the GitHub action that runs the gate, in this process: hostile inputs, and gates that do not end well."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from actions import obeyed, outputs_of
from test_reports import passing

from fidelity_gate import cli
from fidelity_gate.errors import Internal, ReportNotWritten
from fidelity_gate.verbs.ci_runner import FORMS, Runner
from fidelity_gate.verbs.orders import deliver, parse_orders

POLICY = """\
apiVersion: fidelity-gate/v1
name: quick
reference: zoo:trm-addition
candidates: {int8: dist/int8.safetensors}
inputs: {use: zoo, name: trm-addition}
recursion: {h_cycles: 1, l_cycles: 2, steps: 2}
checks:
  small-enough: {metric: model_size, require: {max: 400 KiB}}
"""


@pytest.fixture
def step(tmp_path, monkeypatch):
    """Return the workspace of a step, whose variables are set as the action sets them; the policy is beside it."""
    workspace, temp = tmp_path / "workspace", tmp_path / "temp"
    checkout = workspace / ".fidelity-gate-0123456789abcdef"
    for folder in (checkout / ".git", temp):
        folder.mkdir(parents=True)
    (checkout / "release.yaml").write_text(POLICY)
    variables = {
        "GITHUB_WORKSPACE": workspace,
        "RUNNER_TEMP": temp,
        "GITHUB_OUTPUT": tmp_path / "output",
        "GITHUB_STEP_SUMMARY": tmp_path / "summary",
        "FG_POLICY": "release.yaml",
        "FG_FROM": "base",
        "FG_CHECKOUT": checkout.name,
        "FG_COMMIT": "c" * 40,
        "FG_REPOSITORY": "a/b",
        "FG_RUN": "7",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.chdir(workspace)
    return workspace


def told(tmp_path):
    return outputs_of((tmp_path / "output").read_text())


HOSTILE = (
    ({"FG_POLICY": "a\nverdict<<x\npassed\nx\n"}, 2),
    ({"FG_POLICY": "::set-output name=verdict::passed"}, 2),
    ({"FG_POLICY": "##[error]x"}, 2),
    ({"FG_POLICY": "../release.yaml"}, 2),
    ({"FG_POLICY": "/etc/passwd"}, 2),
    ({"FG_POLICY": ""}, 2),
    ({"FG_CANDIDATES": "int8=a.safetensors\nint8=a.safetensors"}, 2),
    ({"FG_CANDIDATES": "int8"}, 2),
    ({"FG_CANDIDATES": "--allow-code=x\n$(id)"}, 2),
    ({"FG_CANDIDATES": "int8=\x1b[2J.safetensors"}, 2),
    ({"FG_REFERENCE": "../../ref.safetensors"}, 2),
    ({"FG_REFERENCE": "{workspace}/ref.safetensors"}, 2),
    ({"FG_REFERENCE_DIGEST": "abc"}, 2),
    ({"FG_REFERENCE_DIGEST": "::error::x"}, 2),
    ({"FG_INPUTS": "npz:path={workspace}/eval.npz"}, 2),
    ({"FG_REPORTS": "out*"}, 2),
    ({"FG_REPORTS": "out\nverdict=passed"}, 2),
    ({"FG_REPORTS": "file/deep"}, 4),
    ({"FG_REPORTS": "file"}, 4),
    ({"FG_REPORTS": "link"}, 4),
    ({"FG_ALLOW_CODE": "yes"}, 2),
    ({"FG_CHECKOUT": ""}, 2),
    ({"FG_CHECKOUT": "dist"}, 2),
)


@pytest.mark.parametrize(("variables", "code"), HOSTILE)
def test_what_cannot_be_meant_is_refused_in_one_line_before_anything_runs(
    step, tmp_path, monkeypatch, capfd, variables, code
) -> None:
    (step / "file").write_text("a file")
    (step / "link").symlink_to(tmp_path)
    monkeypatch.setattr(sys, "executable", "/no/such/python")  # whoever comes as far as running it gets 3
    for name, value in variables.items():
        monkeypatch.setenv(name, value.replace("{workspace}", str(step)))
    assert cli.answer(["ci", "github"]) == code
    outputs = told(tmp_path)
    assert outputs["verdict"] == {2: "refused", 4: "internal"}[code]
    assert (outputs["exit-code"], set(outputs) <= set(FORMS)) == (str(code), True)
    out, err = capfd.readouterr()
    assert err.startswith("fidelity-gate: error: ")
    assert err.count("\n") == 1
    assert all(command == "error" for command, _, _ in obeyed(out))
    assert "BLOCKED" in (tmp_path / "summary").read_text()
    if outputs["report-path"]:
        folder = Path(outputs["report-path"])
        verdict = json.loads((folder / "fidelity-gate-verdict.json").read_text())
        assert (verdict["verdict"], verdict["exit_code"]) == ("refused", 2)
        assert 'failures="1"' in (folder / "fidelity-gate.xml").read_text()


ENDS = (
    ("kill -9 $$", 3, "was ended by signal 9"),
    ("kill -11 $$", 3, "was ended by signal 11"),
    ("exit 77", 3, "ended with exit code 77"),
    ("exit 0", 4, "without fidelity-gate.json"),
    ("exit 1", 4, "without fidelity-gate.json"),
    ("exit 4", 4, "could not write every report"),
)


@pytest.mark.parametrize(("script", "code", "said"), ENDS)
def test_a_gate_that_ends_without_its_reports_never_passed_and_every_report_says_so(
    step, tmp_path, monkeypatch, capfd, script, code, said
) -> None:
    fake = tmp_path / "python"
    fake.write_text(f"#!/usr/bin/env bash\necho '::error::hostile'\necho ' ##[error]hostile' >&2\n{script}\n")
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    assert cli.answer(["ci", "github"]) == code
    outputs = told(tmp_path)
    assert (outputs["exit-code"], outputs["policy-digest"], outputs["artifact-digests"]) == (str(code), "", "{}")
    folder = Path(outputs["report-path"])
    verdict = json.loads((folder / "fidelity-gate-verdict.json").read_text())
    assert (verdict["exit_code"], said in verdict["reason"]) == (code, True)
    for name in verdict["reports"]:
        content = (folder / name).read_text()
        assert "PASSED" not in content
        assert "failure" in content or said in content or "BLOCKED" in content
    commands = obeyed(capfd.readouterr().out)
    assert [command for command, _, _ in commands] == ["error"]
    assert said in commands[0][2]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(("variable", "code"), [("GITHUB_STEP_SUMMARY", 4), ("", 0)])
def test_a_pass_that_cannot_be_told_is_taken_back_in_every_report(step, tmp_path, monkeypatch, variable, code) -> None:
    made, folder = tmp_path / "made", tmp_path / "temp" / "fidelity-gate" / "report"
    made.mkdir()
    kinds = {"json": ".json", "junit": ".xml", "html": ".html", "sarif": ".sarif", "markdown": ".md"}
    files = {kind: f"fidelity-gate{suffix}" for kind, suffix in kinds.items()}
    files["github"] = "fidelity-gate-annotations.txt"
    deliver(parse_orders(tuple(f"{kind}:{made / name}" for kind, name in files.items())), passing())
    saved = made / files["json"]
    saved.write_text(re.sub('"(p{64}|digest of int8)"', f'"{"1" * 64}"', saved.read_text()))  # as outputs take them
    fake = tmp_path / "python"
    fake.write_text(f"#!/usr/bin/env bash\ncp {made}/* {folder}\n")  # a gate that passes
    fake.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    if variable:
        monkeypatch.setenv(variable, "/dev/full")
    assert cli.answer(["ci", "github"]) == code
    outputs = told(tmp_path)
    assert (outputs["verdict"], outputs["exit-code"]) == ({0: "passed", 4: "internal"}[code], str(code))
    found = {file.name for file in folder.iterdir()}
    assert found == set(files.values()) | (set() if code else {"fidelity-gate-verdict.json"})
    assert f'failures="{1 if code else 0}"' in (folder / "fidelity-gate.xml").read_text()
    assert any("PASSED" in (folder / name).read_text() for name in found) == (code == 0)


def test_an_older_pass_does_not_outlive_a_gate_that_says_nothing(step, tmp_path, monkeypatch) -> None:
    folder = tmp_path / "temp" / "fidelity-gate" / "report"
    folder.mkdir(parents=True)
    (folder / "fidelity-gate-verdict.json").write_text('{"verdict": "passed"}')
    (folder / "fidelity-gate.json").write_text("{}")
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    assert cli.answer(["ci", "github"]) == 3
    assert json.loads((folder / "fidelity-gate-verdict.json").read_text())["verdict"] == "undecided"


@pytest.mark.parametrize("words", [("--trusted", "none"), ("--reference-digest", "abc"), ("--candidate", "int8")])
def test_what_cannot_be_meant_replaces_an_older_pass_in_any_ci(tmp_path, monkeypatch, capsys, words) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "reports"
    folder.mkdir()
    for name in ("fidelity-gate-verdict.json", "fidelity-gate.json", "fidelity-gate.xml"):
        (folder / name).write_text("yesterday")
    assert cli.answer(["ci", "run", "p.yaml", "--reports", "reports", "--commit", "c" * 40, *words]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert json.loads((folder / "fidelity-gate-verdict.json").read_text())["verdict"] == "refused"
    assert "yesterday" not in (folder / "fidelity-gate.xml").read_text() + (folder / "fidelity-gate.json").read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_told_to_stop_stops_the_gate_and_leaves_no_verdict(step, tmp_path, number) -> None:
    fake = tmp_path / "python"
    fake.write_text(
        f"#!/usr/bin/env bash\ncd {tmp_path}\necho $$ > started.part; mv started.part started\nexec sleep 60\n"
    )
    fake.chmod(0o755)
    code = f"import sys; sys.executable = {str(fake)!r}; from fidelity_gate import cli; cli.main(['ci', 'github'])"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (tmp_path / "started").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(number)
    assert process.wait(timeout=30) == 128 + number
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "started").read_text()), 0)
    assert told(tmp_path)["verdict"] != "passed"
    assert list((tmp_path / "temp" / "fidelity-gate" / "report").iterdir()) == []


def test_outputs_have_closed_forms_whatever_is_put_into_them(tmp_path) -> None:
    runner = Runner({"GITHUB_OUTPUT": str(tmp_path / "output")})
    for name, value in (("verdict", "passed\nx"), ("verdict", "PASSED"), ("exit-code", ""), ("report-path", "a\nb=c")):
        with pytest.raises(Internal, match="no value of the output"):
            runner.say({name: value})
    assert not (tmp_path / "output").exists()
    with pytest.raises(ReportNotWritten):
        Runner({"GITHUB_OUTPUT": str(tmp_path)}).say({"verdict": "failed"})
    runner.say({"verdict": "internal", "report-path": "/x y/ü"})
    runner.say({"verdict": "failed"})
    assert outputs_of((tmp_path / "output").read_text()) == {"verdict": "failed", "report-path": "/x y/ü"}


@pytest.mark.parametrize(("used", "told"), [(0, "## BLOCKED: x\nwhy\n"), (4, "## BLOCKED: x"), (20, "")])
def test_a_summary_that_is_nearly_full_still_gets_the_verdict(tmp_path, used, told) -> None:
    file = tmp_path / "summary"
    file.write_text("." * ((1 << 20) - 2_000 - 20 + used))
    runner = Runner({"GITHUB_STEP_SUMMARY": str(file)})
    runner.summarize("## BLOCKED: x\nwhy\n")
    assert file.read_text().lstrip(".") == (f"\n{told}\n" if told else "")
    assert file.stat().st_size <= 1 << 20


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "ci needs a verb of its own"),
        (["rnu"], "did you mean run"),
        (["run", "p.yaml", "--reports", "r"], "Missing option '--commit'"),
        (["run", "p.yaml", "--reports", "r", "--commit", "HEAD"], "--commit: 'HEAD' is no commit's whole name"),
        (["require", "verdict.json", "--commit", "main"], "--commit: 'main' is no commit's whole name"),
        (["github"], "GITHUB_OUTPUT is not set"),
        (["plan"], "does not say which branch"),
    ],
)
def test_the_commands_say_what_they_lack(tmp_path, monkeypatch, capsys, words, said) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_OUTPUT", "FG_BASE_REF", "FG_DEFAULT_BRANCH"):
        monkeypatch.delenv(name, raising=False)
    assert cli.answer(["ci", *words]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
