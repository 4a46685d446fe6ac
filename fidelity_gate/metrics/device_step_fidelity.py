"""device_step_fidelity: how close the device's steps are to the reference's, each from the reference's own carry."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from fidelity_gate.metrics._device_steps import SomeSteps, beside, by_step, extent, ran_on
from fidelity_gate.metrics.carry_fidelity import Tokens
from fidelity_gate.metrics.step_fidelity import StepFidelity
from fidelity_gate.records import Ran

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fidelity_gate.protocols import Accumulator
    from fidelity_gate.records import Depth, DeviceSteps, Measured, ModelRecord


@dataclass(frozen=True, slots=True)
class DeviceStepFidelity(SomeSteps):
    """`step_fidelity` of what a device computes, beside the same of what this machine computes of the same file.

    Attributes:
        stream: a stream's name, "first" (z_H for TRM and HRM), or "all": each probe's lowest stream.
        at: "mean" over the steps, "worst" (each probe's lowest step), "last", or a step, from 1.
        tokens: "mean" over tokens, or "worst": each probe's lowest token.
    """

    stream: str = "first"
    at: Literal["mean", "worst", "last"] | int = "mean"
    tokens: Tokens = "mean"

    unit: ClassVar[str] = ""
    limits: ClassVar[tuple[float | None, float | None]] = (-1.0, 1.0)

    def __post_init__(self) -> None:
        """Refuse options with which there would be nothing."""
        SomeSteps.__post_init__(self)
        self._local()

    def accumulator(self, depth: Depth) -> Accumulator:
        """Return a fresh accumulator: that of `step_fidelity`."""
        return self._local().accumulator(depth)

    def measured(self, found: Mapping[Ran, Measured], told: DeviceSteps, candidate: ModelRecord) -> Measured:
        """Return the device's values, and its curve beside the one of this machine."""
        there, here = found[Ran.DEVICE], found[Ran.HERE]
        steps = by_step(there.curve, here.curve, self.unit)
        detail = f"{there.detail}: {beside(found, self.unit)}; {extent(told)}; {steps}"
        return replace(there, detail=detail, curve_here=here.curve, ran_on=ran_on(told, candidate))

    def _local(self) -> StepFidelity:
        return StepFidelity(self.stream, self.at, self.tokens)
