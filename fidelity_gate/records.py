"""The records that rooms share: frozen dataclasses over numpy and the standard library.

Shapes use B probes in a batch, N probes in all, T aligned steps, L tokens, D width, V answer vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Scalar: TypeAlias = str | int | float | bool | None
Options: TypeAlias = tuple[tuple[str, Scalar], ...]  # sorted by name
Tensor: TypeAlias = Any  # a torch.Tensor or a numpy array; rooms never mix the two in one expression
Carry: TypeAlias = Mapping[str, Tensor]  # stream name -> (B, L, D)


# ---------------------------------------------------------------- models


@dataclass(frozen=True, slots=True)
class Depth:
    """How deep a recursion runs: `steps` ACT steps of `h_cycles` times `l_cycles` block updates."""

    h_cycles: int = 1
    l_cycles: int = 1
    steps: int = 1

    def __str__(self) -> str:
        """Return `H=3 L=6 steps=16`."""
        return f"H={self.h_cycles} L={self.l_cycles} steps={self.steps}"


@dataclass(frozen=True, slots=True)
class Geometry:
    """What the footprint and compute formulas need of a recursive block (SCIENCE: paper appendix M)."""

    tokens: int  # L, puzzle-embedding tokens included
    width: int  # D
    layers: int  # all of the recursive block's layers, of every level that has its own
    layer_values: int  # weight values of one block layer (its matrices)
    streams: int = 2  # long-lived carries


class Role(StrEnum):
    """What a tensor is for; recipes, shares and footprints treat roles differently."""

    BLOCK = "block"  # a matrix applied at every recursion step
    EMBEDDING = "embedding"
    HEAD = "head"
    OTHER = "other"  # initial carries, norms, biases, buffers


@dataclass(frozen=True, slots=True)
class TensorFact:
    """One tensor as it is stored in a file; measured, never read from metadata."""

    name: str
    role: Role
    shape: tuple[int, ...]  # logical shape
    stored_as: str  # "float32", "bfloat16", "int4 per channel asymmetric", ...
    bits: float  # stored bits of one value, scales and zero points not counted
    payload_bytes: int
    overhead_bytes: int = 0  # scales, zero points, code books

    @property
    def values(self) -> int:
        """Return the number of logical values."""
        count = 1
        for size in self.shape:
            count *= size
        return count

    @property
    def stored_bytes(self) -> int:
        """Return payload and overhead together."""
        return self.payload_bytes + self.overhead_bytes


@dataclass(frozen=True, slots=True)
class Footprint:
    """Peak SRAM of one ACT step in bytes, by deployment scenario (paper appendix M, Table 15)."""

    streaming: int
    full_load: int
    host_compressed: int
    bytes_per_value: float  # b of the formulas


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What can be said of a model file without running it."""

    path: str
    digest: str  # sha256 of every byte that was read, side files included
    size_bytes: int  # on disk, side files included
    file_format: str
    family: str  # "" for a model the gate has no family for
    architecture: Options  # the fields of the family's plug
    depth: Depth | None  # as the file or its sidecar declares it
    geometry: Geometry | None
    tensors: tuple[TensorFact, ...]
    recipe: str = ""  # what the file says was done to it: a claim
    calibration_rows: tuple[str, ...] = ()  # row digests the file says it was calibrated on: a claim
    notes: tuple[str, ...] = ()  # "took the EMA weights", ...


@dataclass(frozen=True, slots=True)
class StepState:
    """A recursion right after one ACT step.

    `carry` maps stream name -> (B, L, D). `logits` is (B, S, V) and `halt` is (B, 2) (halt, continue), or None where
    the model has no such head.
    """

    carry: Carry
    logits: Tensor | None = None
    halt: Tensor | None = None


@dataclass(frozen=True, slots=True, eq=False)
class StoredTensor:
    """One tensor as an artifact stores it: how, and the arrays it is made of."""

    name: str  # official key, prefix removed
    role: Role
    shape: tuple[int, ...]  # logical shape
    encoding: str  # "dense", "int4", "int8-bnb", ... : the key of the encodings' table in storage/
    axis: int | None  # of one scale a channel; None: one scale a tensor
    symmetric: bool
    parts: Mapping[str, NDArray[Any]]  # "data", and "scale", "zero", ... where the encoding has them


