"""One saved profile: what a device said of a model's file, and everything that binds the figures to both."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from fidelity_gate.records import DeviceProfile, Options

if TYPE_CHECKING:
    from collections.abc import Iterator

TOKENS, SMALLEST_SIDE = "tokens", "smallest_side"  # of a published model, among the facts of a machine
CLOCKS_APART = timedelta(minutes=5)  # that a record may be ahead of the clock of whoever reads it
UNSTATED = "unstated"  # what a policy writes for a fact that a published row does not tell
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


class Origin(StrEnum):
    """How a profile came to be saved: how far its binding to a file and a device can be believed."""

    RUN = "run"  # a run of the gate wrote it down
    JOB = "job"  # read back from the device service by its job
    BY_HAND = "by-hand"  # a profile alone; whoever recorded it says which file ran where, and when
    PUBLISHED = "published"  # a figure somebody published; of no file that can be compared

    @property
    def label(self) -> str:
        """Return what every text that shows such a figure has to say of it."""
        return _LABELS[self]


_LABELS = {
    Origin.RUN: "recorded by a run of the gate",
    Origin.JOB: "recorded from the service's job",
    Origin.BY_HAND: "recorded by hand",
    Origin.PUBLISHED: "published, not of this file",
}


@dataclass(frozen=True, slots=True)
class SaidDepth:
    """How deep a model ran, as far as its source says; None: it does not say."""

    h_cycles: int | None = None
    l_cycles: int | None = None
    steps: int | None = None

    def __str__(self) -> str:
        """Return `H=3 steps=16`, or "" where nothing is said."""
        named = (("H", self.h_cycles), ("L", self.l_cycles), ("steps", self.steps))
        return " ".join(f"{name}={value}" for name, value in named if value is not None)


@dataclass(frozen=True, slots=True)
class SavedProfile:
    """What a device said of one model's file.

    Attributes:
        origin: how it came to be saved.
        source: where from, for people: a file with its digest, a job's address, a citation.
        model: what the figures of several variants belong together by: the policy's name, the published model's.
        variant: the candidate's name in its policy; of published rows the precision.
        precision: "float", "int8", "w8a8"; "" where nothing tells.
        device: "Samsung Galaxy S24".
        runtime: "onnx", "tflite", "qnn_dlc"; "" where the source does not say, as for all texts below.
        measured: a day, or a moment with its zone, ISO 8601.
        os: "14".
        compute_unit: "npu", "gpu", "cpu" or "all": what the job used; of published rows the one that ran most layers.
        simulated: no device ran it.
        model_digest: of the model as the gate hashes it; "" only for what was published.
        graph_digest: SHA-256 of the step graph that was uploaded.
        file_bytes: size of the model's files.
        depth: how deep it was to run.
        runs_per_step: runs of the graph that make one ACT step.
        tokens: L of the carry.
        smallest_side: of the block's weight matrices.
        job_id: of the service.
        job_url: where people see it.
        options: of the service's compiler and profiler.
        tools: name -> version, of what compiled and ran it.
        run_seconds: one a timed run of the graph, in order.
        host_seconds: what the host adds to every run, as the policy of that run stated it.
        peak_bytes: a peak that its source gives without saying which of the two of `profile` it is.
        profile: what else the device's profile says.
    """

    origin: Origin
    source: str
    model: str
    variant: str
    precision: str
    device: str
    runtime: str
    measured: str
    os: str = ""
    compute_unit: str = ""
    simulated: bool = False
    model_digest: str = ""
    graph_digest: str = ""
    file_bytes: int | None = None
    depth: SaidDepth = field(default_factory=SaidDepth)
    runs_per_step: int | None = None
    tokens: int | None = None
    smallest_side: int | None = None
    job_id: str = ""
    job_url: str = ""
    options: str = ""
    tools: Options = ()
    run_seconds: tuple[float, ...] = ()
    host_seconds: float = 0.0
    peak_bytes: int | None = None
    profile: DeviceProfile = field(default_factory=DeviceProfile)

    @property
    def label(self) -> str:
        """Return how it came to be saved, and that it was simulated, for whoever shows a figure of it."""
        return f"simulated, {self.origin.label}" if self.simulated else self.origin.label

    @property
    def name(self) -> str:
        """Return `resnet18 w8a8`: the model and what tells its variants apart."""
        return " ".join(part for part in (self.model, self.variant) if part)


def moment(text: str) -> datetime | None:
    """Return the moment that an ISO 8601 text says, in UTC; a day is its midnight. None: it says none, or no zone."""
    try:
        found = datetime.fromisoformat(text)
        if _DAY.fullmatch(text):
            return found.replace(tzinfo=UTC)
        return None if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):  # the latter: so near to an end of time that its zone leads beyond it
        return None


def age_text(days: float | None) -> str:
    """Return `283 d`, for people; a record that is ahead of this clock, or without a date, has no age."""
    if days is None:
        return "unknown"
    return f"{max(days, 0):.0f} d" if days >= -CLOCKS_APART / timedelta(days=1) else "in the future"


def fault(record: SavedProfile) -> str:
    """Return what is wrong with a record's figures or its binding, "" where nothing is.

    A service writes 0 for what it did not measure, and 0 us meets every budget: no zero is a figure here.
    """
    return next(_faults(record), "")


def _faults(record: SavedProfile) -> Iterator[str]:
    if moment(record.measured) is None:
        yield "does not say when it was measured"
    if not record.device:
        yield "names no device"
    published = record.origin is Origin.PUBLISHED
    if published == bool(record.model_digest) or not (published or _DIGEST.fullmatch(record.model_digest)):
        yield "claims the digest of a file, and was published" if published else "names no model by its digest"
    yield from _time_faults(record)
    yield from _memory_faults(record)


def _time_faults(record: SavedProfile) -> Iterator[str]:
    estimate = record.profile.estimated_seconds
    if not record.run_seconds and estimate is None:
        yield "holds no time of a run"
    single = () if estimate is None else (estimate,)
    wrong = [one for one in (*record.run_seconds, *single) if not (math.isfinite(one) and one > 0)]
    if wrong:
        yield f"says that a run took {wrong[0]:g} s, which is what a service writes where nothing was measured"
    if not _is_time(record.host_seconds):
        yield f"says that the host adds {record.host_seconds:g} s"


def _memory_faults(record: SavedProfile) -> Iterator[str]:
    profile = record.profile
    low, high = profile.inference_peak_bytes or (0, 1)
    if not 0 <= low <= high or high == 0:
        yield f"says that inference peaked between {low} and {high} bytes, which cannot be"
    for what, size in (("process", profile.process_peak_bytes), ("memory", record.peak_bytes)):
        if size is not None and size <= 0:
            yield f"says that the {what} peaked at {size} bytes, which cannot be"
    if any(share.layers < 0 or not _is_time(share.seconds) for share in profile.shares):
        yield "counts layers, or their time, below zero"


def _is_time(seconds: float | None) -> bool:
    return seconds is None or (math.isfinite(seconds) and seconds >= 0)
