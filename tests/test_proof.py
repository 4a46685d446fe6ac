"""Signed statements: what is signed, what the deploy step lets through, and that no field can be changed unseen."""

import base64
import json
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from fidelity_gate.cli import answer
from fidelity_gate.errors import Refused
from fidelity_gate.files import sha256_hex
from fidelity_gate.proof.envelope import opened, sealed
from fidelity_gate.proof.keys import private_key, public_key

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
STRICT = "small: {metric: model_size, require: {max: 1 kB}, severity: SEVERITY}"
KINDS = {"ed25519": ed25519.Ed25519PrivateKey.generate}
KINDS |= {curve.name: (lambda curve=curve: ec.generate_private_key(curve())) for curve in (ec.SECP256R1, ec.SECP384R1)}


def pem_pair(folder, key, name="gate", password=None):
    """Write both halves of a key and return their paths."""
    encryption = serialization.BestAvailableEncryption(password.encode()) if password else serialization.NoEncryption()
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    form = serialization.PrivateFormat.PKCS8
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, form, encryption))
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(key.public_key().public_bytes(serialization.Encoding.PEM, spki))
    return str(private), str(public)


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
    """The judged run in a folder of its own, a key, and how to attest and verify there."""
    folder = tmp_path / "release"
    shutil.copytree(judged, folder)
    private, public = pem_pair(folder, ed25519.Ed25519PrivateKey.generate())
    artifact, proof = folder / "int8.safetensors", folder / "int8.intoto.json"

    def attest(name="passed", **changed):
        options = {"--artifact": str(artifact), "--key": private, "-o": str(proof)} | changed
        return answer(["attest", str(folder / f"{name}.json"), *(part for pair in options.items() for part in pair)])

    def verify(*extra, name="passed", **changed):
        options = {"--attestation": str(proof), "--key": public, "--policy": str(folder / f"{name}.yaml")} | changed
        return answer(["verify", str(artifact), *(part for pair in options.items() for part in pair), *extra])

    return SimpleNamespace(
        folder=folder, artifact=artifact, proof=proof, private=private, public=public, attest=attest, verify=verify
    )


def rewritten(desk, change, *, key=None):
    """Change what the statement says, and sign that again where there is a key; else keep the old signature."""
    envelope = json.loads(desk.proof.read_text())
    statement = json.loads(base64.b64decode(envelope["payload"]))
    change(statement)
    payload = json.dumps(statement, sort_keys=True).encode()
    if key:
        desk.proof.write_text(sealed(payload, private_key(key)))
    else:
        desk.proof.write_text(json.dumps(envelope | {"payload": base64.b64encode(payload).decode()}))


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
    envelope = json.loads(desk.proof.read_text())
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    statement = json.loads(base64.b64decode(envelope["payload"]))
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    digest = sha256_hex(desk.artifact.read_bytes())
    assert statement["subject"] == [{"name": "int8.safetensors", "digest": {"sha256": digest}}]
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
    statement = json.loads(base64.b64decode(json.loads(desk.proof.read_text())["payload"]))
    assert json.loads(out.read_text()) == statement["predicate"]


def test_the_signature_is_one_that_another_tool_verifies(desk):
    """DSSE signs `DSSEv1 LEN TYPE LEN PAYLOAD`; here it is put together again from the specification."""
    desk.attest()
    envelope = json.loads(desk.proof.read_text())
    payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"].encode()
    message = b" ".join((b"DSSEv1", str(len(kind)).encode(), kind, str(len(payload)).encode(), payload))
    key = serialization.load_pem_public_key((desk.folder / "gate.pub").read_bytes())
    key.verify(base64.b64decode(envelope["signatures"][0]["sig"]), message)  # raises


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_key_signs_and_verifies(tmp_path, kind):
    private, public = pem_pair(tmp_path, KINDS[kind]())
    envelope = sealed(b"payload", private_key(private))
    assert opened(envelope, public_key(public), "here") == b"payload"
    other = pem_pair(tmp_path, KINDS[kind](), "other")[1]
    with pytest.raises(Refused, match="not signed by this key"):
        opened(envelope, public_key(other), "here")


def test_several_statements_stand_one_a_line(desk):
    desk.attest()
    first = desk.proof.read_text()
    rewritten(desk, lambda one: one["subject"][0]["digest"].update(sha256="0" * 64), key=desk.private)
    other = desk.proof.read_text()
    desk.proof.write_text(f"{other}\n{first}")
    assert desk.verify() == 0
    desk.proof.write_text(f"{first}\n{first}")
    assert desk.verify() == 2


