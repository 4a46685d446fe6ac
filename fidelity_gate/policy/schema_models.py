"""The blocks of a policy that say what is compared, on what, how deep, and for which device classes."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from fidelity_gate.policy.schema_values import ZOO, Block, Id, Operator, PathText, Quantity, Scalar, ScalarOrScalars


def as_path_block(value: object) -> object:
    """Take a bare string as the block with that path."""
    return {"path": value} if isinstance(value, str) else value


def as_target_block(value: object) -> object:
    """Take a bare string as the target of that name."""
    return {"name": value} if isinstance(value, str) else value


def as_source(value: object) -> object:
    """Take `zoo:NAME` as the block that names it."""
    if isinstance(value, str) and value.startswith(ZOO):
        return {"use": "zoo", "name": value.removeprefix(ZOO)}
    return value


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
    operators: list[Operator] | None = Field(
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

    calibration: Annotated[SourceBlock, BeforeValidator(as_source)] | None = Field(
        default=None, description="The rows that a recipe was calibrated on; none of them may be among the probes."
    )
