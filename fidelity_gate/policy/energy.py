"""The policy's `energy_models:` block -> records.EnergyModel, and their figures for the checks that name them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fidelity_gate.records import EnergyModel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fidelity_gate.policy.problems import Path, Problems
    from fidelity_gate.policy.schema import EnergyModelBlock

METRIC, NAME, FIGURE = "energy", "model", "mj_per_gflop"


def energy_models(blocks: Mapping[str, EnergyModelBlock] | None) -> tuple[EnergyModel, ...]:
    """Return the policy's own energy models, sorted by name."""
    return tuple(
        EnergyModel(name, block.mj_per_gflop, block.source or "") for name, block in sorted((blocks or {}).items())
    )


def with_figure(
    metric: str, options: Mapping[str, object], models: tuple[EnergyModel, ...], path: Path, problems: Problems
) -> Mapping[str, object]:
    """Return the options of a check, with the figure of the policy's own energy model where they name one.

    Args:
        metric: of the check.
        options: as the policy writes them.
        models: the policy's own.
        path: of the options.
        problems: a figure beside the name of a model goes here: one of the two would be ignored.
    """
    named = next((model for model in models if metric == METRIC and model.name == options.get(NAME)), None)
    if named is None:
        return options
    if FIGURE in options:
        what = f"is given beside the model '{named.name}', which has a figure of its own"
        problems.add((*path, FIGURE), what, "name the model, or give the figure", key=True)
    return {**options, FIGURE: named.mj_per_gflop}
