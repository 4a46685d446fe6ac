"""device_fidelity_predicted: what fidelity the device's free run would have, foretold from its forced steps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.bounds import mean
from fidelity_gate.errors import NotMeasured, PolicyError
from fidelity_gate.metrics._device_steps import OnDevice, extent, ran_on
from fidelity_gate.metrics.carry_fidelity import CarryFidelity, Tokens
from fidelity_gate.metrics.series import When
from fidelity_gate.records import Ran, StepsWanted
from fidelity_gate.units import format_value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fidelity_gate.protocols import Accumulator
    from fidelity_gate.records import Depth, DeviceSteps, Measured, ModelRecord

_ROUNDING = 1e-9  # a cosine nearer to 1 than this tells of no error, only of rounding


@dataclass(frozen=True, slots=True)
class DeviceFidelityPredicted(OnDevice):
    """A prediction of `carry_fidelity` on the device: its own errors of each step, carried on by a free run here.

    Attributes:
        stream: a stream's name, "first" (z_H for TRM and HRM), or "all": each probe's lowest stream.
        at: "last", "worst" (each probe's lowest step), or a step, from 1.
        tokens: "mean" over tokens, or "worst": each probe's lowest token.
        max_doubt: how far the mean may move when the same errors are turned to the opposite direction; above it, how
            errors grow cannot be told, and nothing is predicted.
    """

    stream: str = "first"
    at: When = "last"
    tokens: Tokens = "mean"
    max_doubt: float = 0.02

    unit: ClassVar[str] = ""
    limits: ClassVar[tuple[float | None, float | None]] = (-1.0, 1.0)
    predicts: ClassVar[bool] = True  # the mean over probes; what one probe does is not foretold
    watches: ClassVar[tuple[Ran, ...]] = (Ran.CARRIED, Ran.TURNED, Ran.FREE, Ran.DEVICE, Ran.HERE)

    def __post_init__(self) -> None:
        """Refuse options with which there would be nothing."""
        OnDevice.__post_init__(self)
        self._local()
        if not 0 < self.max_doubt <= 1:
            raise PolicyError(f"{self.max_doubt:g} is no distance of cosines", field="max_doubt", hint="0.02")

    @property
    def steps_wanted(self) -> StepsWanted:
        """Return what the device has to compute: every step, or there is nothing to carry on."""
        return StepsWanted(self.device, probes=self.probes)

    def accumulator(self, depth: Depth) -> Accumulator:
        """Return a fresh accumulator: that of `carry_fidelity`."""
        return self._local().accumulator(depth)

    def measured(self, found: Mapping[Ran, Measured], told: DeviceSteps, candidate: ModelRecord) -> Measured:
        """Return the prediction, and the curve of the free run here beside it.

        Raises:
            NotMeasured: the models have different depths, or the outcome hangs on the direction of the errors.
        """
        if Ran.CARRIED not in found:
            raise NotMeasured("the models have different depths, so there is no step of the reference for every step")
        carried, free = found[Ran.CARRIED], found[Ran.FREE]
        foretold, turned = mean(carried.values), mean(found[Ran.TURNED].values)
        doubt = abs(foretold - turned)
        if not doubt <= self.max_doubt:
            what = (
                f"how errors grow cannot be told: as large ones in the opposite direction move the mean by {doubt:.2g}"
            )
            raise NotMeasured(f"{what}, allowed is {self.max_doubt:g}", hint="mode: free, with few steps")
        told_of = (
            f"a prediction, {carried.detail}, {doubt:.1g} apart where the same errors are turned",
            f"free run here {format_value(mean(free.values), self.unit)}",
            _growth(found),
            extent(told),
        )
        detail = "; ".join(one for one in told_of if one)
        return replace(carried, detail=detail, curve_here=free.curve, ran_on=ran_on(told, candidate))

    def _local(self) -> CarryFidelity:
        return CarryFidelity(self.stream, self.at, self.tokens)


def _growth(found: Mapping[Ran, Measured]) -> str:
    """Return how much larger errors are in the free run here than in its forced steps, where there are any."""
    free, forced = (1 - mean(found[ran].values) for ran in (Ran.FREE, Ran.HERE))
    if forced < _ROUNDING:
        return ""
    return f"errors grow here by {free / forced:.2g} from a step to the whole run"
