"""Whichever a file is: saved profiles of ours, or a table of what somebody published."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fidelity_gate import json_fields
from fidelity_gate.device_records import published, sealing
from fidelity_gate.errors import Refused
from fidelity_gate.files import read_file

if TYPE_CHECKING:
    from pathlib import Path

    from fidelity_gate.device_records.saved import SavedProfile

_SERVICE_KEY = "execution_summary"
_OURS = ("fidelity-gate/measurements/", "fidelity-gate/report/")
YAML = (".yaml", ".yml")


def read_profiles(path: str | Path) -> tuple[tuple[SavedProfile, ...], str]:
    """Return the profiles of a file, and its SHA-256.

    Raises:
        Refused: it is neither, or not whole; the message says how to make records of what it is.
    """
    where = str(path)
    refuse_yaml(where)
    file = read_file(path, limit_bytes=sealing.LIMIT_BYTES)
    content = json_fields.parse(file.data, where=where)
    if published.is_published(content):
        return published.rows(content, where), file.digest
    _refuse_raw(content, where)
    return sealing.load(file.data, where), file.digest


def refuse_yaml(path: str) -> None:
    """Raise for what lies in YAML: the perf.yaml of a model of ai-hub-models, perhaps, which records are made of."""
    if path.endswith(YAML):
        hint = "of a perf.yaml: fidelity-gate devices record FILE --name MODEL --measured DAY -o RECORDS"
        raise Refused("is YAML, and holds no records", where=path, hint=hint)


def _refuse_raw(content: object, where: str) -> None:
    """Raise for files that records are made of, and which are none themselves; and for what is nothing of the kind."""
    schema = content.get("schema", "") if isinstance(content, dict) else None
    if content == {}:
        what = "is an empty profile, as the client writes of a job that failed, or that ran without profiling"
        raise Refused(what, where=where, hint="look at the job")
    if isinstance(content, dict) and _SERVICE_KEY in content:
        what = "is a profile of the service alone: it does not say which file ran, on which device, or when"
        hint = "bind it first: fidelity-gate devices record FILE --model MODEL --device NAME ... -o RECORDS"
        raise Refused(what, where=where, hint=hint)
    if isinstance(schema, str) and schema.startswith(_OURS):
        what = "holds a run of the gate, not records of devices"
        raise Refused(what, where=where, hint="fidelity-gate devices record FILE -o RECORDS writes them out of it")
    if not schema:
        what = "holds neither records of devices nor rows that somebody published"
        raise Refused(what, where=where, hint="fidelity-gate devices record writes records")