@dataclass(frozen=True, slots=True, eq=False)
class Artifact:
    """A model in our own format, in memory: the architecture (a claim, validated) and its tensors."""

    family: str
    architecture: Options
    depth: Depth | None
    tensors: tuple[StoredTensor, ...]  # sorted by name
    recipe: str = ""  # "" for a reference
    reference_digest: str = ""
    calibration_digest: str = ""
    calibration_rows: tuple[str, ...] = ()  # digest of every calibration row, see inputs.row_digests


# ---------------------------------------------------------------- inputs


@dataclass(frozen=True, slots=True, eq=False)
class Probes:
    """Inputs to step both models on, one row a probe."""

    inputs: NDArray[np.int32]  # (N, S) tokens
    labels: NDArray[np.int32] | None  # (N, S'), `ignore_label` where a cell does not count
    identifiers: NDArray[np.int32]  # (N,) puzzle identifiers; zeros where the model has none
    digest: str
    source: str  # where they came from, for people
    ignore_label: int = -100
    grid: tuple[int, int] | None = None  # rows, columns, where a probe is a grid
    answer_slice: tuple[int, int] | None = None  # token span that labels speak about, where not all

    def __len__(self) -> int:
        """Return N."""
        return int(self.inputs.shape[0])

    def rows(self, start: int, stop: int) -> Probes:
        """Return the probes `start` to `stop` (views, not copies), under the digest of the whole."""
        labels = None if self.labels is None else self.labels[start:stop]
        return replace(self, inputs=self.inputs[start:stop], labels=labels, identifiers=self.identifiers[start:stop])


# ---------------------------------------------------------------- policy


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
    """What a check requires; both ends inclusive, at least one given, in the metric's base unit."""

    minimum: float | None = None
    maximum: float | None = None
    text: str = ""  # as the policy's author wrote it: "max: 8 MiB"


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


@dataclass(frozen=True, slots=True)
class Target:
    """A device class that a release is meant for; limits in bytes and seconds."""

    name: str
    sram_bytes: int | None = None
    flash_bytes: int | None = None
    latency_s: float | None = None


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


# ---------------------------------------------------------------- measurements


class Evidence(StrEnum):
    """What a metric has to see."""

    FREE = "free"  # both models running on their own carry
    FORCED = "forced"  # the candidate making one step from the reference's carry
    FILE = "file"  # files alone


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


@dataclass(frozen=True, slots=True)
class Provenance:
    """Everything beside the models that can change a number. No clock: equal runs give equal bytes."""

    policy_name: str
    policy_digest: str
    inputs_digest: str
    inputs_source: str
    probes: int
    run: RunSpec
    libraries: Options  # name -> version
    machine: Options


@dataclass(frozen=True, slots=True)
class MeasurementSet:
    """All that one `measure` found; `judge` needs nothing else but a policy."""

    tool_version: str
    provenance: Provenance
    reference: ModelRecord
    candidates: tuple[ModelRecord, ...]
    measurements: tuple[Measurement, ...]
    noise_floor: NoiseFloor | None = None


# ---------------------------------------------------------------- verdict


class Outcome(StrEnum):
    """What became of one check."""

    PASS = "pass"  # noqa: S105  (an outcome, not a password)
    WARN = "warn"
    WAIVED = "waived"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    NOT_MEASURED = "not-measured"
    REFUSED = "refused"
    INTERNAL = "internal"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check judged for one candidate; numbers are raw, texts are made by the reports."""

    check: Check
    candidate: str
    outcome: Outcome
    unit: str = ""
    observed: float | None = None
    margin: float | None = None  # how far inside (positive) or outside (negative) the nearest bound
    worst_probe: int | None = None  # row of the inputs
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision, computed once. `passed` is true only when `met == required > 0`."""

    policy_name: str
    policy_digest: str
    results: tuple[CheckResult, ...]
    required: int
    met: int
    passed: bool
    exit_code: int
    reason: str  # one sentence


@dataclass(frozen=True, slots=True)
class Report:
    """What every report renders: the verdict and all that led to it."""

    verdict: Verdict
    policy: Policy | None
    measured: MeasurementSet | None
    created: str = ""  # ISO 8601, UTC
    error: str = ""  # the one line, when the gate was refused or broke before judging
    error_kind: Outcome | None = None
