"""The policy's `energy_models:` block -> records.EnergyModel, and their figures for the checks that name them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fidelity_gate.energy import MODELS
from fidelity_gate.policy.problems import near_or_known
from fidelity_gate.records import EnergyModel

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fidelity_gate.policy.problems import Path, Problems
    from fidelity_gate.policy.schema_checks import EnergyModelBlock

METRIC, NAME, FIGURE = "energy", "model", "mj_per_gflop"
KEY = "energy_models"
_SHIPPED = {model.name: model for model in MODELS}


def energy_models(blocks: Mapping[str, EnergyModelBlock] | None, problems: Problems) -> tuple[EnergyModel, ...]:
    """Return the policy's own energy models, sorted by name; one that would stand for a shipped one is a problem."""
    for name in blocks or {}:
        if name in _SHIPPED:
            problems.add((KEY, name), f"'{name}' ships with the gate and cannot be changed", "rename it", key=True)
    return tuple(
        EnergyModel(name, block.mj_per_gflop, block.source or "") for name, block in sorted((blocks or {}).items())
    )


def with_figure(
    metric: str, options: Mapping[str, object], models: tuple[EnergyModel, ...], path: Path, problems: Problems
) -> Mapping[str, object] | None:
    """Return the options of a check, with the figure of the policy's own energy model where they name one.

    Args:
        metric: of the check.
        options: as the policy writes them.
        models: the policy's own.
        path: of the options.
        problems: a name that nobody knows goes here, and a figure that is nobody's or beside another's name.

    Returns:
        None where something is wrong with them.
    """
    name = options.get(NAME)
    named = next((model for model in models if model.name == name), None)
    if metric != METRIC or (NAME not in options and FIGURE not in options):
        return options
    if FIGURE in options:
        return _own_figure(options, known=named is not None, path=path, problems=problems)
    if named is not None:
        return {**options, FIGURE: named.mj_per_gflop}
    if isinstance(name, str) and name not in _SHIPPED:
        hint = near_or_known(name, sorted([*_SHIPPED, *(model.name for model in models)]))
        problems.add((*path, NAME), f"no energy model is named '{name}'", hint)
        return None
    return options


def _own_figure(
    options: Mapping[str, object], *, known: bool, path: Path, problems: Problems
) -> Mapping[str, object] | None:
    """Return the options of a check that gives a figure itself, which must have a name that means no other figure."""
    if NAME in options and not known and options[NAME] not in _SHIPPED:
        return options
    what = "is given without the name of a model"
    if NAME in options:
        what = f"is given beside the model '{options[NAME]}', which has a figure of its own"
    hint = "name the figure: {model: my-board, mj_per_gflop: 0.4}, or define it under energy_models"
    problems.add((*path, FIGURE), what, hint, key=True)
    return None
