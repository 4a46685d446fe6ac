"""Signed statements: what is signed and what is not, and what the deploy step lets through."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from proofs import desk_in, payload_of, rewrite

from fidelity_gate.cli import answer
from fidelity_gate.files import sha256_hex
from fidelity_gate.records import DeviceJob, DeviceRun, DeviceSteps, StepsWanted
from fidelity_gate.reports import json as saved

POLICY = """\
apiVersion: fidelity-gate/v1
name: release
reference: zoo:trm-addition
inputs: zoo:trm-addition
recursion: {h_cycles: 1, l_cycles: 2, steps: 2}
targets: [soc-8mb]
checks:
  carry-fidelity: {metric: carry_fidelity, aggregate: mean, require: {min: 0.5}}
  fits: {metric: sram_peak, require: {max: target.sram}}
  EXTRA
"""
DAY = timedelta(days=1)
STRICT = "small: {metric: model_size, require: {max: 1 kB}, severity: SEVERITY}"


@pytest.fixture(scope="session")
def judged(tmp_path_factory):
    """A candidate on disk, gated for real three ways: passed, passed with a warning, blocked."""
    folder = tmp_path_factory.mktemp("proof")
    artifact = folder / "int8.safetensors"
    assert answer(["compress", "zoo:trm-addition", "--recipe", "int8", "-o", str(artifact)]) == 0
    extras = {
        "passed": "",
        "warned": STRICT.replace("SEVERITY", "warn"),
        "blocked": STRICT.replace("SEVERITY", "error"),
    }
    for name, extra in extras.items():
        (folder / f"{name}.yaml").write_text(POLICY.replace("EXTRA", extra))
        order = ["run", str(folder / f"{name}.yaml"), "--candidate", f"int8={artifact}"]
        code = answer([*order, "--report", f"json:{folder / name}.json"])
        assert code == (1 if name == "blocked" else 0)
    return folder


@pytest.fixture
def desk(judged, tmp_path):
    """The judged run in a folder of its own, and a key."""
    return desk_in(tmp_path / "release", judged, "int8.safetensors")


# ---------------------------------------------------------------- the way it is meant to go


def test_a_file_that_passed_may_be_deployed(desk, capsys):
    assert desk.attest() == 0
    assert "PASSED: int8" in capsys.readouterr().err
    assert desk.verify("--max-age", "1 d") == 0
    assert "may be deployed: PASSED" in capsys.readouterr().out


def test_a_blocked_file_gets_a_statement_that_verify_refuses(desk, capsys):
    assert desk.attest("blocked") == 0
    assert desk.verify(name="blocked") == 1
    assert "blocked by the gate: carry-fidelity, small" in capsys.readouterr().out


def test_a_warning_needs_leave(desk, capsys):
    assert desk.attest("warned") == 0
    assert desk.verify(name="warned") == 1
    assert "--allow-warned" in capsys.readouterr().out
    assert desk.verify("--allow-warned", name="warned") == 0


def test_the_statement_is_in_totos_test_result_of_the_very_file(desk):
    desk.attest("warned")
    assert json.loads(desk.proof.read_text())["payloadType"] == "application/vnd.in-toto+json"
    statement = payload_of(desk.proof)
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    digest = sha256_hex(desk.artifact.read_bytes())
    assert statement["subject"] == [{"name": "int8.safetensors", "digest": {"sha256": digest}}]
    assert statement["predicate"]["fidelityGate"]["files"] == statement["subject"]
    predicate = statement["predicate"]
    assert predicate["passedTests"] == ["carry-fidelity", "fits@soc-8mb"]
    assert (predicate["result"], predicate["warnedTests"], predicate["failedTests"]) == ("WARNED", ["small"], [])
    policy = sha256_hex((desk.folder / "warned.yaml").read_bytes())
    assert predicate["configuration"][0]["name"] == "warned.yaml"
    assert len(policy) == len(predicate["configuration"][0]["digest"]["sha256"])
    assert str(desk.folder) not in json.dumps(statement)


def test_the_predicate_alone_is_what_the_statement_holds(desk):
    out = desk.folder / "predicate.json"
    assert desk.attest(**{"--predicate": str(out)}) == 0
    statement = payload_of(desk.proof)
    assert json.loads(out.read_text()) == statement["predicate"]


def of_another_file(statement):
    for files in (statement["subject"], statement["predicate"]["fidelityGate"]["files"]):
        files[0]["digest"]["sha256"] = "0" * 64


def test_several_statements_stand_one_a_line(desk):
    desk.attest()
    first = desk.proof.read_text()
    rewrite(desk.proof, of_another_file, key=desk.private)
    other = desk.proof.read_text()
    desk.proof.write_text(f"{other}\n{first}")
    assert desk.verify() == 0
    desk.proof.write_text(f"{first}\n{first}")
    assert desk.verify() == 2


# ---------------------------------------------------------------- what is not signed


def test_a_verdict_that_was_edited_is_not_signed(desk, capsys):
    verdict = desk.folder / "blocked.json"
    report = json.loads(verdict.read_text())
    report["verdict"] |= {"passed": True, "exit_code": 0}
    verdict.write_text(json.dumps(report))
    assert desk.attest("blocked") == 2
    assert "not what its own measurements say" in capsys.readouterr().err
    assert not desk.proof.exists()


def test_a_run_that_was_stopped_is_not_signed(desk, capsys):
    policy = desk.folder / "passed.yaml"
    policy.write_text(policy.read_text().replace("zoo:trm-addition", "nowhere.safetensors", 1))
    verdict = desk.folder / "stopped.json"
    assert answer(["run", str(policy), "--candidate", f"int8={desk.artifact}", "--report", f"json:{verdict}"]) == 2
    assert desk.attest("stopped") == 2
    assert "came to no verdict of its own: " in capsys.readouterr().err


JOB = DeviceJob("j1", "", "Phone", "15", "onnx", "npu", "0" * 64, "2026-01-01T00:00:00+00:00", simulated=True)
SIMULATED = {
    "timed": {"device_runs": (DeviceRun("phone", "qai_hub", job=JOB),)},
    "computed": {"device_steps": (DeviceSteps(StepsWanted("phone"), "qai_hub", jobs=(JOB,)),)},
}


@pytest.mark.parametrize("of", SIMULATED)
def test_what_rests_on_a_simulated_device_is_not_signed(desk, of, capsys):
    verdict = desk.folder / "passed.json"
    found = saved.read(str(verdict))
    (record,) = found.measured.candidates
    measured = replace(found.measured, candidates=(replace(record, **SIMULATED[of]),))
    verdict.write_text(saved.Json().render(replace(found, measured=measured)))
    assert desk.attest() == 2
    assert "rest on simulated devices (phone)" in capsys.readouterr().err
    assert not desk.proof.exists()


def test_a_session_that_left_checks_out_is_not_signed(desk, capsys):
    """As the pytest plugin leaves it where checks were deselected: a report with the policy's checks, and an error."""
    verdict = desk.folder / "passed.json"
    found = saved.read(str(verdict))
    verdict.write_text(saved.Json().render(replace(found, error="1 of 2 checks were deselected: fits[int8]")))
    assert desk.attest() == 2
    assert "not what its own measurements say" in capsys.readouterr().err


