"""No field of a signed statement can be changed unseen, and a true signature under another statement is not enough."""

import base64
import copy
import itertools
import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given, settings
from hypothesis import strategies as st
from proofs import FILES_ALONE, desk_in, payload_of, pem_pair, rewrite

from fidelity_gate.cli import answer
from fidelity_gate.errors import Refused
from fidelity_gate.proof.envelope import opened, sealed
from fidelity_gate.proof.keys import Key, private_key


@pytest.fixture(scope="module")
def judged(tmp_path_factory):
    """A candidate that passed a policy on files alone."""
    folder = tmp_path_factory.mktemp("tampering")
    artifact = folder / "int8.safetensors"
    (folder / "passed.yaml").write_text(FILES_ALONE.replace("CANDIDATE", artifact.name))
    assert answer(["compress", "zoo:trm-addition", "--recipe", "int8", "-o", str(artifact)]) == 0
    assert answer(["run", str(folder / "passed.yaml"), "--report", f"json:{folder / 'passed.json'}"]) == 0
    return folder


@pytest.fixture
def desk(judged, tmp_path):
    """That run, attested."""
    made = desk_in(tmp_path / "release", judged, "int8.safetensors")
    assert made.attest() == 0
    assert made.verify("--max-age", "7 d") == 0
    return made


# ---------------------------------------------------------------- every field, by itself


