"""What lint rules look at: an opened model with everything that is claimed of it (the `Subject` protocol)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from fidelity_gate.analysis.grids import grid_of
from fidelity_gate.graphs.uses import weight_uses

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fidelity_gate.graphs.uses import WeightUse
    from fidelity_gate.protocols import OpenedModel, Subject, Weights
    from fidelity_gate.records import Depth, Grid, ModelFacts, StepGraph, Target


@dataclass(frozen=True, eq=False)
class OpenedSubject:
    """An opened model, as lint rules see it."""

    name: str
    facts: ModelFacts
    depth: Depth | None
    claims: tuple[str, ...]
    weights: Weights | None
    graph: StepGraph | None
    targets: tuple[Target, ...]
    reference: Subject | None
    _grids: dict[str, Grid | None] = field(default_factory=dict, init=False, repr=False)

    def grid(self, name: str) -> Grid | None:
        """Return what a tensor's integers and scales come to, counted when first asked; None for floats."""
        if name not in self._grids:
            weight = None if self.weights is None else self.weights.quantized(name)
            self._grids[name] = grid_of(weight, axis=self._out_axis(name)) if weight and weight.integers.size else None
        return self._grids[name]

    def _out_axis(self, name: str) -> int:
        """Return the axis that counts a weight's output channels: 0 but in graphs, where the product says which."""
        if self.graph is None:
            return 0
        use = self._uses.get(name)
        return (use.out_axis or 0) if use else 0

    @cached_property
    def _uses(self) -> Mapping[str, WeightUse]:
        return weight_uses(self.graph) if self.graph else {}


def subject_of(  # noqa: PLR0913  (each is one thing that only some callers know)
    name: str,
    opened: OpenedModel,
    *,
    depth: Depth | None = None,
    claims: tuple[str, ...] = (),
    targets: tuple[Target, ...] = (),
    reference: Subject | None = None,
) -> OpenedSubject:
    """Return the subject that an opened model is.

    Args:
        name: the candidate's id, or the file's name.
        opened: the model.
        depth: as the policy or the command line says; else what the file declares.
        claims: what says that it is compressed, beside the recipe that the file itself names.
        targets: the device classes it is meant for.
        reference: what it is held against.
    """
    facts = opened.facts
    return OpenedSubject(
        name=name,
        facts=facts,
        depth=depth or facts.depth,
        claims=(*((facts.recipe,) if facts.recipe else ()), *claims),
        weights=opened.stored_weights(),
        graph=opened.step_graph(),
        targets=targets,
        reference=reference,
    )
