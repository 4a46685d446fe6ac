"""The policy's shape: one strict, closed pydantic model a block. Their descriptions are the JSON Schema's.

What needs knowledge of other blocks or of metrics is checked where policies are resolved, not here.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from fidelity_gate.text import printable

API_VERSION = "fidelity-gate/v1"
RESERVED_NAMES = ("reference", "gate", "verdict")
LONGEST_PATH = 1000
ZOO = "zoo:"

# No dots: names are joined with dots in JUnit, and two of them must never make the same class name.
ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
Lockable = Literal[
    "reference",
    "inputs",
    "recursion",
    "targets",
    "noise_floor",
    "run",
    "minimum_probes",
    "lint",
    "energy_models",
    "devices",
    "baseline",
    "history",
    "waiver_rules",
]
DAY_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
OPERATOR_PATTERN = r"[A-Za-z][A-Za-z0-9_.-]{0,127}"
ID_WORDS = "letters, digits, - and _, at most 64, starting with a letter or digit"


def _no_reserved(name: str) -> str:
    if name.lower() in RESERVED_NAMES:
        raise PydanticCustomError("policy", "'{name}' is a name of the gate's own", {"name": name, "hint": "rename it"})
    return name


def _path(text: str) -> str:
    if not text.strip() or text != text.strip() or printable(text, LONGEST_PATH) != text:
        what = "is not a path that can be shown: empty, too long, or with hidden or doubled characters"
        raise PydanticCustomError("policy", what, {"hint": "rename the file"})
    return text


def _said(text: str) -> str:
    if not text.strip() or printable(text, LONGEST_PATH) != text:
        what = "is not a line that can be shown: empty, or with line breaks or hidden characters"
        raise PydanticCustomError("policy", what, {"hint": "one plain line"})
    return text


def _day(text: str) -> str:
    try:
        date.fromisoformat(text)
    except ValueError as error:
        what, hint = "is no day of the calendar", "as 2026-01-31"
        raise PydanticCustomError("policy", what, {"hint": hint}) from error
    return text


def _operator(name: str) -> str:
    if not re.fullmatch(OPERATOR_PATTERN, name):
        hint = (
            "as ONNX names it, like MatMul; with its domain where that is not the standard: com.microsoft.MatMulNBits"
        )
        raise PydanticCustomError("policy", "'{name}' cannot be the name of an operator", {"name": name, "hint": hint})
    return name


def _as_path_block(value: object) -> object:
    """Take a bare string as the block with that path."""
    return {"path": value} if isinstance(value, str) else value


def _as_target_block(value: object) -> object:
    """Take a bare string as the target of that name."""
    return {"name": value} if isinstance(value, str) else value


def _as_source(value: object) -> object:
    """Take `zoo:NAME` as the block that names it."""
    if isinstance(value, str) and value.startswith(ZOO):
        return {"use": "zoo", "name": value.removeprefix(ZOO)}
    return value


def _scalar(value: object) -> object:
    if isinstance(value, str | int | float):
        return value
    raise PydanticCustomError("policy", "must be one value, not {kind}", {"kind": kind_of(value)})


def _scalar_or_scalars(value: object) -> object:
    if isinstance(value, dict):
        return {key: _scalar(item) for key, item in value.items()}
    return _scalar(value)


def _quantity(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        hint = "a quantity such as 0.97, 95 %, 8 MiB or 30 ms"
        raise PydanticCustomError("policy", "must be a quantity, not {kind}", {"kind": kind_of(value), "hint": hint})
    return value


def kind_of(value: object) -> str:
    """Return what a value of the file is, for people."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return f"'{printable(value, 40)}'" if isinstance(value, str) else f"the number {value}"


_SCALAR_SCHEMA = {"type": ["string", "number", "boolean"]}
_SCALARS_SCHEMA = {"anyOf": [_SCALAR_SCHEMA, {"type": "object", "additionalProperties": _SCALAR_SCHEMA}]}

Scalar = Annotated[Any, PlainValidator(_scalar), WithJsonSchema(_SCALAR_SCHEMA)]
ScalarOrScalars = Annotated[Any, PlainValidator(_scalar_or_scalars), WithJsonSchema(_SCALARS_SCHEMA)]
Quantity = Annotated[Any, PlainValidator(_quantity), WithJsonSchema({"type": ["string", "number"]})]
Id = Annotated[str, StringConstraints(pattern=ID_PATTERN), AfterValidator(_no_reserved)]
PathText = Annotated[str, AfterValidator(_path)]


