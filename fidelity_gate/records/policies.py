"""A policy, resolved: what is compared, on what, how deep, and what is required."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from fidelity_gate.records.models import Depth, Options


class Severity(StrEnum):
    """What a missed check does: nothing, a warning, or a block."""

    OFF = "off"
    WARN = "warn"
    ERROR = "error"


class Aggregate(StrEnum):
    """The closed list of ways to make one number of per-probe values."""

    MEAN = "mean"
    WORST = "worst"
    P01 = "p01"
    P05 = "p05"
    MEDIAN = "median"
    P95 = "p95"


class Against(StrEnum):
    """What of the past a check is held against."""

    BASELINE = "baseline"  # one saved measurement
    HISTORY = "history"  # the last runs


class Direction(StrEnum):
    """Which way is better."""

    HIGHER = "higher"
    LOWER = "lower"
    BOTH = "both"  # a ratio that should stay near 1


@dataclass(frozen=True, slots=True)
class Place:
    """Where something is written, 1-based."""

    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        """Return `FILE:LINE:COL`, without the parts that are unknown."""
        if not self.line:
            return self.file
        return f"{self.file}:{self.line}:{self.column}" if self.column else f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Bound:
    """What a check requires; both ends inclusive, at least one of all given, in the metric's base unit.

    `max_regression` and `max_drop` say how much worse than in the past a number may be; smaller is tighter. They say
    nothing until the past is known: the judge makes them ends, and the tightest end counts.
    """

    minimum: float | None = None
    maximum: float | None = None
    text: str = ""  # as the policy's author wrote it: "max: 8 MiB"
    max_regression: float | None = None  # a share of the old number: 0.01
    max_drop: float | None = None  # in the metric's base unit

    @property
    def relative(self) -> bool:
        """Return whether something of the past has to be known to say what is required."""
        return self.max_regression is not None or self.max_drop is not None

    @property
    def absolute(self) -> bool:
        """Return whether it has an end of its own."""
        return self.minimum is not None or self.maximum is not None


@dataclass(frozen=True, slots=True)
class Check:
    """One requirement of a policy, expanded to one target."""

    id: str
    metric: str
    bound: Bound
    options: Options = ()
    aggregate: Aggregate | None = None  # None for metrics that give one value
    severity: Severity = Severity.ERROR
    candidates: tuple[str, ...] = ()  # empty: every candidate
    target: str = ""  # empty: holds whatever the target
    place: Place = field(default_factory=Place)
    against: Against | None = None  # where the bound is relative: to what


@dataclass(frozen=True, slots=True)
class Target:
    """A device class that a release is meant for; limits in bytes and seconds."""

    name: str
    sram_bytes: int | None = None
    flash_bytes: int | None = None
    latency_s: float | None = None
    static_only: bool = False  # needs static shapes and static quantization (NPUs)
    tile: int | None = None  # matrices with a side under this many values waste its multiplier
    int8_min_tokens: int | None = None  # sequences shorter than this run slower in static INT8 than in float
    operators: tuple[str, ...] = ()  # the operators it has, sorted; empty: all
    max_opset: int | None = None


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model as a policy names it."""

    name: str  # "reference", or the candidate's id
    path: str  # as written, resolved against the policy's folder or the command line
    options: Options = ()  # the policy's `model:` block, flattened
    recursion: Depth | None = None  # where it differs from the policy's
    targets: tuple[str, ...] = ()  # empty: all of the policy's
    use: str = ""  # the model format plug; empty: told from the file
    uncompressed: bool = False  # declared as not compressed (the noise of a runtime, a control)
    place: Place = field(default_factory=Place)


@dataclass(frozen=True, slots=True)
class InputsSpec:
    """Where probes come from: the inputs plug, its options, and how many probes are wanted."""

    use: str
    options: Options = ()
    base: str = ""  # the folder that relative paths are against: the policy's, or the working folder
    place: Place = field(default_factory=Place)


@dataclass(frozen=True, slots=True)
class NoiseFloorSpec:
    """How the reference is compared with itself before any trace figure is believed."""

    perturbation: float = 1e-6
    limit: float = 0.99  # mean fidelity of the reference to its perturbed self
    bf16: bool = False


