"""stored_bits: how many bits the file really takes for a weight of the recursive block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.errors import NotMeasured
from fidelity_gate.records import Direction, Evidence, Measured, Role

if TYPE_CHECKING:
    from fidelity_gate.records import ModelRecord


@dataclass(frozen=True, slots=True)
class StoredBits:
    """Bits that the candidate's file takes for one weight of the block.

    Attributes:
        scales: count the scales and zero points as well.
    """

    scales: bool = True

    unit: ClassVar[str] = ""
    direction: ClassVar[Direction] = Direction.LOWER
    evidence: ClassVar[Evidence] = Evidence.FILE
    per_probe: ClassVar[bool] = False
    floored: ClassVar[bool] = False
    limits: ClassVar[tuple[float | None, float | None]] = (0.0, None)

    def measure(self, reference: ModelRecord, candidate: ModelRecord) -> Measured:
        """Return the bits; raises NotMeasured where no tensor is known to belong to the block."""
        block = [tensor for tensor in candidate.facts.tensors if tensor.role is Role.BLOCK]
        values = sum(tensor.values for tensor in block)
        if not values:
            raise NotMeasured("no tensor of the file is known to belong to the recursive block")
        taken = sum(tensor.payload_bytes + (tensor.overhead_bytes if self.scales else 0) for tensor in block)
        return Measured((8 * taken / values,), detail=f"{values:,} weights")