class Block(BaseModel):
    """A mapping of the policy: unknown keys are errors, nothing is converted, nothing changes afterwards."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        strict=True, extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=()
    )


class RecursionBlock(Block):
    """How deep the models run: `steps` ACT steps of `h_cycles` times `l_cycles` block updates."""

    h_cycles: int = Field(ge=1, le=1000, description="H cycles in one ACT step.")
    l_cycles: int = Field(ge=1, le=1000, description="L cycles in one H cycle.")
    steps: int = Field(ge=1, le=10_000, description="ACT steps (the paper's supervision steps, halt_max_steps).")
    locked: bool = Field(default=False, description="Policies that extend this one may only tighten it.")


class OwnRecursionBlock(Block):
    """Where a candidate's recursion differs from the policy's; what is left out is the same."""

    h_cycles: int | None = Field(default=None, ge=1, le=1000, description="H cycles in one ACT step.")
    l_cycles: int | None = Field(default=None, ge=1, le=1000, description="L cycles in one H cycle.")
    steps: int | None = Field(default=None, ge=1, le=10_000, description="ACT steps.")


class ReferenceBlock(Block):
    """The full-precision model that candidates are held against."""

    path: PathText = Field(description="The file, against the policy's folder; or zoo:NAME.")
    use: str | None = Field(default=None, description="The model format; told from the file where it is left out.")
    model: dict[str, ScalarOrScalars] = Field(
        default_factory=dict, description="Facts of the architecture that the file does not hold."
    )


class CandidateBlock(ReferenceBlock):
    """A compressed model that wants to ship."""

    recursion: OwnRecursionBlock | None = Field(
        default=None, description="Where it differs from the policy's recursion."
    )
    targets: list[str] | None = Field(
        default=None, min_length=1, description="The targets it is for; all where left out."
    )
    uncompressed: bool = Field(
        default=False,
        description="Declare that this candidate is not compressed (a runtime's noise, a control). "
        "Without it, a candidate that turns out not to be compressed is refused.",
    )


class TargetBlock(Block):
    """A device class: one that ships, by its name alone, or one of your own with at least one limit or property."""

    name: Id = Field(description="What checks and reports call it.")
    sram: Quantity | None = Field(default=None, description="The SRAM a model may use at its peak: 512 KiB.")
    flash: Quantity | None = Field(default=None, description="The flash a model may fill: 2 MiB.")
    latency: Quantity | None = Field(default=None, description="The time one answer may take: 30 ms.")
    static_only: bool = Field(default=False, description="It needs static shapes and static quantization, as NPUs do.")
    tile: int | None = Field(
        default=None, ge=2, le=65_536, description="Matrices with a side under this many values waste its multiplier."
    )
    int8_min_tokens: int | None = Field(
        default=None,
        ge=2,
        le=10_000_000,
        description="Sequences shorter than this run slower in static INT8 than in float.",
    )
    operators: list[Annotated[str, AfterValidator(_operator)]] | None = Field(
        default=None,
        min_length=1,
        description="The operators it has; those outside the standard with their domain: com.microsoft.MatMulNBits.",
    )
    max_opset: int | None = Field(default=None, ge=1, le=1000, description="The latest opset it can read.")


class SourceBlock(BaseModel):
    """Where probes come from; the keys beside `use` are the source's own options."""

    model_config: ClassVar[ConfigDict] = ConfigDict(strict=True, extra="allow", frozen=True, allow_inf_nan=False)
    __pydantic_extra__: dict[str, Scalar]

    use: str = Field(
        description="The kind of source: npz, safetensors, frames, wav, sudoku, maze, modular-addition, zoo."
    )


class InputsBlock(SourceBlock):
    """The probes that both models step on."""

    calibration: Annotated[SourceBlock, BeforeValidator(_as_source)] | None = Field(
        default=None, description="The rows that a recipe was calibrated on; none of them may be among the probes."
    )


class NoiseFloorBlock(Block):
    """How the reference is compared with a slightly perturbed self before any trace figure is believed."""

    perturbation: float = Field(
        default=1e-6, gt=0, le=0.01, description="Relative size of the noise on the initial carry."
    )
    limit: float = Field(
        default=0.99,
        gt=0,
        lt=1,
        description="Mean fidelity to itself below which trace checks are inconclusive (exit 3).",
    )
    bf16: bool = Field(default=False, description="Also show the reference's own bfloat16 forward.")
    locked: bool = Field(default=False, description="Policies that extend this one may only tighten it.")


