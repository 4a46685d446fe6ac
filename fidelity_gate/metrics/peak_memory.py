"""peak_memory: the most resident memory of a process that opens the candidate and runs one probe on a device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from fidelity_gate.errors import NotMeasured
from fidelity_gate.metrics._devices import label, not_beside, run_on
from fidelity_gate.records import Direction, Evidence, Measured
from fidelity_gate.units import format_value

if TYPE_CHECKING:
    from fidelity_gate.records import DeviceRun, Memory, ModelRecord


@dataclass(frozen=True, slots=True)
class PeakMemory:
    """Peak resident memory of a process that opens the candidate and runs one probe, once, at its depth.

    Attributes:
        device: a name of the policy's `devices:`.
        of: "process": all of it; "model": what comes on top of the interpreter and every library it imports.
    """

    device: str = ""
    of: Literal["model", "process"] = "process"

    unit: ClassVar[str] = "bytes"
    direction: ClassVar[Direction] = Direction.LOWER
    evidence: ClassVar[Evidence] = Evidence.DEVICE
    per_probe: ClassVar[bool] = False
    floored: ClassVar[bool] = False
    limits: ClassVar[tuple[float | None, float | None]] = (0.0, None)
    part: ClassVar[None] = None
    memory: ClassVar[bool] = True
    needs: ClassVar[str] = "memory"
    fewest_runs: ClassVar[int] = 1

    def measure(self, reference: ModelRecord, candidate: ModelRecord) -> Measured:
        """Return the bytes; raises NotMeasured where the device could not say."""
        run = run_on(candidate, self.device)
        found = _memory_of(run)
        shares = (("imports", found.imports_bytes), ("model", found.peak_bytes - found.imports_bytes))
        told = " + ".join(f"{name} {format_value(share, self.unit)}" for name, share in shares)
        detail = f"process {format_value(found.peak_bytes, self.unit)} = {told}"
        return Measured(
            (float(self._bytes(found)),), detail=f"{detail}; {self._beside(reference)}", ran_on=label(run, candidate)
        )

    def _bytes(self, memory: Memory) -> int:
        return memory.peak_bytes - (memory.imports_bytes if self.of == "model" else 0)

    def _beside(self, reference: ModelRecord) -> str:
        """Return what the reference takes on the same device, or why that is not known."""
        try:
            ours = self._bytes(_memory_of(run_on(reference, self.device)))
        except NotMeasured as error:
            return not_beside(error)
        return f"reference {self.of} {format_value(ours, self.unit)}"


def _memory_of(run: DeviceRun) -> Memory:
    """Return the memory; raises NotMeasured where there is none, or a figure that cannot be."""
    found = run.memory
    if found is None:
        raise NotMeasured(run.memory_gap or f"{run.device} ({run.plug}) does not measure memory")
    if not 0 <= found.imports_bytes <= found.peak_bytes or not found.peak_bytes:
        raise NotMeasured(f"{run.device} ({run.plug}) gave figures that cannot be: {found}")
    return found
