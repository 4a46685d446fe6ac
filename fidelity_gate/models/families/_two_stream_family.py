"""What TRM and HRM have in common as families: everything that follows from their blueprint. No torch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from fidelity_gate.models.families import _layout as layout

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fidelity_gate.models.families._blueprint import Blueprint
    from fidelity_gate.protocols import Recursion
    from fidelity_gate.records import Depth, Geometry, Options, Role, RunSpec, Tensor


class TwoStreamFamily(ABC):
    """A recursion over z_H and z_L; the dataclass that inherits it has the fields."""

    __slots__ = ()

    if TYPE_CHECKING:  # fields of the dataclass, named here for the type checker alone
        vocab_size: int
        num_puzzle_identifiers: int
        expansion: float

    @abstractmethod
    def blueprint(self) -> Blueprint:
        """Return what the recursion and the layout need."""

    def tensors(self) -> Mapping[str, tuple[tuple[int, ...], Role]]:
        """Return every tensor: official key -> (shape, role)."""
        return layout.model_tensors(self.blueprint(), self.vocab_size, self.num_puzzle_identifiers, self.expansion)

    def geometry(self) -> Geometry | None:
        """Return what the footprint formulas need; None where the number of tokens is not known."""
        return layout.geometry_of(self.blueprint(), self.expansion)

    def declared_depth(self) -> Depth | None:
        """Return the declared depth, where all of it is."""
        return layout.depth_of(self)  # type: ignore[arg-type]  # one of the two families, always

    def architecture(self) -> Options:
        """Return the fields, sorted."""
        return layout.options_of(self)  # type: ignore[arg-type]  # a dataclass, always

    def build(self, weights: Mapping[str, Tensor], run: RunSpec) -> Recursion:
        """Return the model on the CPU with exactly these weights."""
        from fidelity_gate.models.families._two_stream import build

        return build(self.blueprint(), weights, run)
