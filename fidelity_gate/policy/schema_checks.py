"""The blocks of a policy that say how things are measured, and what is required of the numbers."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from fidelity_gate.policy.schema_values import Block, PathText, Quantity, Scalar


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
