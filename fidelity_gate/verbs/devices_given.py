"""What the commands of devices read: records, published rows, or a run of the gate that records can be made of."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fidelity_gate import json_fields, measurements_file
from fidelity_gate.device_records.making import GivenFile, from_measurements
from fidelity_gate.device_records.opening import read_profiles, refuse_yaml
from fidelity_gate.errors import NotMeasured, Refused
from fidelity_gate.files import read_file, sha256_hex
from fidelity_gate.protocols import OpenedGraph
from fidelity_gate.reports import json as verdicts

if TYPE_CHECKING:
    from fidelity_gate.device_records.saved import SavedProfile
    from fidelity_gate.records import MeasurementSet

_DIGEST_SHOWN = 16


@dataclass(frozen=True, slots=True)
class Filter:
    """Which records to look at: patterns with `*`, capitals or not; "" for all."""

    model: str = ""
    device: str = ""
    runtime: str = ""
    precision: str = ""

    def takes(self, record: SavedProfile) -> bool:
        """Return whether a record is one of them."""
        pairs = (
            (self.model, record.model),
            (self.device, record.device),
            (self.runtime, record.runtime),
            (self.precision, record.precision),
        )
        return all(not wanted or fnmatch.fnmatchcase(text.lower(), wanted.lower()) for wanted, text in pairs)


def profiles_of(path: str) -> tuple[SavedProfile, ...]:
    """Return the profiles of a file: records, published rows, or what devices said in a saved run.

    Raises:
        Refused: it is none of these, or not whole.
    """
    refuse_yaml(path)
    run = run_in(path)
    return read_profiles(path)[0] if run is None else recorded_from(run)


@dataclass(frozen=True, slots=True, eq=False)
class SavedRun:
    """A run of the gate that was saved: as measurements, or within its verdict."""

    path: str
    digest: str  # SHA-256 of the file
    measured: MeasurementSet


def recorded_from(run: SavedRun) -> tuple[SavedProfile, ...]:
    """Return the records that a saved run makes; raises NotMeasured where no device service ran in it."""
    source = f"{Path(run.path).name} (sha256 {run.digest[:_DIGEST_SHOWN]})"
    found = tuple(from_measurements(run.measured, source))
    if not found:
        what = "no device of a service ran a model in it"
        raise NotMeasured(what, where=run.path, hint="what ran on the host, or was recorded before, makes no record")
    return found


def run_in(path: str) -> SavedRun | None:
    """Return the run that a file of the gate holds; None where it is no such file.

    Raises:
        Refused: it is one, and not whole; or the report of a run that was refused.
    """
    file = read_file(path, limit_bytes=verdicts.LIMIT_BYTES)
    try:
        content = json_fields.parse(file.data, where=path)
    except Refused as error:
        raise Refused(error.what, where=path, hint="records, published rows and saved runs are JSON") from error
    schema = str(content.get("schema")) if isinstance(content, dict) else ""
    if _is_of(schema, measurements_file.SCHEMA):
        return SavedRun(path, file.digest, measurements_file.load(file.data, path))
    if not _is_of(schema, verdicts.SCHEMA):
        return None
    measured = verdicts.load(file.data, path).measured
    if measured is None:
        raise Refused("is the report of a run that measured nothing", where=path)
    return SavedRun(path, file.digest, measured)


def _is_of(schema: str, ours: str) -> bool:
    """Return whether a schema is ours, in whatever version: whoever loads it says which one it reads."""
    return schema.rpartition("/v")[0] == ours.rpartition("/v")[0]


def hashed(path: str) -> GivenFile:
    """Return what a model's file holds, and the digest of its step graph; raises Refused."""
    from fidelity_gate.models.opening import open_model
    from fidelity_gate.verbs.given_model import given_model

    opened = open_model(given_model(path, ()))
    graph = sha256_hex(opened.data) if isinstance(opened, OpenedGraph) else ""
    return GivenFile(opened.facts, graph)
