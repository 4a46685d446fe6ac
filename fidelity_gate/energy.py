"""What compute costs in energy: named models in one table, every one an estimate and never a measurement."""

from __future__ import annotations

import math

from fidelity_gate.errors import UsageError
from fidelity_gate.records import EnergyModel
from fidelity_gate.registry import unknown

METRIC = "energy"
ESTIMATED = "estimated from"  # how the detail of every figure from here begins; reports never leave it out
DEFAULT_MODEL = "cortex-m55"
MODELS = (
    EnergyModel(
        DEFAULT_MODEL,
        mj_per_gflop=1.0,
        source="What Survives When You Compress a Recursive Reasoner for the Edge?, arXiv 2606.26488, appendix H",
    ),
)
_GFLOP = 1e9
_MILLIJOULE = 1e-3


def energy_model(name: str, mj_per_gflop: float | None = None) -> EnergyModel:
    """Return the model of this name: the caller's own figure, where there is one, else that of the table.

    Raises:
        UsageError: no such model, or a figure that cannot be.
    """
    if mj_per_gflop is not None:
        if not (math.isfinite(mj_per_gflop) and mj_per_gflop > 0):
            raise UsageError(f"is {mj_per_gflop}, and must be above 0", field="mj_per_gflop")
        return EnergyModel(name, mj_per_gflop)
    table = {model.name: model for model in MODELS}
    if name not in table:
        raise unknown(name, table, what="no energy model is named", field="model", kind=UsageError)
    return table[name]


def joules(flops: float, model: EnergyModel) -> float:
    """Return the estimate for so many floating-point operations, in joules."""
    return flops / _GFLOP * model.mj_per_gflop * _MILLIJOULE
