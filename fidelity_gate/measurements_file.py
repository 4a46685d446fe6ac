"""measurements.json: everything that one `measure` found, as strict JSON that `judge` can trust to be whole."""

from __future__ import annotations

from fidelity_gate import record_json
from fidelity_gate.files import read_file
from fidelity_gate.records import MeasurementSet

SCHEMA = "fidelity-gate/measurements/v1"
LIMIT_BYTES = 64 * 2**20  # about two million per-probe values


def dump(measured: MeasurementSet) -> bytes:
    """Return the file's content; equal measurements give equal bytes.

    Raises:
        Internal: a number is not finite, or a field does not hold what its type says.
    """
    return record_json.dump(measured, SCHEMA)


def load(data: bytes, where: str) -> MeasurementSet:
    """Return the measurements that `data` holds; raises Refused with the path of the field that is wrong."""
    return record_json.load(data, MeasurementSet, SCHEMA, where=where, mend="measure again")


def read(path: str) -> MeasurementSet:
    """Return the measurements of a file; raises Refused."""
    return load(read_file(path, limit_bytes=LIMIT_BYTES).data, path)