@dataclass(frozen=True, slots=True)
class RunSpec:
    """How to measure; everything here can change a number and is recorded beside it."""

    seed: int = 0
    threads: int = 1
    batch: int = 32
    dtype: str = "float32"


@dataclass(frozen=True, slots=True)
class LintSettings:
    """Which rules count, and how much: the policy's `lint:` block, or the command line's options."""

    select: tuple[str, ...] = ()  # codes or prefixes ("FG2"); empty: all
    ignore: tuple[str, ...] = ()
    severity: tuple[tuple[str, Severity], ...] = ()  # code or prefix -> severity, sorted; the longest prefix wins
    options: tuple[tuple[str, Options], ...] = ()  # code -> the rule's own options, sorted
    place: Place = field(default_factory=Place)


@dataclass(frozen=True, slots=True)
class EnergyModel:
    """A named estimate of what compute costs in energy."""

    name: str
    mj_per_gflop: float
    source: str = ""


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """A device as a policy names it: who measures, and how."""

    name: str
    use: str  # the plug of the devices room
    options: Options = ()  # every option of it, those left out too
    place: Place = field(default_factory=Place)
    base: str = ""  # the folder that relative paths among the options are against: the policy's


@dataclass(frozen=True, slots=True)
class BaselineSpec:
    """Where the saved measurement is that checks are held against."""

    path: str  # as written, resolved against the policy's folder
    place: Place = field(default_factory=Place)


@dataclass(frozen=True, slots=True)
class HistorySpec:
    """Which earlier runs checks are held against, and what of a difference is noise."""

    path: str  # as written, resolved against the policy's folder
    last: int = 5  # so many runs that were no regression themselves
    minimum: int = 3  # with fewer nothing is decided
    floor_seconds: float = 0.001  # differences up to this are noise
    floor_bytes: float = 1_048_576.0
    spreads: float = 3.0  # and so are differences up to so many spreads
    warn_while_new: bool = False  # with fewer runs than `minimum`, warn and do not block
    place: Place = field(default_factory=Place)


@dataclass(frozen=True, slots=True)
class WaiverRules:
    """What waivers a policy bears at all."""

    max_days: int  # from the day a waiver was made to its last
    never: tuple[str, ...] = ()  # ids of checks that are not waived, sorted
    place: Place = field(default_factory=Place)


@dataclass(frozen=True, slots=True)
class Waiver:
    """Somebody's word that one check may be missed for a while by one file, down to a floor of its own."""

    id: str
    check: str
    candidate: str
    digest: str  # SHA-256 of the candidate, as reports show it
    floor: Bound  # of the check's metric, below which the waiver does not reach
    reason: str
    ticket: str
    owner: str
    created: str  # the day it was made, ISO 8601, UTC
    expires: str  # its last day
    target: str = ""  # empty: the check holds whatever the target
    place: Place = field(default_factory=Place)


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy, resolved: what is compared, on what, how deep, and what is required."""

    name: str
    path: str
    digest: str
    reference: ModelSpec
    candidates: tuple[ModelSpec, ...]
    inputs: InputsSpec
    recursion: Depth
    checks: tuple[Check, ...]
    targets: tuple[Target, ...] = ()
    noise_floor: NoiseFloorSpec = field(default_factory=NoiseFloorSpec)
    run: RunSpec = field(default_factory=RunSpec)
    minimum_probes: int = 1
    calibration: InputsSpec | None = None  # rows a recipe was calibrated on; none may be among the inputs
    lint: LintSettings = field(default_factory=LintSettings)
    energy_models: tuple[EnergyModel, ...] = ()  # sorted by name; checks hold the figures of the one they name
    devices: tuple[DeviceSpec, ...] = ()  # sorted by name
    baseline: BaselineSpec | None = None
    history: HistorySpec | None = None
    waiver_rules: WaiverRules | None = None  # None: nothing may be waived
    waivers: tuple[Waiver, ...] = ()  # sorted by id
