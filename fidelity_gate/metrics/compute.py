"""compute and energy: what the candidate costs to run, from its architecture or graph; nothing runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from fidelity_gate.energy import DEFAULT_MODEL, ESTIMATED, energy_model, joules
from fidelity_gate.errors import NotMeasured
from fidelity_gate.records import Direction, Evidence, Measured
from fidelity_gate.units import format_value

if TYPE_CHECKING:
    from fidelity_gate.records import ModelRecord

_PART = {"block_call": "one block call", "puzzle": "one puzzle", "step": "one ACT step"}


@dataclass(frozen=True, slots=True)
class ComputeCost:
    """Floating-point operations of the candidate at its depth; a multiply-add counts as 2.

    Attributes:
        per: "puzzle": the whole recursion; "step": one ACT step; "block_call": one call of the recursive block.
    """

    per: Literal["block_call", "puzzle", "step"] = "puzzle"

    unit: ClassVar[str] = "flop"
    direction: ClassVar[Direction] = Direction.LOWER
    evidence: ClassVar[Evidence] = Evidence.FILE
    per_probe: ClassVar[bool] = False
    floored: ClassVar[bool] = False
    limits: ClassVar[tuple[float | None, float | None]] = (0.0, None)

    def measure(self, reference: ModelRecord, candidate: ModelRecord) -> Measured:
        """Return the FLOPs; raises NotMeasured where not all of them are known."""
        flops = _flops(candidate, self.per)
        return Measured((flops,), detail=f"{_told(candidate, self.per)}{_beside(reference, self.per, flops)}")


@dataclass(frozen=True, slots=True)
class Energy:
    """An estimate of the energy that the candidate's compute takes, under a named cost model.

    Attributes:
        per: "puzzle": the whole recursion; "step": one ACT step; "block_call": one call of the recursive block.
        model: a name of the shipped table ("cortex-m55"), or of the policy's own `energy_models`.
        mj_per_gflop: millijoules per GFLOP, for a model that the table does not have.
    """

    per: Literal["block_call", "puzzle", "step"] = "puzzle"
    model: str = DEFAULT_MODEL
    mj_per_gflop: float | None = None

    unit: ClassVar[str] = "joules"
    direction: ClassVar[Direction] = Direction.LOWER
    evidence: ClassVar[Evidence] = Evidence.FILE
    per_probe: ClassVar[bool] = False
    floored: ClassVar[bool] = False
    limits: ClassVar[tuple[float | None, float | None]] = (0.0, None)

    def __post_init__(self) -> None:
        """Refuse a model that nobody knows, and a figure that cannot be."""
        energy_model(self.model, self.mj_per_gflop)

    def measure(self, reference: ModelRecord, candidate: ModelRecord) -> Measured:
        """Return the joules; raises NotMeasured where not all of the compute is known."""
        model = energy_model(self.model, self.mj_per_gflop)
        flops = _flops(candidate, self.per)
        cost = f"{format_value(flops, 'flop')} at {model.mj_per_gflop:g} mJ per GFLOP ({model.name})"
        told = f"{ESTIMATED} {cost}, {_told(candidate, self.per)}{_beside(reference, self.per, flops)}"
        return Measured((joules(flops, model),), detail=told)


def _flops(record: ModelRecord, per: str) -> float:
    """Return the FLOPs of one part of the recursion.

    Raises:
        NotMeasured: nothing is known, or operators of unknown cost are left out, so that the figure would be too low.
    """
    compute = record.compute
    if compute is None:
        raise NotMeasured(record.compute_gap or "what the model computes is not known")
    if compute.not_counted:
        raise NotMeasured(f"the cost of some operators is not known: {'; '.join(compute.not_counted)}")
    flops = {"block_call": compute.block_call, "puzzle": compute.puzzle, "step": compute.step}[per]
    if flops is None:
        raise NotMeasured("what one call of the recursive block computes is not known")
    return flops


def _told(record: ModelRecord, per: str) -> str:
    compute = record.compute
    depth = f" at {record.depth}" if per == "puzzle" else ""
    return f"{_PART[per]}{depth}, counted by {compute.counted_by if compute else 'nobody'}"


def _beside(reference: ModelRecord, per: str, flops: float) -> str:
    """Return how that compares to the reference, where that is known too."""
    try:
        ours = _flops(reference, per)
    except NotMeasured:
        return ""
    return f"; {flops / ours:.1%} of the reference's {format_value(ours, 'flop')}" if ours else ""