def leaves(value, path=()):
    """Yield the path of every value in nested objects and lists."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if not inner:
        yield path
    for key, one in inner or ():
        yield from leaves(one, (*path, key))


def changed(content, path):
    """Return a copy in which one value is another of its type."""
    made = copy.deepcopy(content)
    *above, last = path
    inner = made
    for key in above:
        inner = inner[key]
    value = inner[last]
    if isinstance(value, bool | int):
        inner[last] = int(value) + 1
    elif isinstance(value, list):
        inner[last] = ["lint"]
    else:
        other = "0" if value[:1] != "0" else "1"
        inner[last] = other + value[1:]
    return made


def signed_anew(desk, statement):
    desk.proof.write_text(sealed(json.dumps(statement).encode(), private_key(desk.private)))


def test_no_field_can_be_changed_after_it_was_signed(desk, capsys):
    statement = payload_of(desk.proof)
    paths = list(leaves(statement))
    assert len(paths) > 25
    for path in paths:
        rewrite(desk.proof, lambda one, path=path: one.update(changed(statement, path)))
        assert desk.verify() == 2, path
        assert "was changed after it was signed" in capsys.readouterr().err, path


# What tells people more, and decides nothing; everything else has to be as it was though the signature is true.
TOLD = {
    ("predicate", "fidelityGate", "candidate"),
    ("predicate", "fidelityGate", "depth"),
    ("predicate", "fidelityGate", "policyName"),
    ("predicate", "fidelityGate", "reason"),
    ("predicate", "fidelityGate", "tool"),
    ("predicate", "passedTests", 0),
    ("predicate", "configuration", 0, "name"),
    *(("predicate", "configuration", place, *rest) for place, rest in itertools.product(
        (1, 2), (("name",), ("digest", "sha256"), ("annotations", "role"))
    )),
}  # fmt: skip


def test_what_decides_is_held_against_what_is_asked_for_whoever_signed_it(desk):
    statement = payload_of(desk.proof)
    paths = set(leaves(statement))
    assert paths >= TOLD
    for path in paths:
        signed_anew(desk, changed(statement, path))
        assert (desk.verify("--max-age", "7 d") == 0) == (path in TOLD), path


def test_only_what_decides_nothing_can_be_left_out(desk):
    statement = payload_of(desk.proof)
    needed = ("passedTests", "candidate", "role")
    spared = {path for path in TOLD if not set(path) & set(needed)} - {("predicate", "configuration", 0, "name")}
    for path in {path for path in leaves(statement) if isinstance(path[-1], str)}:
        made = copy.deepcopy(statement)
        inner = made
        for key in path[:-1]:
            inner = inner[key]
        del inner[path[-1]]
        signed_anew(desk, made)
        assert (desk.verify("--max-age", "7 d") == 0) == (path in spared), path


# ---------------------------------------------------------------- the envelope


def bent(text):
    """Return base64 of the same bytes but for one bit."""
    data = bytearray(base64.b64decode(text))
    data[len(data) // 2] ^= 1
    return base64.b64encode(data).decode()


ENVELOPES = {
    "another payload type": lambda one: one.update(payloadType="application/vnd.in-toto+xml"),
    "a payload type in capitals": lambda one: one.update(payloadType=one["payloadType"].upper()),
    "no payload type": lambda one: one.pop("payloadType"),
    "a bit of the payload": lambda one: one.update(payload=bent(one["payload"])),
    "a payload that is no base64": lambda one: one.update(payload=one["payload"] + "*"),
    "no payload": lambda one: one.update(payload=""),
    "a bit of the signature": lambda one: one["signatures"][0].update(sig=bent(one["signatures"][0]["sig"])),
    "an empty signature": lambda one: one["signatures"][0].update(sig=""),
    "half a signature": lambda one: one["signatures"][0].update(sig=one["signatures"][0]["sig"][:44]),
    "no signature": lambda one: one.update(signatures=[]),
    "signatures that are no list": lambda one: one.update(signatures=one["signatures"][0]),
    "a signature that is none": lambda one: one.update(signatures=["sig"]),
    "more signatures than anybody has": lambda one: one.update(signatures=one["signatures"] * 17),
    "a key id that is no text": lambda one: one["signatures"][0].update(keyid=7),
    "a field more": lambda one: one.update(payload_type="x"),
    "a field more beside the signature": lambda one: one["signatures"][0].update(alg="none"),
}


@pytest.mark.parametrize("change", ENVELOPES)
def test_an_envelope_that_was_changed_is_refused(desk, change, capsys):
    envelope = json.loads(desk.proof.read_text())
    ENVELOPES[change](envelope)
    desk.proof.write_text(json.dumps(envelope))
    assert desk.verify() == 2
    assert capsys.readouterr().err.count("\n") <= 2  # what attest said, and one line


def test_a_key_id_is_a_hint_and_no_proof(desk):
    envelope = json.loads(desk.proof.read_text())
    envelope["signatures"][0]["keyid"] = "0" * 64
    desk.proof.write_text(json.dumps(envelope))
    assert desk.verify() == 0
    private, public = pem_pair(desk.folder, name="other")
    forged = json.loads(sealed(base64.b64decode(envelope["payload"]), private_key(private)))
    forged["signatures"][0]["keyid"] = private_key(desk.private).id
    desk.proof.write_text(json.dumps(forged))
    assert desk.verify() == 2
    assert desk.verify(**{"--key": public}) == 0


def test_one_signature_that_holds_among_several_is_enough(desk):
    envelope = json.loads(desk.proof.read_text())
    (own,) = envelope["signatures"]
    envelope["signatures"] = [{"sig": base64.b64encode(b"\0" * 64).decode()}, own]
    desk.proof.write_text(json.dumps(envelope))
    assert desk.verify() == 0


def test_a_statement_under_another_type_of_payload_is_not_taken_over(desk):
    """The type is signed too: a signature over the same bytes as something else is no statement."""
    envelope = json.loads(desk.proof.read_text())
    payload, kind = base64.b64decode(envelope["payload"]), b"text/plain"
    message = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
    envelope["signatures"][0]["sig"] = base64.b64encode(private_key(desk.private).sign(message)).decode()
    desk.proof.write_text(json.dumps(envelope))
    assert desk.verify() == 2
    desk.proof.write_text(json.dumps(envelope | {"payloadType": "text/plain"}))
    assert desk.verify() == 2


PRIVATE, SIGNED_PAYLOAD = ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32)), b'{"_type": "x", "n": [1, 2]}'


@given(st.data())
@settings(max_examples=300)
def test_whatever_bytes_of_an_envelope_change_it_opens_to_what_was_signed_or_not_at_all(data):
    envelope = sealed(SIGNED_PAYLOAD, Key("own", PRIVATE)).encode()
    start = data.draw(st.integers(0, len(envelope)))
    end = data.draw(st.integers(start, min(len(envelope), start + 4)))
    damaged = envelope[:start] + data.draw(st.binary(max_size=4)) + envelope[end:]
    try:
        found = opened(damaged, Key("own", PRIVATE.public_key()), "here")
    except Refused:
        return
    assert found == SIGNED_PAYLOAD


@pytest.mark.parametrize("broken", [b"", b"{", b"null", b"[]", b"{}", b"\xff", b"{}\n" * 2000, b"[" * 5000])
def test_what_is_no_attestation_is_refused(desk, broken, capsys):
    desk.proof.write_bytes(broken)
    capsys.readouterr()
    assert desk.verify() == 2
    assert capsys.readouterr().err.count("\n") == 1


# ---------------------------------------------------------------- statements that a true signature does not save


def aged(**back):
    return (datetime.now(UTC) - timedelta(**back)).isoformat()


def beside(**said):
    """Return a change of what stands beside the predicate's own fields."""
    return lambda one: one["predicate"]["fidelityGate"].update(said)


def named(key, *names):
    return lambda one: one["predicate"].update({key: list(names)})


def files(act):
    """Return the same change of the subject and of the files that were judged."""

    def change(statement):
        act(statement["subject"])
        act(statement["predicate"]["fidelityGate"]["files"])

    return change