# ---------------------------------------------------------------- what must not get through


def digest_of_subject(statement):
    statement["subject"][0]["digest"]["sha256"] = "0" * 64


CHANGES = {
    "the type": lambda one: one.update(_type="https://in-toto.io/Statement/v0.1"),
    "the predicate type": lambda one: one.update(predicateType="https://slsa.dev/provenance/v1"),
    "the file's name": lambda one: one["subject"][0].update(name="other.onnx"),
    "the file's digest": digest_of_subject,
    "another file": lambda one: one["subject"].append({"name": "b", "digest": {"sha256": "1" * 64}}),
    "the result": lambda one: one["predicate"].update(result="WARNED"),
    "the policy": lambda one: one["predicate"]["configuration"][0]["digest"].update(sha256="2" * 64),
    "the reference": lambda one: one["predicate"]["configuration"][1]["digest"].update(sha256="3" * 64),
    "the inputs": lambda one: one["predicate"]["configuration"][2].update(name="easy.npz"),
    "a passed test": lambda one: one["predicate"]["passedTests"].append("lint"),
    "a warned test": lambda one: one["predicate"]["warnedTests"].append("lint"),
    "a failed test": lambda one: one["predicate"]["failedTests"].append("lint"),
    "the time": lambda one: one["predicate"]["fidelityGate"].update(created="2020-01-01T00:00:00+00:00"),
    "the candidate": lambda one: one["predicate"]["fidelityGate"].update(candidate="int4"),
    "the exit code": lambda one: one["predicate"]["fidelityGate"].update(exitCode=1),
    "the depth": lambda one: one["predicate"]["fidelityGate"].update(depth="H=1 L=1 steps=1"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_can_be_changed_after_it_was_signed(desk, change, capsys):
    desk.attest()
    rewritten(desk, CHANGES[change])
    assert desk.verify() == 2
    assert "was changed after it was signed" in capsys.readouterr().err


def aged(**back):
    return (datetime.now(UTC) - timedelta(**back)).isoformat()


SIGNED_CHANGES = {
    "another file": (digest_of_subject, "says nothing about this file"),
    "another policy": (CHANGES["the policy"], "judged by another policy"),
    "another predicate": (CHANGES["the predicate type"], "predicateType"),
    "two files": (CHANGES["another file"], "of one file"),
    "no policy": (lambda one: one["predicate"]["configuration"].pop(0), "one of them is the policy"),
    "a failed test in a pass": (CHANGES["a failed test"], "say otherwise"),
    "an exit code in a pass": (CHANGES["the exit code"], "say otherwise"),
    "a pass of nothing": (lambda one: one["predicate"].update(passedTests=[]), "say otherwise"),
    "a result of its own": (lambda one: one["predicate"].update(result="passed"), "must be one of PASSED"),
    "too long ago": (lambda one: one["predicate"]["fidelityGate"].update(created=aged(days=8)), "8.0 days ago"),
    "in the future": (lambda one: one["predicate"]["fidelityGate"].update(created=aged(days=-1)), "in the future"),
    "a time of no zone": (lambda one: one["predicate"]["fidelityGate"].update(created="2026-01-01"), "without a zone"),
    "no time": (lambda one: one["predicate"]["fidelityGate"].update(created="today"), "is not a time"),
    "nothing of ours": (lambda one: one["predicate"].pop("fidelityGate"), "fidelityGate"),
}


@pytest.mark.parametrize("change", SIGNED_CHANGES)
def test_a_true_signature_is_not_enough(desk, change, capsys):
    desk.attest()
    act, said = SIGNED_CHANGES[change]
    rewritten(desk, act, key=desk.private)
    assert desk.verify("--max-age", "7 d") == 2
    assert said in capsys.readouterr().err


def test_another_file_of_the_same_name_may_not_be_deployed(desk, capsys):
    desk.attest()
    desk.artifact.write_bytes(desk.artifact.read_bytes() + b"\0")
    assert desk.verify() == 2
    assert "says nothing about this file" in capsys.readouterr().err


def test_a_policy_that_changed_since_needs_a_new_run(desk, capsys):
    desk.attest()
    policy = desk.folder / "passed.yaml"
    policy.write_text(policy.read_text().replace("min: 0.5", "min: 0.6"))
    assert desk.verify() == 2
    assert "run the gate again" in capsys.readouterr().err


def test_a_verdict_that_was_edited_is_not_signed(desk, capsys):
    verdict = desk.folder / "blocked.json"
    report = json.loads(verdict.read_text())
    report["verdict"] |= {"passed": True, "exit_code": 0}
    verdict.write_text(json.dumps(report))
    assert desk.attest("blocked") == 2
    assert "not what its own measurements say" in capsys.readouterr().err
    assert not desk.proof.exists()


def test_a_file_that_is_not_the_one_judged_is_not_signed(desk, capsys):
    desk.artifact.write_bytes(desk.artifact.read_bytes() + b"\0")
    assert desk.attest() == 2
    assert "is not the file that was judged" in capsys.readouterr().err


def test_a_run_that_was_stopped_is_not_signed(desk, capsys):
    policy = desk.folder / "passed.yaml"
    policy.write_text(policy.read_text().replace("zoo:trm-addition", "nowhere.safetensors", 1))
    verdict = desk.folder / "stopped.json"
    assert answer(["run", str(policy), "--candidate", f"int8={desk.artifact}", "--report", f"json:{verdict}"]) == 2
    assert desk.attest("stopped") == 2
    assert "stopped before anything was measured" in capsys.readouterr().err


def test_an_older_statement_does_not_outlive_a_failed_attempt(desk):
    desk.attest()
    desk.artifact.write_bytes(b"another")
    assert desk.attest() == 2
    assert not desk.proof.exists()


# ---------------------------------------------------------------- keys and command lines


def test_an_encrypted_key_needs_its_password(desk, monkeypatch, capsys):
    key = ed25519.Ed25519PrivateKey.generate()
    private, public = pem_pair(desk.folder, key, "locked", "open sesame")
    assert desk.attest(**{"--key": private}) == 2
    assert "FIDELITY_GATE_KEY_PASSWORD" in capsys.readouterr().err
    monkeypatch.setenv("FIDELITY_GATE_KEY_PASSWORD", "wrong")
    assert desk.attest(**{"--key": private}) == 2
    monkeypatch.setenv("FIDELITY_GATE_KEY_PASSWORD", "open sesame")
    assert desk.attest(**{"--key": private}) == 0
    assert desk.verify(**{"--key": public}) == 0
    assert "open sesame" not in capsys.readouterr().err


def test_a_private_key_is_no_key_to_verify_with(desk, capsys):
    desk.attest()
    assert desk.verify(**{"--key": desk.private}) == 2
    assert "give the public half" in capsys.readouterr().err


@pytest.mark.parametrize("role", ["--key"])
def test_other_kinds_of_keys_are_refused(desk, role, capsys):
    private, public = pem_pair(desk.folder, rsa.generate_private_key(65537, 2048), "rsa")
    assert desk.attest(**{role: private}) == 2
    desk.attest()
    assert desk.verify(**{role: public}) == 2
    assert capsys.readouterr().err.count("of a kind that is not taken") == 2


@pytest.mark.parametrize("broken", [b"", b"{", b"null", b"[]", b"{}", b"\xff", b"{}\n" * 2000])
def test_what_is_no_attestation_is_refused(desk, broken):
    desk.proof.write_bytes(broken)
    assert desk.verify() == 2


@pytest.mark.parametrize("said", ["7", "0 d", "-1 d", "1 year", "nan d"])
def test_an_age_is_a_time_with_its_unit(desk, said, capsys):
    desk.attest()
    assert desk.verify("--max-age", said) == 2
    assert "--max-age" in capsys.readouterr().err


def test_the_candidate_has_to_be_one_of_the_run(desk, capsys):
    assert desk.attest(**{"--candidate": "int4"}) == 2
    assert "one of int8" in capsys.readouterr().err


def test_a_key_and_a_file_go_together(desk):
    verdict = str(desk.folder / "passed.json")
    assert answer(["attest", verdict, "--key", desk.private]) == 2
    assert answer(["attest", verdict]) == 2


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_keys_of_openssl_are_taken_as_the_help_says(desk):
    private, public = str(desk.folder / "o.key"), str(desk.folder / "o.pub")
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", private], check=True, capture_output=True)
    subprocess.run(["openssl", "pkey", "-in", private, "-pubout", "-out", public], check=True, capture_output=True)
    assert desk.attest(**{"--key": private}) == 0
    assert desk.verify(**{"--key": public}) == 0
