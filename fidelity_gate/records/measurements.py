"""Measurements: what one run found, with everything that can change a number."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from fidelity_gate.records.analysis import Arena, Compute, Linted
from fidelity_gate.records.device_steps import DeviceSteps
from fidelity_gate.records.exhibits import Exhibit
from fidelity_gate.records.late import LATE
from fidelity_gate.records.models import Depth, Footprint, ModelFacts, Options
from fidelity_gate.records.policies import Direction, LintSettings, RunSpec, Target
from fidelity_gate.records.timings import DeviceRecord, DeviceRun


class Evidence(StrEnum):
    """What a metric has to see."""

    FREE = "free"  # both models running on their own carry
    FORCED = "forced"  # the candidate making one step from the reference's carry
    FILE = "file"  # files alone
    DEVICE = "device"  # the candidate running alone on a device

    @property
    def traced(self) -> bool:
        """Return whether both models have to be stepped side by side for it."""
        return self in (Evidence.FREE, Evidence.FORCED)


class MeasureStatus(StrEnum):
    """Whether a number exists."""

    MEASURED = "measured"
    NOT_MEASURED = "not-measured"


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One ACT step of a per-step curve, over all probes. `step` counts from 1."""

    step: int
    mean: float
    p05: float
    worst: float


@dataclass(frozen=True, slots=True)
class Measured:
    """What an accumulator or a file metric returns: one value a probe, or one value in all."""

    values: tuple[float, ...]
    curve: tuple[CurvePoint, ...] = ()
    detail: str = ""  # one line for people
    rows: tuple[int, ...] = ()  # the probes that it has values for, where the policy's check asks for some only
    curve_here: tuple[CurvePoint, ...] = ()  # as `curve`, where a device computed that: computed on this machine
    ran_on: str = ""  # of a device's figure: the device, its runtime and its job, for people


@dataclass(frozen=True, slots=True)
class Measurement:
    """A metric, measured (or not) for one candidate."""

    metric: str
    options: Options
    candidate: str
    unit: str
    direction: Direction
    per_probe: bool
    floored: bool  # judged against the noise floor
    status: MeasureStatus
    values: tuple[float, ...] = ()
    curve: tuple[CurvePoint, ...] = ()
    floor_values: tuple[float, ...] = ()  # the same metric for the reference against its perturbed self
    floor_curve: tuple[CurvePoint, ...] = ()
    detail: str = ""
    reason: str = ""  # why it was not measured
    rows: tuple[int, ...] = field(default=(), metadata=LATE)  # as in `Measured`
    curve_here: tuple[CurvePoint, ...] = field(default=(), metadata=LATE)
    ran_on: str = field(default="", metadata=LATE)


@dataclass(frozen=True, slots=True)
class NoiseFloor:
    """The reference against itself with its initial carry perturbed; `values` are fidelities, one a probe."""

    perturbation: float
    limit: float
    values: tuple[float, ...]
    curve: tuple[CurvePoint, ...] = ()
    bf16_values: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """One compared model, with every parameter that can change a number."""

    name: str
    facts: ModelFacts
    depth: Depth
    footprint: Footprint | None = None
    alignment: str = "by ACT step"
    uncompressed: bool = False  # declared as not compressed, which spared it a refusal and claims nothing of it
    targets: tuple[Target, ...] = ()  # those it is for: lint rules look at them
    compute: Compute | None = None  # at `depth`
    compute_gap: str = ""  # why there is no compute
    arena: Arena | None = None  # of one run of a step graph
    arena_gap: str = ""  # why there is no arena
    linted: Linted | None = None  # None where nothing asked for it, or nothing of the file can be looked at
    device_runs: tuple[DeviceRun, ...] = ()  # one a device that a check wants it of
    device_steps: tuple[DeviceSteps, ...] = field(default=(), metadata=LATE)  # what devices computed of it


@dataclass(frozen=True, slots=True)
class Provenance:
    """Everything beside the models that can change a number. No clock: equal runs give equal bytes, but for timings."""

    policy_name: str
    policy_digest: str
    inputs_digest: str
    inputs_source: str
    probes: int
    run: RunSpec
    libraries: Options  # name -> version
    machine: Options
    lint: LintSettings | None = None  # what was linted by, without its place; None where nothing was
    devices: tuple[DeviceRecord, ...] = ()  # the policy's, where a check needs one
    asked: Options = ()  # what the policy named, and how it is read (`matching.asked`); (): nobody wrote it down


@dataclass(frozen=True, slots=True)
class MeasurementSet:
    """All that one `measure` found; `judge` needs nothing else but a policy."""

    tool_version: str
    provenance: Provenance
    reference: ModelRecord
    candidates: tuple[ModelRecord, ...]
    measurements: tuple[Measurement, ...]
    noise_floor: NoiseFloor | None = None
    exhibits: tuple[Exhibit, ...] = field(default=(), metadata=LATE)  # each candidate's worst probes; never judged
