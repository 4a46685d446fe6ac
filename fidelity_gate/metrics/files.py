"""sram_peak, model_size and compressed_share: what the candidate's file says by its bytes; nothing runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from fidelity_gate.errors import NotMeasured
from fidelity_gate.records import Direction, Evidence, Measured, Role
from fidelity_gate.text import printable

if TYPE_CHECKING:
    from fidelity_gate.records import ModelRecord

COMPRESSED_BELOW_BITS = 16
_OF_ARENA = {"arena": "arena_bytes", "arena_apart": "separate_bytes"}  # scenario -> field of an Arena


@dataclass(frozen=True, slots=True)
class SramPeak:
    """Peak SRAM of one ACT step in bytes, from what the candidate's file really stores.

    Attributes:
        scenario: "streaming": one layer at a time comes from flash; "full_load": the whole block is resident;
            "host_compressed": as streaming, and the carries rest in INT8 between steps;
            "arena": the activations and carries of one run of a step graph, planned, its weights in flash;
            "arena_apart": the same where no value shares a buffer, as TFLite Micro plans by itself.
    """

    scenario: Literal["streaming", "full_load", "host_compressed", "arena", "arena_apart"] = "streaming"

    unit: ClassVar[str] = "bytes"
    direction: ClassVar[Direction] = Direction.LOWER
    evidence: ClassVar[Evidence] = Evidence.FILE
    per_probe: ClassVar[bool] = False
    floored: ClassVar[bool] = False
    limits: ClassVar[tuple[float | None, float | None]] = (0.0, None)

    def measure(self, reference: ModelRecord, candidate: ModelRecord) -> Measured:
        """Return the bytes; raises NotMeasured when the architecture, or the size of an activation, is not known."""
        if self.scenario in _OF_ARENA:
            return self._arena(reference, candidate)
        if candidate.footprint is None:
            raise NotMeasured("the model's geometry is not known, so its peak memory cannot be computed")
        ours = "" if reference.footprint is None else f", reference {self._bytes(reference):,} bytes"
        width = candidate.footprint.bytes_per_value
        return Measured((float(self._bytes(candidate)),), detail=f"{self.scenario}, {width:g} bytes a value{ours}")

    def _bytes(self, record: ModelRecord) -> int:
        return int(getattr(record.footprint, self.scenario))

    def _arena(self, reference: ModelRecord, candidate: ModelRecord) -> Measured:
        arena = candidate.arena
        if arena is None:
            raise NotMeasured(candidate.arena_gap or "it is no step graph, so it has no arena")
        sizes = "".join(f", {printable(name)} = {size}" for name, size in arena.dimensions)
        peak = f" at {printable(arena.peak_node)}" if arena.peak_node else ""
        told = f"{self.scenario} of one run{sizes}; {arena.lower_bound:,} bytes alive{peak}"
        ours = getattr(reference.arena, _OF_ARENA[self.scenario], None)
        beside = "" if ours is None else f"; reference {ours:,} bytes"
        return Measured((float(getattr(arena, _OF_ARENA[self.scenario])),), detail=told + beside)


@dataclass(frozen=True, slots=True)
class ModelSize:
    """Bytes of the candidate on disk, side files included."""

    unit: ClassVar[str] = "bytes"
    direction: ClassVar[Direction] = Direction.LOWER
    evidence: ClassVar[Evidence] = Evidence.FILE
    per_probe: ClassVar[bool] = False
    floored: ClassVar[bool] = False
    limits: ClassVar[tuple[float | None, float | None]] = (0.0, None)

    def measure(self, reference: ModelRecord, candidate: ModelRecord) -> Measured:
        """Return the bytes; raises NotMeasured when nothing was weighed."""
        if candidate.facts.size_bytes <= 0:
            raise NotMeasured("the model is not a file that can be weighed")
        ours = reference.facts.size_bytes
        told = f"{candidate.facts.size_bytes / ours:.1%} of the reference's {ours:,} bytes" if ours > 0 else ""
        return Measured((float(candidate.facts.size_bytes),), detail=told)


@dataclass(frozen=True, slots=True)
class CompressedShare:
    """Share of the block's weight values that the file really stores below 16 bit."""

    unit: ClassVar[str] = "fraction"
    direction: ClassVar[Direction] = Direction.HIGHER
    evidence: ClassVar[Evidence] = Evidence.FILE
    per_probe: ClassVar[bool] = False
    floored: ClassVar[bool] = False
    limits: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)

    def measure(self, reference: ModelRecord, candidate: ModelRecord) -> Measured:
        """Return the share; raises NotMeasured when no tensor is known to belong to the block."""
        block = [tensor for tensor in candidate.facts.tensors if tensor.role is Role.BLOCK]
        total = sum(tensor.values for tensor in block)
        if not total:
            raise NotMeasured("no tensor of the file is known to belong to the recursive block")
        small = sum(tensor.values for tensor in block if tensor.bits < COMPRESSED_BELOW_BITS)
        return Measured((small / total,), detail=f"{small:,} of {total:,} values of the block, stored in the file")
