"""Jobs of a simulated hub: what was asked, what came of it, and the state that each moment shows."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from fidelity_gate.records import GraphValue
    from fidelity_gate.simulated_hub.catalog import SimulatedDevice
    from fidelity_gate.simulated_hub.profiling import Profile
    from fidelity_gate.simulated_hub.store import Dataset, Model

SLOWER = 5.0  # seconds that a slow job takes more
_WAITING = 0.2  # share of a job's time in which it is only created
UNKNOWN_STATE = 999

# Kind -> the states between created and done, in order.
_BETWEEN = {
    "compile": ("OPTIMIZING_MODEL",),
    "quantize": ("QUANTIZING_MODEL",),
    "profile": ("PROVISIONING_DEVICE", "MEASURING_PERFORMANCE"),
    "inference": ("PROVISIONING_DEVICE", "RUNNING_INFERENCE"),
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a job.

    Attributes:
        failure: name of the JobFailureType; "" where it went well.
        reason: what the service says of a failure.
        profile: None where none was asked for.
        outputs: id of the dataset with what the model gave; "" for none.
        inputs: of the model, where it was looked at.
        log: lines for the job's log.
    """

    failure: str = ""
    reason: str = ""
    profile: Profile | None = None
    outputs: str = ""
    inputs: tuple[GraphValue, ...] = ()
    log: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Order:
    """What a job was asked to do.

    Attributes:
        kind: "compile", "quantize" or "inference".
        message: the CompileJob, QuantizeJob or InferenceJob as it was sent.
        model: what to work on.
        device: where; None for quantize jobs.
        dataset: inputs, or calibration data.
        target: the model to be made; None for inference jobs.
    """

    kind: str
    message: Any  # protobuf
    model: Model
    device: SimulatedDevice | None
    dataset: Dataset | None
    target: Model | None

    @property
    def profiling(self) -> bool:
        """Return whether a profile is wanted."""
        return self.kind == "inference" and bool(self.message.is_profiling_on)

    def option(self, name: str) -> str:
        """Return the value of `--name` in the job's options; the last one counts, "" where it is left out."""
        words = str(self.message.options).replace("=", " ").split()
        return next((words[at + 1] for at in range(len(words) - 2, -1, -1) if words[at] == f"--{name}"), "")


@dataclass(slots=True, eq=False)
class JobRecord:
    """One job from its submission on."""

    id: str
    order: Order
    faults: frozenset[str]
    seconds: float  # that it is to take, however quick its work is
    after: float  # monotonic moment before which it is not begun: what it waits for
    created: float  # seconds since 1970
    began: float = field(default_factory=time.monotonic)
    done: threading.Event = field(default_factory=threading.Event)
    outcome: Outcome = Outcome()
    name: str = ""  # what the user calls it
    log_path: Path | None = None

    @property
    def kind(self) -> str:
        """Return "compile", "quantize" or "inference"."""
        return self.order.kind

    @property
    def ends(self) -> float:
        """Return the monotonic moment before which it is not over."""
        if self.faults & {"never-ends", "unknown-state"}:
            return float("inf")
        slower = SLOWER if "slow-job" in self.faults else 0.0
        return max(self.began, self.after) + self.seconds + slower

    @property
    def over(self) -> bool:
        """Return whether it ended, well or not."""
        return self.done.is_set() and time.monotonic() >= self.ends

    def settle(self, outcome: Outcome) -> None:
        """Say what came of it."""
        self.outcome = outcome
        self.done.set()

    def state(self) -> str:
        """Return the name of its JobState at this moment, without the prefix."""
        if self.over:
            return "FAILED" if self.outcome.failure else "DONE"
        between = _BETWEEN["profile" if self.order.profiling else self.kind]
        start, end = max(self.began, self.after), self.ends
        share = (time.monotonic() - start) / (end - start) if end > start else 1.0
        if self.faults & {"never-ends", "unknown-state"}:
            return "UNKNOWN" if "unknown-state" in self.faults else between[0]
        if share < _WAITING:
            return "CREATED"
        place = int((share - _WAITING) / (1 - _WAITING) * len(between))
        return between[min(place, len(between) - 1)]