OTHER = {"name": "b", "digest": {"sha256": "1" * 64}}
SIGNED = {
    "another file": (files(lambda these: these[0]["digest"].update(sha256="0" * 64)), "says nothing about this file"),
    "a file more": (files(lambda these: these.append(OTHER)), "there is no such file"),
    "a file more in the subject": (lambda one: one["subject"].append(OTHER), "of other files than"),
    "a file more in the verdict": (lambda one: beside(files=[*one["subject"], OTHER])(one), "of other files than"),
    "no file": (files(lambda these: these.clear()), "must be 1 to 1000 files"),
    "a folder above": (files(lambda these: these.append(OTHER | {"name": "../b"})), "where nothing is looked for"),
    "a folder of the machine": (files(lambda these: these.append(OTHER | {"name": "/etc/b"})), "nothing is looked for"),
    "a digest of another kind": (lambda one: one["subject"][0].update(digest={"sha1": "0" * 40}), "sha256: is missing"),
    "a digest in capitals": (
        files(lambda these: these[0]["digest"].update(sha256=these[0]["digest"]["sha256"].upper())),
        "64 hexadecimal digits",
    ),
    "another policy": (
        lambda one: one["predicate"]["configuration"][0]["digest"].update(sha256="2" * 64),
        "judged by another policy",
    ),
    "no policy": (lambda one: one["predicate"]["configuration"].pop(0), "one of them is the policy"),
    "two policies": (
        lambda one: one["predicate"]["configuration"].append(one["predicate"]["configuration"][0]),
        "has 2 that could be meant",
    ),
    "another predicate": (lambda one: one.update(predicateType="https://slsa.dev/provenance/v1"), "predicateType"),
    "a statement of an earlier version": (lambda one: one.update(_type="https://in-toto.io/Statement/v0.1"), "_type"),
    "a failed test in a pass": (named("failedTests", "lint"), "say otherwise"),
    "a warned test in a pass": (named("warnedTests", "lint"), "say otherwise"),
    "an exit code in a pass": (beside(exitCode=1), "say otherwise"),
    "a pass of nothing": (named("passedTests"), "say otherwise"),
    "a pass of a part": (beside(required=2), "say otherwise"),
    "a pass of what is waived alone": (beside(met=0, waived=1), "say otherwise"),
    "a result of its own": (lambda one: one["predicate"].update(result="passed"), "must be one of PASSED"),
    "a failed result that nothing failed": (lambda one: one["predicate"].update(result="FAILED"), "say otherwise"),
    "too long ago": (beside(created=aged(days=8)), "8.0 days ago"),
    "in the future": (beside(created=aged(days=-1)), "in the future"),
    "a time of no zone": (beside(created="2026-01-01"), "without a zone"),
    "no time": (beside(created="today"), "is not a time"),
    "a time before all times": (beside(created="0001-01-01T00:00:00+23:59"), "days ago"),
    "a time after all times": (beside(created="9999-12-31T23:59:59-23:59"), "in the future"),
    "a time that is a number": (beside(created=1_800_000_000), "must be text"),
    "nothing of ours": (lambda one: one["predicate"].pop("fidelityGate"), "fidelityGate"),
}


@pytest.mark.parametrize("change", SIGNED)
def test_a_true_signature_is_not_enough(desk, change, capsys):
    act, said = SIGNED[change]
    rewrite(desk.proof, act, key=desk.private)
    capsys.readouterr()
    assert desk.verify("--max-age", "7 d") == 2
    assert said in capsys.readouterr().err


def test_clocks_may_differ_by_minutes(desk):
    rewrite(desk.proof, beside(created=aged(minutes=-4)), key=desk.private)
    assert desk.verify("--max-age", "7 d") == 0
    rewrite(desk.proof, beside(created=aged(minutes=-6)), key=desk.private)
    assert desk.verify("--max-age", "7 d") == 2


def test_without_a_limit_any_age_is_right(desk):
    rewrite(desk.proof, beside(created=aged(days=800)), key=desk.private)
    assert desk.verify() == 0


def test_another_file_of_the_same_name_may_not_be_deployed(desk, capsys):
    desk.artifact.write_bytes(desk.artifact.read_bytes() + b"\0")
    assert desk.verify() == 2
    assert "says nothing about this file" in capsys.readouterr().err


def test_a_policy_that_changed_since_needs_a_new_run(desk, capsys):
    policy = desk.folder / "passed.yaml"
    policy.write_text(policy.read_text().replace("2 MiB", "3 MiB"))
    assert desk.verify() == 2
    assert "run the gate again" in capsys.readouterr().err


@pytest.mark.parametrize("said", ["7", "0 d", "-1 d", "1 year", "nan d"])
def test_an_age_is_a_time_with_its_unit(desk, said, capsys):
    assert desk.verify("--max-age", said) == 2
    assert "--max-age" in capsys.readouterr().err
