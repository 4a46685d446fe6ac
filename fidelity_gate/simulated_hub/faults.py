"""The failures that a simulated hub shows on demand: a closed list, what each strikes, and how often."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fidelity_gate.errors import UsageError
from fidelity_gate.registry import unknown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# What a fault strikes.
REQUEST = "request"  # the answer to a request of the interface
UPLOAD = "upload"  # a file on its way to the hub
JOB = "job"  # one job from its submission on


@dataclass(frozen=True, slots=True)
class FaultKind:
    """One line of the list.

    Attributes:
        strikes: REQUEST, UPLOAD or JOB.
        on: which of them: the start of "METHOD path" of a request, the kind of a job; "" for all.
        text: what it does, for people.
        failure: the service's own name of the failure (JobFailureType), for jobs that end as FAILED.
        reason: what the service says then.
    """

    strikes: str
    on: str
    text: str
    failure: str = ""
    reason: str = ""


def _request(on: str, text: str) -> FaultKind:
    return FaultKind(REQUEST, on, text)


def _upload(text: str) -> FaultKind:
    return FaultKind(UPLOAD, "", text)


def _job(on: str, text: str) -> FaultKind:
    return FaultKind(JOB, on, text)


def _failed(on: str, failure: str, reason: str) -> FaultKind:
    return FaultKind(JOB, on, f"the {on} job FAILED: {failure}", f"JOB_FAILURE_TYPE_{failure}", reason)


KINDS: Mapping[str, FaultKind] = {
    # ------------------------------------------------------------ answers to requests
    "unauthorized": _request("", "401: the token is bad or has expired"),
    "forbidden": _request("", "403: the account may not do that"),
    "not-found": _request("GET jobs/", "404 to whoever asks for a job"),
    "upgrade-required": _request("", "426: the client is too old"),
    "rate-limited": _request("POST jobs/", "429 to a submission"),
    "server-error": _request("", "500"),
    "unavailable": _request("", "503"),
    "html": _request("", "200 with a web page, as a captive portal gives"),
    "garbage-reply": _request("", "200 whose body is no protobuf message"),
    "no-reply": _request("", "the request is read and never answered; the connection stays open"),
    "lost-reply": _request("POST jobs/", "the job is created, the answer is a 504"),
    "dropped-reply": _request("POST jobs/", "the job is created, the connection drops without an answer"),
    # ------------------------------------------------------------ uploads
    "upload-refused": _upload("the storage answers 403, in XML as S3 does"),
    "upload-dropped": _upload("the connection drops in the middle of a file"),
    "upload-part-lost": _upload("the storage says it took a part and keeps nothing; the hub then refuses the model"),
    "upload-cut": _upload("the storage keeps half of a part; the hub then refuses the model"),
    "no-etag": _upload("the storage answers without an ETag"),
    "expired-dataset": _upload("a dataset has expired as soon as it is there"),
    # ------------------------------------------------------------ jobs that fail: infrastructure
    "failed-throttled": _failed("inference", "CLOUD_THROTTLED", "Too many requests to the device provider."),
    "failed-device-lost": _failed("inference", "QDC_API_ERROR", "Error uploading to QDC: status code=500"),
    "failed-cloud": _failed("inference", "CLOUD_API_ERROR", "The device provider could not be reached."),
    "failed-service-busy": _failed("inference", "RUNTIME_INTERNAL_SERVICE_BUSY", "The internal service is busy."),
    "failed-timeout": _failed("inference", "RUNTIME_TIMEOUT", "Job timed out after 8h"),
    "failed-internal": _failed("compile", "INTERNAL_UNKNOWN", "Internal error."),
    "failed-unknown": _failed("inference", "UNKNOWN", ""),
    # ------------------------------------------------------------ jobs that fail: the model
    "failed-model-invalid": _failed("compile", "MODEL_INVALID", "The model could not be converted: invalid graph."),
    "failed-model-corrupt": _failed("compile", "MODEL_CORRUPT", "The model file could not be parsed."),
    "failed-unsupported": _failed("compile", "UNSUPPORTED", "The model has operators that are not supported."),
    "failed-qnn-tool": _failed("compile", "QNN_TOOL_ERROR", "QAIRT converter failed with exit code 1"),
    "failed-invalid-argument": _failed("compile", "INVALID_ARGUMENT", "Unknown option."),
    "failed-quantizer": _failed("quantize", "QNN_TOOL_ERROR", "QAIRT quantizer failed with exit code 1"),
    "failed-crash": _failed("inference", "RUNTIME_CRASH", "The application crashed on the device."),
    "failed-out-of-memory": _failed("inference", "RUNTIME_OUT_OF_MEMORY", "The host ran out of memory."),
    "failed-device-oom": _failed("inference", "RUNTIME_DEVICE_OOM", "The device ran out of memory."),
    "failed-qnn-version": _failed("inference", "QNN_VERSION_MISMATCH", "The model was built for another QNN version."),
    "failed-invalid-inputs": _failed("inference", "INVALID_INPUTS", "The inputs do not fit the model."),
    # ------------------------------------------------------------ jobs that take their time
    "slow-job": _job("", "the job takes 5 s more"),
    "never-ends": _job("", "the job runs for ever"),
    "unknown-state": _job("", "the job is in a state that no client knows, for ever"),
    # ------------------------------------------------------------ jobs that say SUCCESS and are wrong
    "zero-times": _job("inference", "every time of the profile is 0"),
    "zero-time": _job("inference", "one of the timed runs took 0"),
    "missing-times": _job("inference", "the profile has no list of times, only the estimate"),
    "zero-memory": _job("inference", "every memory figure of the profile is 0"),
    "missing-memory": _job("inference", "the profile has no memory figures"),
    "missing-layers": _job("inference", "the profile has no layers"),
    "empty-profile": _job("inference", "the profile is there and has nothing in it"),
    "no-profile": _job("inference", "SUCCESS without a profile"),
    "no-outputs": _job("inference", "SUCCESS without outputs"),
    "nan-outputs": _job("inference", "the first value of every output is NaN"),
    "fewer-outputs": _job("inference", "outputs for one sample less than was sent"),
    "wrong-outputs": _job("inference", "every output is shifted by 1, as if another model had run"),
    "wrong-device": _job("", "the job ran on another device than was asked for"),
    "wrong-os": _job("", "the job ran on another version of the operating system"),
    "wrong-model": _job("", "the job ran another model"),
    "wrong-options": _job("", "the job ran with other options"),
    "wrong-runtime": _job("compile", "the compiled model is for another runtime"),
    "cpu-fallback": _job("inference", "every layer runs on the CPU"),
    "no-target-model": _job("compile", "SUCCESS without a compiled model"),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One failure, to be shown so many times.

    Attributes:
        name: one of `KINDS`.
        times: how often; None: always.
        on: what it strikes, where that is not as `KINDS` says: the start of "METHOD path" ("POST models/"), or the kind
            of a job ("compile").
    """

    name: str
    times: int | None = None
    on: str | None = None

    def __post_init__(self) -> None:
        """Refuse a name that is not in the list, and a count that makes no sense."""
        if self.name not in KINDS:
            raise unknown(self.name, tuple(KINDS), what="no fault is named", field="fault", kind=UsageError)
        if self.times is not None and self.times < 1:
            raise UsageError(f"strikes {self.times} times", field=self.name, hint="at least once")

    @property
    def kind(self) -> FaultKind:
        """Return its line of the list."""
        return KINDS[self.name]

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Return the fault that `NAME` or `NAME:TIMES` stands for; raises UsageError."""
        name, colon, times = text.strip().partition(":")
        if colon and not (times.isascii() and times.isdigit() and len(times) < 10):
            raise UsageError(f"'{times}' is no count", field=f"fault {name}", hint="NAME or NAME:TIMES")
        return cls(name, int(times) if colon else None)

    def strikes(self, strikes: str, what: str) -> bool:
        """Return whether it is for this: a request "POST jobs/", a job of the kind "compile"."""
        on = self.kind.on if self.on is None else self.on
        return self.kind.strikes == strikes and what.startswith(on)


class Faults:
    """The failures that a hub is to show; they can be added and taken away while it runs, from any thread."""

    def __init__(self, faults: Iterable[Fault | str] = ()) -> None:
        self._lock = threading.Lock()
        self._left: list[_Left] = []
        self.add(*faults)

    def add(self, *faults: Fault | str) -> None:
        """Add failures: a `Fault`, or its text "rate-limited:2"."""
        given = [fault if isinstance(fault, Fault) else Fault.parse(fault) for fault in faults]
        with self._lock:
            self._left += [_Left(fault, fault.times) for fault in given]

    def clear(self) -> None:
        """Take all away; what has struck a job stays with the job."""
        with self._lock:
            self._left.clear()

    def first(self, strikes: str, what: str, *names: str) -> str:
        """Return the failure that strikes this, of these names if any are given, and count it; "" for none."""
        with self._lock:
            return next(iter(self._struck(strikes, what, names, most=1)), "")

    def all(self, strikes: str, what: str) -> frozenset[str]:
        """Return every failure that strikes this, and count each."""
        with self._lock:
            return frozenset(self._struck(strikes, what, (), most=len(self._left)))

    def _struck(self, strikes: str, what: str, names: tuple[str, ...], *, most: int) -> list[str]:
        found: list[str] = []
        for entry in self._left:
            if len(found) == most:
                break
            fits = not names or entry.fault.name in names
            if fits and entry.left != 0 and entry.fault.strikes(strikes, what):
                entry.left = None if entry.left is None else entry.left - 1
                found.append(entry.fault.name)
        return found


@dataclass(slots=True)
class _Left:
    """A fault, and how often it is still to strike; None: always."""

    fault: Fault
    left: int | None