class RunBlock(Block):
    """How to measure; everything here can change a number and is recorded beside it."""

    seed: int = Field(default=0, ge=0, le=2**31 - 1, description="Seed of the noise floor.")
    threads: int = Field(default=1, ge=1, le=256, description="CPU threads.")
    batch: int = Field(default=32, ge=1, le=65_536, description="Probes stepped at once; memory grows with it.")
    locked: bool = Field(default=False, description="Policies that extend this one may only tighten it.")


class RequireBlock(Block):
    """What the measured number has to be; both ends are inclusive."""

    min: Quantity | None = Field(default=None, description="At least this: 0.97, 95 %, target.sram.")
    max: Quantity | None = Field(default=None, description="At most this: 8 MiB, 30 ms, target.sram.")
    max_regression: Quantity | None = Field(
        default=None, description="At most this share of the old number worse than it: 1 %."
    )
    max_drop: Quantity | None = Field(
        default=None, description="At most so much worse than the old number, in the metric's unit: 0.005, 2 ms, 1 MiB."
    )


class CheckBlock(Block):
    """One requirement."""

    metric: str = Field(description="What is measured.")
    options: dict[str, Scalar] = Field(default_factory=dict, description="The metric's own options.")
    aggregate: Literal["mean", "worst", "p01", "p05", "median", "p95"] | None = Field(
        default=None,
        description="How one number is made of one value a probe; for metrics with one value it is left out.",
    )
    require: RequireBlock = Field(description="The bound, in the metric's unit.")
    against: Literal["baseline", "history"] | None = Field(
        default=None,
        description="What max_regression and max_drop compare with; may be left out where the policy has only one.",
    )
    severity: Literal["off", "warn", "error"] = Field(
        default="error", description="What a missed bound does; error blocks."
    )
    candidates: list[str] | None = Field(
        default=None, min_length=1, description="Only these candidates; all where left out."
    )
    targets: list[str] | None = Field(default=None, min_length=1, description="Only these targets; all where left out.")
    locked: bool = Field(default=False, description="Policies that extend this one may only tighten it.")


class LintBlock(Block):
    """Which lint rules count, and how much: codes (FG202) or their beginnings (FG2); the longest one decides."""

    select: list[str] | None = Field(default=None, min_length=1, description="Only these rules; all where left out.")
    ignore: list[str] | None = Field(default=None, min_length=1, description="Not these rules.")
    severity: dict[str, Literal["off", "warn", "error"]] | None = Field(
        default=None, min_length=1, description="What a finding of these rules is, instead of the rule's own severity."
    )
    options: dict[str, dict[str, Scalar]] | None = Field(
        default=None, min_length=1, description="Options of a rule, by its code."
    )
    locked: bool = Field(default=False, description="Policies that extend this one may only tighten it.")


class EnergyModelBlock(Block):
    """An estimate of what compute costs in energy on a device."""

    mj_per_gflop: float = Field(gt=0, le=1e6, description="Millijoules for 1e9 floating-point operations.")
    source: str | None = Field(default=None, min_length=1, max_length=400, description="Where the figure is from.")


class DeviceBlock(BaseModel):
    """Who runs the candidates, and says how long they take; the keys beside `use` are the device's own options."""

    model_config: ClassVar[ConfigDict] = ConfigDict(strict=True, extra="allow", frozen=True, allow_inf_nan=False)
    __pydantic_extra__: dict[str, Scalar]

    use: str = Field(description="The kind of device: host-cpu, qai_hub, recorded.")


class BaselineBlock(Block):
    """A saved measurement that checks with max_regression or max_drop are held against; no run ever writes it."""

    path: PathText = Field(description="What `fidelity-gate baseline write` wrote; against the policy's folder.")


class HistoryBlock(Block):
    """The runs before this one; `fidelity-gate run` adds every run that it judged."""

    path: PathText = Field(description="A file of JSON lines (.jsonl), against the policy's folder.")
    last: int = Field(default=5, ge=1, le=1000, description="So many runs count: the median of their numbers.")
    minimum: int = Field(default=3, ge=1, le=1000, description="With fewer runs nothing is decided (exit 3).")
    floor: Quantity = Field(default="1 ms", description="Differences of latency up to this are noise.")
    memory_floor: Quantity = Field(default="1 MiB", description="Differences of memory up to this are noise.")
    spreads: float = Field(default=3.0, ge=0, le=100, description="Differences up to so many spreads are noise too.")
    while_new: Literal["block", "warn"] = Field(
        default="block", description="What checks against it do while it has fewer runs than the minimum."
    )


