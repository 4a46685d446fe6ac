"""DSSE v1.0 envelopes (https://github.com/secure-systems-lab/dsse): a payload, its type, and a signature over both."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING

from fidelity_gate.errors import Refused
from fidelity_gate.json_fields import Fields, parse

if TYPE_CHECKING:
    from fidelity_gate.proof.keys import Key

PAYLOAD_TYPE = "application/vnd.in-toto+json"
MOST_SIGNATURES = 16


def sealed(payload: bytes, key: Key) -> str:
    """Return the envelope of a payload as one line of JSON."""
    signature = {"keyid": key.id, "sig": _base64(key.sign(_encoded(payload)))}
    envelope = {"payload": _base64(payload), "payloadType": PAYLOAD_TYPE, "signatures": [signature]}
    return json.dumps(envelope, sort_keys=True)


def opened(text: bytes | str, key: Key, where: str) -> bytes:
    """Return the payload of an envelope that this key signed.

    The key id is a hint that anybody can write: every signature is tried, and one that holds is enough.

    Raises:
        Refused: it is no envelope, of another type, or not signed by this key.
    """
    fields = Fields(parse(text, where=where), where, "", Refused)
    if fields.text("payloadType") != PAYLOAD_TYPE:
        fields.fail("payloadType", f"must be {PAYLOAD_TYPE}")
    payload = _decoded(fields, "payload")
    signatures = fields.items("signatures")
    if not 1 <= len(signatures) <= MOST_SIGNATURES:
        fields.fail("signatures", f"must be 1 to {MOST_SIGNATURES}")
    made = [_signature(one, where, f"signatures[{place}]") for place, one in enumerate(signatures)]
    fields.done()
    if not any(key.verifies(signature, _encoded(payload)) for signature in made):
        what = "is not signed by this key, or was changed after it was signed"
        raise Refused(what, where=where, field="signatures", hint=f"the key given is {key.id[:16]}...")
    return payload


def _encoded(payload: bytes) -> bytes:
    """Return what is signed: the pre-authentication encoding of type and payload."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def _signature(content: object, where: str, path: str) -> bytes:
    fields = Fields(content, where, path, Refused)
    signature = _decoded(fields, "sig")
    if "keyid" in fields.names():
        fields.text("keyid")
    fields.done()
    return signature


def _decoded(fields: Fields, key: str) -> bytes:
    try:
        return base64.b64decode(fields.text(key), validate=True)
    except (binascii.Error, ValueError):
        fields.fail(key, "must be base64")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