def test_an_older_statement_does_not_outlive_a_failed_attempt(desk):
    desk.attest()
    desk.artifact.write_bytes(b"another")
    assert desk.attest() == 2
    assert not desk.proof.exists()


def test_the_candidate_has_to_be_one_of_the_run(desk, capsys):
    assert desk.attest(**{"--candidate": "int4"}) == 2
    assert "one of int8" in capsys.readouterr().err


def test_a_key_and_a_file_go_together(desk):
    verdict = str(desk.folder / "passed.json")
    assert answer(["attest", verdict, "--key", desk.private]) == 2
    assert answer(["attest", verdict]) == 2


@pytest.mark.parametrize("written", ["passed.json", "int8.safetensors", "gate.key"])
def test_nothing_that_is_read_is_written_over(desk, written):
    before = (desk.folder / written).read_bytes()
    assert desk.attest(**{"-o": str(desk.folder / written)}) == 2
    assert (desk.folder / written).read_bytes() == before


# ---------------------------------------------------------------- waivers


WAIVED = """  small: {metric: model_size, require: {max: 1 kB}}
waiver_rules: {max_days: 30}
waivers:
  w1:
    check: small
    candidate: int8
    digest: DIGEST
    floor: {max: 2 MiB}
    reason: the flash of the next board is larger
    ticket: FG-1
    owner: ada@example.org
    created: CREATED
    expires: EXPIRES
"""


def test_a_waiver_that_has_run_out_since_lets_nothing_through(desk, monkeypatch, capsys):
    today = datetime.now(UTC).date()
    said = {"DIGEST": sha256_hex(desk.artifact.read_bytes()), "CREATED": str(today), "EXPIRES": str(today + DAY)}
    text = POLICY.replace("  EXTRA\n", WAIVED)
    for word, meant in said.items():
        text = text.replace(word, meant)
    (desk.folder / "waived.yaml").write_text(text)
    order = ["run", str(desk.folder / "waived.yaml"), "--candidate", f"int8={desk.artifact}"]
    assert answer([*order, "--report", f"json:{desk.folder / 'waived.json'}"]) == 0
    assert desk.attest("waived") == 0
    assert desk.verify(name="waived") == 1
    assert desk.verify("--allow-warned", name="waived") == 0
    monkeypatch.setattr("fidelity_gate.verbs.verify.datetime", Later)
    capsys.readouterr()
    assert desk.verify("--allow-warned", name="waived") == 2
    assert "waivers.w1: expired on" in capsys.readouterr().err


class Later(datetime):
    """The day after the day after."""

    @classmethod
    def now(cls, tz=None):
        return datetime.now(tz) + 2 * DAY
