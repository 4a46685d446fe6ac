"""device_answer_agreement: does the device answer what the reference answers, from the reference's own carry?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, Literal

from fidelity_gate.metrics._device_steps import SomeSteps, beside, extent, ran_on
from fidelity_gate.metrics.answers import AnswerAgreement
from fidelity_gate.metrics.series import When
from fidelity_gate.records import Ran

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fidelity_gate.protocols import Accumulator
    from fidelity_gate.records import Depth, DeviceSteps, Measured, ModelRecord


@dataclass(frozen=True, slots=True)
class DeviceAnswerAgreement(SomeSteps):
    """`answer_agreement` of what a device decodes: damage to the output head on the device, which no carry shows.

    Attributes:
        level: "cell": the share of a probe's cells; "puzzle": 1 where all cells agree, else 0.
        at: "last" of the steps that are made, "worst" (each probe's lowest), "mean" over them, or a step, from 1.
    """

    level: Literal["cell", "puzzle"] = "cell"
    at: When | Literal["mean"] = "last"

    unit: ClassVar[str] = "fraction"
    limits: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)

    def __post_init__(self) -> None:
        """Refuse options with which there would be nothing."""
        SomeSteps.__post_init__(self)
        self._local()

    def accumulator(self, depth: Depth) -> Accumulator:
        """Return a fresh accumulator: that of `answer_agreement`."""
        return self._local().accumulator(depth)

    def measured(self, found: Mapping[Ran, Measured], told: DeviceSteps, candidate: ModelRecord) -> Measured:
        """Return the device's values, and its curve beside the one of this machine."""
        there = found[Ran.DEVICE]
        detail = f"{beside(found, self.unit)}; {extent(told)}"
        return replace(there, detail=detail, curve_here=found[Ran.HERE].curve, ran_on=ran_on(told, candidate))

    def _local(self) -> AnswerAgreement:
        return AnswerAgreement(self.level, self.at)
