"""What metrics of steps on a device share: which steps they want, and how a figure is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, TypeAlias

from fidelity_gate.bounds import mean
from fidelity_gate.errors import PolicyError
from fidelity_gate.metrics._devices import fallback, label
from fidelity_gate.records import DeviceProfile, DeviceRun, Direction, Evidence, Ran, StepMode, StepsWanted
from fidelity_gate.units import format_value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fidelity_gate.records import CurvePoint, DeviceSteps, Measured, ModelRecord

Mode: TypeAlias = Literal["forced", "free"]


@dataclass(frozen=True, slots=True)
class OnDevice:
    """Options of every metric of steps on a device.

    Attributes:
        device: a name of the policy's `devices:`.
        probes: how many of the probes to send, evenly chosen; 0: all.
    """

    device: str = ""
    probes: int = 0

    direction: ClassVar[Direction] = Direction.HIGHER
    evidence: ClassVar[Evidence] = Evidence.DEVICE
    per_probe: ClassVar[bool] = True
    floored: ClassVar[bool] = False
    # A device that computes steps is not timed for them.
    part: ClassVar[None] = None
    memory: ClassVar[bool] = False
    fewest_runs: ClassVar[int] = 1
    needs: ClassVar[str] = "inference"

    def __post_init__(self) -> None:
        """Refuse a number of probes that is none."""
        at_least_none("probes", self.probes)


@dataclass(frozen=True, slots=True)
class SomeSteps(OnDevice):
    """Options of metrics that may look at some steps only.

    Attributes:
        mode: "forced": every step starts from the reference's own carry, and one job makes them all; "free": from what
            the device itself gave the step before, one job a run of the graph.
        steps: how many steps to make: evenly chosen, the last among them, where forced; the first ones where free; 0:
            all, where forced.
    """

    mode: Mode = "forced"
    steps: int = 0

    watches: ClassVar[tuple[Ran, ...]] = (Ran.DEVICE, Ran.HERE)

    def __post_init__(self) -> None:
        """Refuse numbers that are none, and a free run whose number of jobs nobody has stated."""
        at_least_none("probes", self.probes)
        at_least_none("steps", self.steps)
        if self.mode == "free" and not self.steps:
            what = "is missing: every step of a free run is a job of its own"
            raise PolicyError(what, field="steps", hint="steps: 4; or mode: forced, which makes all in one")

    @property
    def steps_wanted(self) -> StepsWanted:
        """Return what the device has to compute."""
        return StepsWanted(self.device, StepMode(self.mode), self.probes, self.steps)


def at_least_none(name: str, value: int) -> None:
    """Raise PolicyError for a negative number."""
    if value < 0:
        raise PolicyError(f"there are no {value} {name}", field=name, hint=f"1 or more; 0 for all {name}")


def ran_on(told: DeviceSteps, candidate: ModelRecord) -> str:
    """Return `on host-cpu (...)`, with the last of the jobs."""
    return label(_run(told), candidate)


def extent(told: DeviceSteps) -> str:
    """Return `16 probes, 8 forced steps, 128 runs of the graph in 1 request`, earlier jobs, and fallback."""
    made = f"{told.wanted.mode.value} step"
    probes, steps = _counted(len(told.rows), "probe"), _counted(len(told.steps), made)
    entries, asked = _counted(told.entries, "run"), _counted(told.requests, "job" if told.jobs else "request")
    links = "".join(f", {job.id} {job.url}".rstrip() for job in told.jobs[:-1])  # the last is in `ran_on`
    ran = f"{probes}, {steps}, {entries} of the graph in {asked}{links}"
    return "; ".join(part for part in (ran, fallback(_run(told))) if part)


def _run(told: DeviceSteps) -> DeviceRun:
    job = told.jobs[-1] if told.jobs else None
    return DeviceRun(told.wanted.device, told.plug, told.machine, job=job, profile=DeviceProfile(told.shares))


def beside(found: Mapping[Ran, Measured], unit: str) -> str:
    """Return what the same steps came to here, and what the device adds to them."""
    there, here = (mean(found[ran].values) for ran in (Ran.DEVICE, Ran.HERE))
    return f"{format_value(here, unit)} here, the device adds {there - here:+.2g}"


def by_step(there: tuple[CurvePoint, ...], here: tuple[CurvePoint, ...], unit: str) -> str:
    """Return the means of every step, the device's and those here."""
    pairs = (
        (one.step, format_value(one.mean, unit), format_value(other.mean, unit))
        for one, other in zip(there, here, strict=True)
    )
    return "by step (here): " + ", ".join(f"{step} {ours} ({theirs})" for step, ours, theirs in pairs)


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