class WaiverRulesBlock(Block):
    """What may be waived at all; without it nothing may. Policies that extend this one may only tighten it."""

    max_days: int = Field(ge=1, le=366, description="From the day a waiver is made to its last.")
    never: list[str] | None = Field(default=None, min_length=1, description="Checks that are never waived.")


class FloorBlock(Block):
    """How far a waived check may be missed; both ends are inclusive."""

    min: Quantity | None = Field(default=None, description="At least this.")
    max: Quantity | None = Field(default=None, description="At most this.")


Day = Annotated[str, StringConstraints(pattern=DAY_PATTERN), AfterValidator(_day)]
Said = Annotated[str, StringConstraints(min_length=1, max_length=400), AfterValidator(_said)]


class WaiverBlock(Block):
    """Somebody's word that one check may be missed for a while, by one file; `fidelity-gate waive` writes it."""

    check: str = Field(description="The check that is missed.")
    candidate: str = Field(description="The candidate that misses it.")
    target: str | None = Field(default=None, description="The target; needed where the check has several.")
    digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")] = Field(
        description="SHA-256 of the candidate, as reports show it: another file is not waived."
    )
    floor: FloorBlock = Field(description="How far the check may be missed, in the metric's unit.")
    reason: Said = Field(description="Why it may ship all the same.")
    ticket: Said = Field(description="Where mending it is followed.")
    owner: Said = Field(description="Who answers for it.")
    created: Day = Field(description="The day it is made, in UTC: 2026-01-31.")
    expires: Day = Field(description="Its last day, in UTC.")


class PolicyBlock(Block):
    """A release policy of fidelity-gate: what is compared, on what, how deep, and what is required."""

    api_version: Literal["fidelity-gate/v1"] = Field(
        alias="apiVersion", description=f"The version of this format: {API_VERSION}."
    )
    name: Id = Field(description="What reports call the policy.")
    base: bool = Field(default=False, description="It is only there to be extended: nothing is judged by it alone.")
    extends: PathText | list[PathText] | None = Field(
        default=None,
        description="Policies that this one refines: against this file's folder, or fidelity-gate:NAME, which ships.",
    )
    locked: list[Lockable] | None = Field(
        default=None, min_length=1, description="Blocks that policies that extend this one may only tighten."
    )
    reference: Annotated[ReferenceBlock, BeforeValidator(_as_path_block)] | None = Field(
        default=None, description="The full-precision model; or --reference."
    )
    candidates: dict[Id, Annotated[CandidateBlock, BeforeValidator(_as_path_block)]] | None = Field(
        default=None, min_length=1, description="The compressed models, by name; or --candidate."
    )
    inputs: Annotated[InputsBlock, BeforeValidator(_as_source)] | None = Field(
        default=None, description="The probes; or --inputs."
    )
    recursion: RecursionBlock = Field(description="How deep the models run.")
    targets: list[Annotated[TargetBlock, BeforeValidator(_as_target_block)]] | None = Field(
        default=None,
        min_length=1,
        description="Device classes that the release is for: shipped names, or blocks of your own.",
    )
    noise_floor: NoiseFloorBlock = Field(default_factory=NoiseFloorBlock)
    run: RunBlock = Field(default_factory=RunBlock)
    minimum_probes: int = Field(
        default=100, ge=1, le=10_000_000, description="With fewer probes than this nothing is decided (exit 3)."
    )
    lint: LintBlock | None = Field(default=None, description="Which lint rules count, for checks of the metric lint.")
    energy_models: dict[Id, EnergyModelBlock] | None = Field(
        default=None, min_length=1, description="Energy models of your own, by name, for checks of the metric energy."
    )
    devices: dict[Id, DeviceBlock] | None = Field(
        default=None, min_length=1, description="Devices, by name, for checks of latency, memory and the like."
    )
    baseline: BaselineBlock | None = Field(default=None, description="A saved measurement to compare with.")
    history: HistoryBlock | None = Field(default=None, description="Earlier runs on devices to compare with.")
    waiver_rules: WaiverRulesBlock | None = Field(default=None, description="What may be waived, and for how long.")
    waivers: dict[Id, WaiverBlock] | None = Field(
        default=None, min_length=1, description="Checks that are missed with leave, by a name of their own."
    )
    checks: dict[Id, CheckBlock] = Field(min_length=1, description="What is required, by name.")
