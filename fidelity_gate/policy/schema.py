"""The policy's shape: one strict, closed pydantic model a block. Their descriptions are the JSON Schema's.

What needs knowledge of other blocks or of metrics is checked where policies are resolved, not here.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from fidelity_gate.policy.schema_checks import (
    BaselineBlock,
    CheckBlock,
    DeviceBlock,
    EnergyModelBlock,
    HistoryBlock,
    LintBlock,
    NoiseFloorBlock,
    RunBlock,
)
from fidelity_gate.policy.schema_models import (
    CandidateBlock,
    InputsBlock,
    RecursionBlock,
    ReferenceBlock,
    TargetBlock,
    as_path_block,
    as_source,
    as_target_block,
)
from fidelity_gate.policy.schema_values import Block, Id, PathText
from fidelity_gate.policy.schema_waivers import WaiverBlock, WaiverRulesBlock

API_VERSION = "fidelity-gate/v1"
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
    reference: Annotated[ReferenceBlock, BeforeValidator(as_path_block)] | None = Field(
        default=None, description="The full-precision model; or --reference."
    )
    candidates: dict[Id, Annotated[CandidateBlock, BeforeValidator(as_path_block)]] | None = Field(
        default=None, min_length=1, description="The compressed models, by name; or --candidate."
    )
    inputs: Annotated[InputsBlock, BeforeValidator(as_source)] | None = Field(
        default=None, description="The probes; or --inputs."
    )
    recursion: RecursionBlock = Field(description="How deep the models run.")
    targets: list[Annotated[TargetBlock, BeforeValidator(as_target_block)]] | None = Field(
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
