"""Steps that a device made of carries which it was sent: what was asked for, and what answered."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from fidelity_gate.records.late import LATE
from fidelity_gate.records.models import Options
from fidelity_gate.records.timings import DeviceJob, UnitShare


class StepMode(StrEnum):
    """From which carry a device makes a step."""

    FORCED = "forced"  # the reference's own; all steps can be made at once
    FREE = "free"  # what the device itself gave the step before; one job after the other


class Ran(StrEnum):
    """Which run of the candidate is held against the reference."""

    DEVICE = "device"
    HERE = "here"  # the same file, the same steps, on the machine that the gate runs on
    FREE = "free"  # here, all steps, each from its own carry
    CARRIED = "carried"  # as FREE, and what the device computed differently in a step is added to that step's result
    TURNED = "turned"  # as CARRIED, subtracted: an error as large, in the opposite direction


@dataclass(frozen=True, slots=True)
class StepsWanted:
    """What a metric wants a device to compute; equal ones are computed once.

    Attributes:
        device: its name in the policy.
        mode: from which carries.
        probes: how many of the probes, evenly chosen; 0: all.
        steps: how many of the steps: evenly chosen, the last among them, where carries are the reference's; the first
            ones where they are the device's own; 0: all.
    """

    device: str
    mode: StepMode = StepMode.FORCED
    probes: int = 0
    steps: int = 0


@dataclass(frozen=True, slots=True)
class DeviceSteps:
    """What a device computed for one `StepsWanted` of one model.

    Attributes:
        wanted: what was asked for.
        plug: the kind of device.
        machine: what it ran on.
        rows: the probes, by their rows in the inputs.
        steps: the ACT steps, from 1.
        entries: runs of the graph that the device made.
        requests: how often it was asked; for a service every one is a dataset and a job.
        jobs: of a service, in order.
        gap: why there is nothing.
        shares: what every compute unit did of the graph, in the last job; none where the device does not say.
    """

    wanted: StepsWanted
    plug: str = ""
    machine: Options = ()
    rows: tuple[int, ...] = ()
    steps: tuple[int, ...] = ()
    entries: int = 0
    requests: int = 0
    jobs: tuple[DeviceJob, ...] = ()
    gap: str = ""
    shares: tuple[UnitShare, ...] = field(default=(), metadata=LATE)
