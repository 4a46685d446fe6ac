"""npu_share: how much of a model ran on the device's NPU, and not on a unit that it fell back to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from fidelity_gate.errors import NotMeasured
from fidelity_gate.metrics._devices import beside, label, run_on, shares_of, spread_over
from fidelity_gate.records import Direction, Evidence, Measured
from fidelity_gate.units import format_value

if TYPE_CHECKING:
    from fidelity_gate.records import DeviceRun, ModelRecord, UnitShare

_UNIT = "npu"


@dataclass(frozen=True, slots=True)
class NpuShare:
    """Share of a model's layers, or of their time, that ran on the NPU, as the device's profile says.

    Attributes:
        device: a name of the policy's `devices:`.
        of: "layers": by their number; "time": by how long they took, where the profile times every layer.
    """

    device: str = ""
    of: Literal["layers", "time"] = "layers"

    unit: ClassVar[str] = "fraction"
    direction: ClassVar[Direction] = Direction.HIGHER
    evidence: ClassVar[Evidence] = Evidence.DEVICE
    per_probe: ClassVar[bool] = False
    floored: ClassVar[bool] = False
    limits: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)
    part: ClassVar[None] = None
    memory: ClassVar[bool] = False
    needs: ClassVar[str] = "profile"
    fewest_runs: ClassVar[int] = 1

    def measure(self, reference: ModelRecord, candidate: ModelRecord) -> Measured:
        """Return the share; raises NotMeasured where the profile does not say."""
        run = run_on(candidate, self.device)
        found = self._share(run)
        told = (
            spread_over(shares_of(run)),
            _times(shares_of(run)),
            beside(reference, self.device, self.unit, self._share),
        )
        return Measured((found,), detail="; ".join(part for part in told if part), ran_on=label(run, candidate))

    def _share(self, run: DeviceRun) -> float:
        shares = shares_of(run)
        if self.of == "layers":
            return sum(one.layers for one in shares if one.unit == _UNIT) / sum(one.layers for one in shares)
        seconds = [(one.unit, one.seconds) for one in shares]
        total = math.fsum(time for _, time in seconds if time is not None)
        if any(time is None for _, time in seconds) or not total > 0:
            raise NotMeasured(f"the profile of {run.device} does not time every layer", hint="of: layers")
        return math.fsum(time for unit, time in seconds if unit == _UNIT and time is not None) / total


def _times(shares: tuple[UnitShare, ...]) -> str:
    """Return `npu 2.1 ms, cpu 0.4 ms`, where all of it is known."""
    shown = [(one.unit, one.seconds) for one in shares if one.seconds is not None]
    return ", ".join(f"{unit} {format_value(time, 'seconds')}" for unit, time in shown) if shown else ""
