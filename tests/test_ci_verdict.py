"""The verdict file: what it may say, what a later job takes from it, and what that job refuses."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fidelity_gate import cli
from fidelity_gate.errors import ExitCode, Refused, Undecided
from fidelity_gate.files import sha256_hex
from fidelity_gate.verbs.ci_verdict import NAME, Demand, Run, Verdict, Word, dump, load, required, word_of

COMMIT = "c" * 40
GOOD = Verdict(
    verdict=Word.PASSED,
    exit_code=0,
    reason="all 2 required checks are met",
    run=Run(COMMIT, "somebody/models", "77", "b" * 40),
    policy="policies/release.yaml",
    digests={"policy": "1" * 64, "candidate.int8": "2" * 64},
    reports={"fidelity-gate.json": "3" * 64},
    created="2026-01-01T00:00:00+00:00",
    tool="fidelity-gate 0.1.0",
)
CHECK = Path(__file__).resolve().parents[1] / "ci" / "check_verdict.py"


@given(st.integers(-300, 300))
def test_only_the_exit_code_0_is_the_word_passed(code) -> None:
    assert (word_of(code) == Word.PASSED) == (code == 0)
    assert word_of(code) != Word.INTERNAL or code not in set(ExitCode) or code == 4


@given(st.text(), st.sampled_from([1, 2, 3, 4]))
def test_a_verdict_reads_back_and_nothing_in_it_is_a_workflow_command(reason, code) -> None:
    made = replace(GOOD, verdict=word_of(code), exit_code=code, reason=reason)
    text = dump(made)
    assert "::" not in text
    assert "##[" not in text
    assert text.isascii()
    assert text.count("\n") == 1
    found = load(text.encode(), "x")
    assert replace(found, reason="") == replace(made, reason="")


@pytest.mark.parametrize(
    "change",
    [
        {"verdict": "failed"},
        {"exit_code": 1},
        {"exit_code": True},
        {"exit_code": 0.0},
        {"verdict": "PASSED"},
        {"schema": "fidelity-gate/ci-verdict/v2"},
        {"more": 1},
        {"digests": {"policy": "1"}},
        {"digests": {"policy": "A" * 64}},
        {"run": {"commit": COMMIT}},
        {"run": {"commit": COMMIT, "repository": "", "run": 7, "policy_commit": ""}},
        {"reports": []},
    ],
)
def test_a_verdict_that_contradicts_itself_is_refused(change) -> None:
    with pytest.raises(Refused):
        load(json.dumps(json.loads(dump(GOOD)) | change).encode(), "x")


@pytest.mark.parametrize("key", sorted(json.loads(dump(GOOD))))
def test_a_verdict_lacks_nothing(key) -> None:
    plain = json.loads(dump(GOOD))
    del plain[key]
    with pytest.raises(Refused):
        load(json.dumps(plain).encode(), "x")


@pytest.fixture
def file(tmp_path):
    path = tmp_path / NAME
    path.write_text(dump(GOOD))
    return path


def test_a_later_job_takes_only_the_verdict_on_its_own_commit_and_files(file) -> None:
    whole = Demand(COMMIT, "somebody/models", "77", sha256_hex(dump(GOOD).encode()), "1" * 64, {"int8": "2" * 64})
    assert required(str(file), whole) == GOOD
    assert required(str(file), Demand(COMMIT)) == GOOD
    others = (
        {"commit": ""},
        {"commit": "d" * 40},
        {"repository": "else/models"},
        {"run": "78"},
        {"verdict_digest": "0" * 64},
        {"policy_digest": "0" * 64},
        {"candidates": {"int8": "0" * 64}},
        {"candidates": {"int4": "2" * 64}},
    )
    for other in others:
        with pytest.raises(Undecided):
            required(str(file), replace(whole, **other))
    file.unlink()
    with pytest.raises(Undecided, match="no such file"):
        required(str(file), whole)


def test_the_command_exits_with_the_gates_own_code(file, tmp_path, capsys) -> None:
    artifact = tmp_path / "int8.safetensors"
    artifact.write_bytes(b"weights")
    assert cli.answer(["ci", "require", str(file), "--commit", COMMIT]) == 0
    assert capsys.readouterr().out == "passed (exit 0): all 2 required checks are met\n"
    asked = ["ci", "require", str(file), "--commit", COMMIT, "--artifact", f"int8={artifact}"]
    assert cli.answer(asked) == 3
    told = capsys.readouterr().err
    assert "--artifact: 9a129038d9a0 is not the file of int8 that was judged, 222222222222 (run the gate on" in told
    assert "commit" not in told
    assert cli.answer([*asked[:-1], f"int2={artifact}"]) == 3
    assert "is on no candidate 'int2' (it has int8" in capsys.readouterr().err
    digests = {**GOOD.digests, "candidate.int8": sha256_hex(b"weights")}
    file.write_text(dump(replace(GOOD, digests=digests)))
    assert cli.answer(asked) == 0
    file.write_text(dump(replace(GOOD, digests=digests, verdict=Word.FAILED, exit_code=1)))
    assert cli.answer(asked) == 1
    assert cli.answer([*asked, "--digest", "xyz"]) == 2
    assert cli.answer([*asked[:-1], "int8"]) == 2


def test_every_file_that_is_named_of_a_candidate_counts(file, tmp_path) -> None:
    for name, data in (("step.onnx", b"graph"), ("embed.onnx", b"table"), ("other.onnx", b"another")):
        (tmp_path / name).write_bytes(data)
    both = sha256_hex(f"{sha256_hex(b'graph')}\n{sha256_hex(b'table')}".encode())
    file.write_text(dump(replace(GOOD, digests={**GOOD.digests, "candidate.int8": both})))

    def asked(*names: str) -> int:
        given = [word for name in names for word in ("--artifact", f"int8={tmp_path / name}")]
        return cli.answer(["ci", "require", str(file), "--commit", COMMIT, *given])

    assert asked("step.onnx", "embed.onnx") == 0
    assert asked("step.onnx") == asked("embed.onnx", "step.onnx") == asked("step.onnx", "other.onnx") == 3
    file.write_text(dump(replace(GOOD, digests={**GOOD.digests, "candidate.int8": sha256_hex(b"graph")})))
    assert asked("step.onnx") == 0
    assert asked("other.onnx", "step.onnx") == 3  # the last one named does not hide the first


def test_the_check_of_the_required_job_needs_nothing_but_the_standard_library(file) -> None:
    variables = {"FG_GATE_RESULT": "success", "FG_VERDICT_DIGEST": sha256_hex(file.read_bytes())}
    variables |= {"FG_COMMIT": COMMIT, "FG_REPOSITORY": "somebody/models", "FG_RUN": "77"}
    command = [sys.executable, "-I", "-S", str(CHECK), str(file.parent)]  # -S: no site-packages at all
    assert subprocess.run(command, env=variables, check=False).returncode == 0
    hostile = {**variables, "FG_GATE_RESULT": "::error::%0A\n::set-output name=x::y"}
    done = subprocess.run(command, env=hostile, check=False, capture_output=True, text=True)
    assert done.returncode == 3
    assert done.stdout.startswith("::error title=fidelity-gate::")
    assert done.stdout.count("\n") == 1
    assert "%250A" in done.stdout
