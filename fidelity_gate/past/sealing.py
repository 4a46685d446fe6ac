"""Seals: a digest of a record inside it, so that a slip of the hand or a bad merge shows. It is no signature."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, TypeVar

from fidelity_gate import record_json
from fidelity_gate.files import sha256_hex

if TYPE_CHECKING:
    from fidelity_gate.records import Baseline, PastRun

    Sealed = TypeVar("Sealed", Baseline, PastRun)


def sealed(record: Sealed, schema: str) -> Sealed:
    """Return the record with the seal of everything else in it."""
    return dataclasses.replace(record, seal=_seal(record, schema))


def is_whole(record: Baseline | PastRun, schema: str) -> bool:
    """Return whether a record is as it was sealed."""
    return record.seal == _seal(record, schema)


def _seal(record: Baseline | PastRun, schema: str) -> str:
    return sha256_hex(record_json.dump(dataclasses.replace(record, seal=""), schema))
