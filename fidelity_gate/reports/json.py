"""The whole report record as strict JSON: what other tools read, and what `report` renders again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fidelity_gate import record_json
from fidelity_gate.files import read_file
from fidelity_gate.records import Report
from fidelity_gate.text import quiet_json

SCHEMA = "fidelity-gate/report/v1"
LIMIT_BYTES = 128 * 2**20


@dataclass(frozen=True, slots=True)
class Json:
    """Everything: the verdict, the policy as it was resolved, every measurement; versioned, one line, sorted keys."""

    suffix: ClassVar[str] = ".json"

    def render(self, report: Report) -> str:
        """Return the record as JSON; raises Internal rather than write a number that JSON has no word for."""
        return quiet_json(record_json.dump(report, SCHEMA).decode("ascii"))


def load(data: bytes, where: str) -> Report:
    """Return the report that `data` holds; raises Refused with the path of the field that is wrong."""
    return record_json.load(data, Report, SCHEMA, where=where, mend="run the gate again")


def read(path: str) -> Report:
    """Return the report of a file; raises Refused."""
    return load(read_file(path, limit_bytes=LIMIT_BYTES).data, path)
