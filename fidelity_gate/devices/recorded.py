"""recorded: a profile that was saved before, gated again without the device; bound to file, device and date."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar, Literal

from fidelity_gate.device_records.opening import read_profiles
from fidelity_gate.device_records.saved import UNSTATED
from fidelity_gate.devices.recorded_binding import Asked, Subject, bound
from fidelity_gate.devices.recorded_run import Reading, Replay
from fidelity_gate.errors import PolicyError, Refused, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fidelity_gate.device_records.saved import SavedProfile
    from fidelity_gate.records import DeviceRun, Options, Workload

PLUG = "recorded"
_LONGEST_DAYS = 36_525  # a hundred years


@dataclass(frozen=True, slots=True)
class Recorded:
    """A profile that was saved: by a run on the device, from a job of its service, by hand, or published by somebody.

    Attributes:
        path: the file of records, against the policy's folder (`fidelity-gate devices record` writes one), or a table
            of published rows.
        device: the device's whole name: "Samsung Galaxy S24".
        runtime: onnx, tflite, qnn_dlc ...; `unstated` for a source that does not say.
        max_age: how old a record may be; a policy writes "90 d".
        os: the operating system's version, as the record has it; left out: any.
        compute_unit: what the job was to use; of a published row, what ran most layers; `unstated` where a source does
            not say.
        host_overhead: seconds that the host adds to every run of the graph; a policy writes "0.2 ms"; left out: as
            recorded.
        max_spread: the largest spread, (p90 - p10) / p50, at which a latency is believed; left out: any.
        published: use a published row, which is of no file that can be compared: `model` says which. Every text that
            shows its figures says so.
        model: the published model's name.
        rows: model of the policy = precision of its row, where the two names differ: "reference=float int8=w8a8".
        runs_per_step: runs of a published graph that make one ACT step, where its source does not say.
        peak_is: which figure a source means that gives one peak of memory without a name: process or inference.
        by_hand: believe profiles that were bound by hand.
        allow_simulated: take profiles of a simulated device for evidence; for trials only.
    """

    path: str
    device: str
    runtime: str
    max_age: float
    os: str = ""
    compute_unit: Literal["npu", "gpu", "cpu", "all", "unstated"] = "npu"
    host_overhead: float | None = None
    max_spread: float | None = None
    published: bool = False
    model: str = ""
    rows: str = ""
    runs_per_step: int | None = None
    peak_is: Literal["", "process", "inference"] = ""
    by_hand: bool = False
    allow_simulated: bool = False

    units: ClassVar[Mapping[str, str]] = {
        "host_overhead": "seconds",
        "max_age": "days",
        "max_spread": "fraction",
    }
    runs_graphs: ClassVar[bool] = True
    gives: ClassVar[frozenset[str]] = frozenset({"seconds", "profile"})

    def __post_init__(self) -> None:
        """Refuse options that ask for nothing, or that contradict one another."""
        for name in ("path", "device", "runtime"):
            if not getattr(self, name):
                hint = f"{UNSTATED}, for a source that does not say" if name == "runtime" else ""
                raise UsageError("must not be empty", field=name, hint=hint)
        if not 0 < self.max_age <= _LONGEST_DAYS:
            raise UsageError(f"must be above 0 d and at most {_LONGEST_DAYS} d", field="max_age", hint="90 d")
        limits = {"runs_per_step": (1, 10**6), "host_overhead": (0, 10), "max_spread": (0, 10)}
        for name, (least, most) in limits.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise UsageError(f"must be from {least} to {most:,}, not {value:g}", field=name)
        _pairs(self.rows)
        self._refuse_half_published()

    def _refuse_half_published(self) -> None:
        if self.published and not self.model:
            raise UsageError("needs model", field="published", hint="model: the name that it was published under")
        for name in ("model", "rows", "runs_per_step", "peak_is"):
            if getattr(self, name) and not self.published:
                hint = "published: true, or leave it out"
                raise UsageError("is about published rows, and the policy uses none", field=name, hint=hint)

    def describe(self) -> Options:
        """Return what device the records have to be of."""
        facts = {"device": self.device, "os": self.os, "runtime": self.runtime, "unit": self.compute_unit}
        return tuple(sorted((name, text) for name, text in facts.items() if text))

    def run(self, workload: Workload) -> DeviceRun:
        """Return what was recorded of the workload's very file; nothing runs.

        Raises:
            PolicyError: the file of records is not there, is none, or one of its records was edited.
            NotMeasured: no record is bound to this file and everything that the policy asks, or it is too old.
        """
        return self.replayed(workload, datetime.now(UTC))

    def replayed(self, workload: Workload, now: datetime) -> DeviceRun:
        """Return what `run` does, with the age of records told at the moment `now`, which has a zone."""
        records, digest = self._records(workload.base)
        graph = workload.graph
        digests = frozenset({workload.facts.digest, *([graph.digest] if graph else [])})
        found = bound(records, self._asked(workload.name), Subject(digests, workload.depth), now)
        reading = Reading(self.host_overhead, self.max_spread, self.runs_per_step, self.peak_is)
        return Replay(found, digest, now, reading).run(workload)

    def _records(self, base: str) -> tuple[tuple[SavedProfile, ...], str]:
        """Return the file's records and its digest; a file that is none is the policy's mistake, whatever the model."""
        try:
            return read_profiles(os.path.join(base, self.path))  # noqa: PTH118  ("" is the working folder)
        except Refused as error:
            found = ": ".join(part for part in (error.where, error.field, error.what) if part)
            raise PolicyError(found, field="path", hint=error.hint) from error

    def _asked(self, name: str) -> Asked:
        precision = _pairs(self.rows).get(name, name)
        return Asked(
            device=self.device,
            os=self.os,
            runtime=self.runtime,
            compute_unit=self.compute_unit,
            max_age=self.max_age,
            row=(self.model, precision) if self.published else None,
            by_hand=self.by_hand,
            allow_simulated=self.allow_simulated,
        )


def _pairs(text: str) -> dict[str, str]:
    """Return the pairs of `reference=float int8=w8a8`; raises UsageError."""
    found: dict[str, str] = {}
    for part in text.split():
        name, equals, precision = part.partition("=")
        if not (name and equals and precision) or name in found:
            hint = 'rows: "reference=float int8=w8a8", each name once'
            raise UsageError(f"'{part[:60]}' is not NAME=PRECISION", field="rows", hint=hint)
        found[name] = precision
    return found
