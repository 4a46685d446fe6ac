"""Keys: which are taken for what, and that other tools verify what they sign."""

import base64
import json
import shutil
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519
from proofs import pem_pair

from fidelity_gate.errors import Refused
from fidelity_gate.proof.envelope import opened, sealed
from fidelity_gate.proof.keys import private_key, public_key

KINDS = {"ed25519": ed25519.Ed25519PrivateKey.generate}
KINDS |= {curve.name: (lambda curve=curve: ec.generate_private_key(curve())) for curve in (ec.SECP256R1, ec.SECP384R1)}
OTHER_KINDS = {
    "RSA": lambda: rsa.generate_private_key(65537, 2048),
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "Bitcoin's curve": lambda: ec.generate_private_key(ec.SECP256K1()),
    "Ed448": ed448.Ed448PrivateKey.generate,
    "X25519": x25519.X25519PrivateKey.generate,
}
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")


def openssl(*words, **options):
    return subprocess.run(["openssl", *words], check=True, capture_output=True, **options).stdout


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_key_signs_and_verifies(tmp_path, kind):
    private, public = pem_pair(tmp_path, KINDS[kind]())
    envelope = sealed(b"payload", private_key(private))
    assert opened(envelope, public_key(public), "here") == b"payload"
    assert private_key(private).id == public_key(public).id == json.loads(envelope)["signatures"][0]["keyid"]
    for other in KINDS:
        with pytest.raises(Refused, match="not signed by this key"):
            opened(envelope, public_key(pem_pair(tmp_path, KINDS[other](), "other")[1]), "here")


@needs_openssl
@pytest.mark.parametrize("kind", KINDS)
def test_openssl_verifies_what_was_signed(tmp_path, kind):
    """DSSE signs `DSSEv1 LEN TYPE LEN PAYLOAD`; here it is put together again from the specification."""
    private, public = pem_pair(tmp_path, KINDS[kind]())
    envelope = json.loads(sealed(b'{"a": 1}', private_key(private)))
    payload, name = base64.b64decode(envelope["payload"]), envelope["payloadType"].encode()
    message, signature = tmp_path / "message", tmp_path / "signature"
    message.write_bytes(b" ".join((b"DSSEv1", b"%d" % len(name), name, b"%d" % len(payload), payload)))
    signature.write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    ways = {
        "ed25519": ["pkeyutl", "-verify", "-pubin", "-inkey", public, "-rawin", "-in", message, "-sigfile", signature],
        "secp256r1": ["dgst", "-sha256", "-verify", public, "-signature", signature, message],
        "secp384r1": ["dgst", "-sha384", "-verify", public, "-signature", signature, message],
    }
    assert b"ucces" in openssl(*ways[kind]) or kind != "ed25519"  # it exits 1 where it does not verify


OPENSSL_KEYS = {
    "as the help says": ["genpkey", "-algorithm", "ed25519"],
    "PKCS8 of P-256": ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
    "the older form, with its parameters": ["ecparam", "-name", "prime256v1", "-genkey"],
}


@needs_openssl
@pytest.mark.parametrize("how", OPENSSL_KEYS)
def test_keys_of_openssl_are_taken(tmp_path, how):
    private, public = str(tmp_path / "o.key"), str(tmp_path / "o.pub")
    openssl(*OPENSSL_KEYS[how], "-out", private)
    openssl("pkey", "-in", private, "-pubout", "-out", public)
    assert opened(sealed(b"payload", private_key(private)), public_key(public), "here") == b"payload"


@needs_openssl
def test_a_certificate_is_told_from_a_key(tmp_path):
    private, _ = pem_pair(tmp_path)
    certificate = str(tmp_path / "gate.crt")
    openssl("req", "-x509", "-key", private, "-subj", "/CN=gate", "-days", "1", "-out", certificate)
    with pytest.raises(Refused, match="is a certificate: give the public key alone"):
        public_key(certificate)
    with pytest.raises(Refused, match="signs nothing"):
        private_key(certificate)
    bundle = tmp_path / "bundle.pem"
    bundle.write_text((tmp_path / "gate.key").read_text() + (tmp_path / "gate.crt").read_text())
    assert private_key(str(bundle)).id == private_key(private).id


def test_each_half_is_taken_for_its_own_work_only(tmp_path):
    private, public = pem_pair(tmp_path)
    with pytest.raises(Refused, match="give the public half"):
        public_key(private)
    with pytest.raises(Refused, match="give the private one"):
        private_key(public)


@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_other_kinds_of_keys_are_refused(tmp_path, kind):
    private, public = pem_pair(tmp_path, OTHER_KINDS[kind]())
    for read, path in ((private_key, private), (public_key, public)):
        with pytest.raises(Refused, match="of a kind that is not taken"):
            read(path)


def test_a_file_of_several_public_keys_is_refused(tmp_path):
    first, second = (pem_pair(tmp_path, name=name)[1] for name in "ab")
    both = tmp_path / "both.pub"
    both.write_bytes(b"".join((tmp_path / name).read_bytes() for name in ("a.pub", "b.pub")))
    assert public_key(first).id != public_key(second).id
    with pytest.raises(Refused, match="several keys"):
        public_key(str(both))


@pytest.mark.parametrize(
    "data", [b"x", b"ssh-ed25519 AAAAC3Nz", b"-----BEGIN PUBLIC KEY-----\n", b"\xff\xfe", b"\0" * 100, b"{}"]
)
def test_what_is_no_key_is_refused_in_one_line(tmp_path, data):
    path = tmp_path / "key"
    path.write_bytes(data)
    for read in (private_key, public_key):
        with pytest.raises(Refused) as caught:
            read(str(path))
        assert "\n" not in str(caught.value)


def test_an_encrypted_key_needs_its_password(tmp_path):
    secret = "open sésame"  # noqa: S105  (of a key that is made here)
    private, public = pem_pair(tmp_path, password=secret)
    for password, said in (
        ("", "no password is given"),
        ("wrong", "not opened by the password given"),
        ("\udcff", "not opened by the password given"),
        ("x" * 5000, "not opened by the password given"),
    ):
        with pytest.raises(Refused, match=said) as caught:
            private_key(private, password)
        assert "FIDELITY_GATE_KEY_PASSWORD" in str(caught.value)
        assert not password or password not in str(caught.value)
    signed = sealed(b"payload", private_key(private, secret))
    assert opened(signed, public_key(public), "here") == b"payload"
    with pytest.raises(Refused, match="is not encrypted"):
        private_key(pem_pair(tmp_path, name="plain")[0], secret)


def test_what_signs_is_named_where_it_is_not_installed(tmp_path, monkeypatch):
    private, public = pem_pair(tmp_path)
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.serialization", None)
    for read, path in ((private_key, private), (public_key, public)):
        with pytest.raises(Refused, match=r"not installed.*pip install 'fidelity-gate\[attest\]'"):
            read(path)
