"""Seals: a digest of a record inside it, so that a slip of the hand or a bad merge shows. It is no signature."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, TypeVar

from fidelity_gate import json_fields, record_json
from fidelity_gate.files import sha256_hex

if TYPE_CHECKING:
    from fidelity_gate.records import Baseline, PastRun

    Sealed = TypeVar("Sealed", Baseline, PastRun)

_SEAL = "seal"  # the field of both


def sealed(record: Sealed, schema: str) -> Sealed:
    """Return the record with the seal of everything else in it."""
    return dataclasses.replace(record, seal=_seal_of(record_json.dump(record, schema)))


def is_whole(data: bytes, seal: str) -> bool:
    """Return whether a record is as it was sealed.

    Args:
        data: the JSON that it was read from, and that was found to be one. The record itself will not do: where a
            later version gave it a field, it holds one more than were sealed.
        seal: that it carries.
    """
    return seal == _seal_of(data)


def _seal_of(data: bytes) -> str:
    """Return the SHA-256 of JSON with an empty seal, in the form that `record_json.dump` gives it."""
    content = json_fields.parse(data)
    plain = {**content, _SEAL: ""} if isinstance(content, dict) else content
    text = json.dumps(plain, allow_nan=False, sort_keys=True, separators=(",", ":"))
    return sha256_hex(f"{text}\n".encode("ascii"))
