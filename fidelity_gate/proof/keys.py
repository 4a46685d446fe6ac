"""Local keys: Ed25519, or ECDSA on P-256 or P-384, in PEM files; the signatures themselves are `cryptography`'s."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fidelity_gate.errors import Refused
from fidelity_gate.files import read_file, sha256_hex

if TYPE_CHECKING:
    from collections.abc import Mapping

LIMIT_BYTES = 1 << 16
PASSWORD = "FIDELITY_GATE_KEY_PASSWORD"  # noqa: S105  (the name of a variable, not a password)
KINDS = "Ed25519, or ECDSA on P-256 or P-384"
MAKE = "make one: openssl genpkey -algorithm ed25519 -out gate.key; its public half: openssl pkey -in gate.key -pubout"
PUBLIC_HALF = "openssl pkey -in gate.key -pubout -out gate.pub"
OF_CERTIFICATE = "openssl x509 -in gate.crt -noout -pubkey > gate.pub"
INSTALL = "pip install 'fidelity-gate[attest]'"
_CURVES: Mapping[str, str] = {"secp256r1": "SHA256", "secp384r1": "SHA384"}  # the hash as long as the curve


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """A key that was read.

    Attributes:
        id: SHA-256 of the public half (SubjectPublicKeyInfo, DER), as hex: a hint which key signed, and no proof.
    """

    id: str
    _key: Any

    def sign(self, message: bytes) -> bytes:
        """Return the signature; of a key that `private_key` read."""
        curve = getattr(self._key, "curve", None)
        signature: bytes = self._key.sign(message) if curve is None else self._key.sign(message, _ecdsa(curve.name))
        return signature

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Return whether this key signed the message; of a key that `public_key` read."""
        invalid = importlib.import_module("cryptography.exceptions").InvalidSignature
        curve = getattr(self._key, "curve", None)
        try:
            if curve is None:
                self._key.verify(signature, message)
            else:
                self._key.verify(signature, message, _ecdsa(curve.name))
        except invalid:
            return False
        return True


def private_key(path: str, password: str = "") -> Key:
    """Return the key to sign with.

    Args:
        path: a PEM file.
        password: of an encrypted file.

    Raises:
        Refused: no such key, a wrong or missing password, or `cryptography` is not installed.
    """
    serialization = _serialization()
    data = read_file(path, limit_bytes=LIMIT_BYTES).data
    if b"PRIVATE KEY" not in data and (b"PUBLIC KEY" in data or b"CERTIFICATE" in data):
        raise Refused("is the public half, which signs nothing: give the private one", where=path, hint=MAKE)
    try:
        # What a variable holds that is no UTF-8 comes with its bytes escaped.
        key = serialization.load_pem_private_key(data, password.encode(errors="surrogateescape") or None)
    except TypeError as error:  # a password is missing, or there is none to give
        what = "is encrypted, and no password is given" if not password else "is not encrypted, and a password is given"
        raise Refused(what, where=path, hint=f"the password stands in {PASSWORD}") from error
    except Exception as error:  # its errors have no common base: ValueError, UnsupportedAlgorithm
        if password and b"ENCRYPTED" in data:
            raise Refused("is not opened by the password given", where=path, hint=f"it stands in {PASSWORD}") from error
        raise Refused("holds no private key that can be read", where=path, hint=MAKE) from error
    return _checked(key, key.public_key(), path)


def public_key(path: str) -> Key:
    """Return the key to verify with, of a PEM file; raises Refused."""
    serialization = _serialization()
    data = read_file(path, limit_bytes=LIMIT_BYTES).data
    if b"PRIVATE KEY" in data:
        raise Refused("is a private key: give the public half", where=path, hint=PUBLIC_HALF)
    if b"BEGIN CERTIFICATE" in data:  # who issued it, and until when it holds, would go unchecked
        raise Refused("is a certificate: give the public key alone", where=path, hint=OF_CERTIFICATE)
    if data.count(b"-----BEGIN") > 1:
        raise Refused("holds several keys: give the one that counts", where=path)
    try:
        key = serialization.load_pem_public_key(data)
    except Exception as error:  # as above
        raise Refused("holds no public key that can be read", where=path, hint=MAKE) from error
    return _checked(key, key, path)


def _checked(key: Any, public: Any, path: str) -> Key:  # noqa: ANN401  (keys of the library)
    ec = importlib.import_module("cryptography.hazmat.primitives.asymmetric.ec")
    ed = importlib.import_module("cryptography.hazmat.primitives.asymmetric.ed25519")
    curve = getattr(getattr(public, "curve", None), "name", "")
    known = isinstance(public, ed.Ed25519PublicKey) or (
        isinstance(public, ec.EllipticCurvePublicKey) and curve in _CURVES
    )
    if not known:
        raise Refused("is a key of a kind that is not taken", where=path, hint=f"{KINDS}; {MAKE}")
    serialization = _serialization()
    encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    return Key(sha256_hex(public.public_bytes(encoding, form)), key)


def _ecdsa(curve: str) -> Any:  # noqa: ANN401
    ec = importlib.import_module("cryptography.hazmat.primitives.asymmetric.ec")
    hashes = importlib.import_module("cryptography.hazmat.primitives.hashes")
    return ec.ECDSA(getattr(hashes, _CURVES[curve])())


def _serialization() -> Any:  # noqa: ANN401
    try:
        return importlib.import_module("cryptography.hazmat.primitives.serialization")
    except ImportError as error:
        raise Refused("cryptography is not installed, which signs and verifies", hint=INSTALL) from error
