"""first_load_time, warm_load_time, compiled_size: what a device's service says of a model before it runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.errors import NotMeasured
from fidelity_gate.metrics._devices import beside, fallback, label, profile_of, refuse_elsewhere, run_on
from fidelity_gate.records import Direction, Evidence, Measured
from fidelity_gate.units import format_value

if TYPE_CHECKING:
    from fidelity_gate.records import DeviceRun, ModelRecord


@dataclass(frozen=True, slots=True)
class _Figure:
    """One figure of a device's profile.

    Attributes:
        device: a name of the policy's `devices:`.
    """

    device: str = ""

    unit: ClassVar[str] = "seconds"
    direction: ClassVar[Direction] = Direction.LOWER
    evidence: ClassVar[Evidence] = Evidence.DEVICE
    per_probe: ClassVar[bool] = False
    floored: ClassVar[bool] = False
    limits: ClassVar[tuple[float | None, float | None]] = (0.0, None)
    part: ClassVar[None] = None
    memory: ClassVar[bool] = False
    needs: ClassVar[str] = "profile"
    fewest_runs: ClassVar[int] = 1
    field: ClassVar[str] = ""  # of the profile
    named: ClassVar[str] = ""  # for people
    anywhere: ClassVar[bool] = False  # whether it is the same whatever compute unit the model ran on

    def measure(self, reference: ModelRecord, candidate: ModelRecord) -> Measured:
        """Return the figure; raises NotMeasured where the profile does not say."""
        run = run_on(candidate, self.device)
        found = self._figure(run)
        told = (
            f"{self.named} {format_value(found, self.unit)}",
            "" if self.anywhere else fallback(run),
            beside(reference, self.device, self.unit, self._figure),
        )
        return Measured((found,), detail="; ".join(part for part in told if part), ran_on=label(run, candidate))

    def _figure(self, run: DeviceRun) -> float:
        if not self.anywhere:
            refuse_elsewhere(run)
        found = getattr(profile_of(run), self.field)
        if not found:
            raise NotMeasured(f"the profile of {run.device} holds no {self.named}")
        return float(found)


@dataclass(frozen=True, slots=True)
class FirstLoadTime(_Figure):
    """Time in which a device loads a model for the first time, when nothing of it is cached."""

    field: ClassVar[str] = "first_load_seconds"
    named: ClassVar[str] = "first load"


@dataclass(frozen=True, slots=True)
class WarmLoadTime(_Figure):
    """Time in which a device loads a model again."""

    field: ClassVar[str] = "warm_load_seconds"
    named: ClassVar[str] = "warm load"


@dataclass(frozen=True, slots=True)
class CompiledSize(_Figure):
    """Bytes of the model as it was compiled for a device: what the phone has to store."""

    unit: ClassVar[str] = "bytes"
    compiled: ClassVar[bool] = True
    anywhere: ClassVar[bool] = True
    field: ClassVar[str] = "compiled_bytes"
    named: ClassVar[str] = "compiled model"
