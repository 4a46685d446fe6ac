"""device_peak_memory: the most memory at inference that a device service tells of; which figure has to be named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from fidelity_gate.errors import NotMeasured
from fidelity_gate.metrics._devices import beside, fallback, label, profile_of, refuse_elsewhere, run_on
from fidelity_gate.records import Direction, Evidence, Measured
from fidelity_gate.units import format_value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fidelity_gate.records import DeviceRun, ModelRecord


@dataclass(frozen=True, slots=True)
class DevicePeakMemory:
    """Peak memory at inference on a device, as the device's service measures it.

    Attributes:
        device: a name of the policy's `devices:`.
        of: "inference": what inference itself reached, the highest of the runs; "process": all of the process. The two
            differ several times, so there is no default.
    """

    device: str = ""
    of: Literal["", "inference", "process"] = ""

    unit: ClassVar[str] = "bytes"
    direction: ClassVar[Direction] = Direction.LOWER
    evidence: ClassVar[Evidence] = Evidence.DEVICE
    per_probe: ClassVar[bool] = False
    floored: ClassVar[bool] = False
    limits: ClassVar[tuple[float | None, float | None]] = (0.0, None)
    part: ClassVar[None] = None
    memory: ClassVar[bool] = False
    needs: ClassVar[str] = "profile"
    fewest_runs: ClassVar[int] = 1
    stated: ClassVar[Mapping[str, str]] = {"of": "inference, or process: the two figures differ several times"}

    def measure(self, reference: ModelRecord, candidate: ModelRecord) -> Measured:
        """Return the bytes; raises NotMeasured where the profile does not say."""
        run = run_on(candidate, self.device)
        refuse_elsewhere(run)
        found = self._bytes(run)
        told = (
            _both(run),
            fallback(run),
            beside(reference, self.device, self.unit, self._bytes),
        )
        return Measured((found,), detail="; ".join(part for part in told if part), ran_on=label(run, candidate))

    def _bytes(self, run: DeviceRun) -> float:
        profile = profile_of(run)
        if not self.of:
            raise NotMeasured("does not say which of the two figures is meant", hint="of: inference, or of: process")
        span = profile.inference_peak_bytes
        found = profile.process_peak_bytes if self.of == "process" else span and span[1]
        if not found:
            raise NotMeasured(f"the profile of {run.device} holds no peak memory of the {self.of}")
        return float(found)


def _both(run: DeviceRun) -> str:
    profile = profile_of(run)
    low, high = profile.inference_peak_bytes or (0, 0)
    shown = [f"process {format_value(profile.process_peak_bytes, 'bytes')}"] if profile.process_peak_bytes else []
    shown += [f"inference {format_value(low, 'bytes')} to {format_value(high, 'bytes')}"] if high else []
    return ", ".join(shown)
