"""Which tensors the rules on weights look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fidelity_gate.analysis.rules._common import NARROW_BITS
from fidelity_gate.records import Granularity, Role

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject
    from fidelity_gate.records import Grid, TensorFact

EVERY_ROLE = tuple(Role)


def matrices(subject: Subject, *roles: Role) -> list[TensorFact]:
    """Return the tensors of these roles that have rows and columns, none of them empty, in the file's order."""
    return [
        tensor for tensor in subject.facts.tensors if tensor.role in roles and len(tensor.shape) > 1 and tensor.values
    ]


def grids(subject: Subject, *roles: Role) -> Iterator[tuple[TensorFact, Grid]]:
    """Yield the quantized tensors of these roles with what their integers and scales come to.

    Those whose bytes lie in another file are left to FG211, which says that nobody looked at them.
    """
    for tensor in subject.facts.tensors:
        if (
            tensor.role in roles
            and tensor.granularity is not Granularity.NONE
            and not is_elsewhere(subject, tensor.name)
        ):
            grid = subject.grid(tensor.name)
            if grid is not None:
                yield tensor, grid


def is_elsewhere(subject: Subject, name: str) -> bool:
    """Return whether the bytes of a constant lie in another file, which lint does not read."""
    constant = subject.graph.constants.get(name) if subject.graph else None
    return constant is not None and constant.external is not None


def is_readable(subject: Subject, tensor: TensorFact) -> bool:
    """Return whether the file tells a tensor's values: they lie in it, and so do the scales of integers."""
    has_scales = tensor.bits >= NARROW_BITS or tensor.granularity is not Granularity.NONE
    return has_scales and not is_elsewhere(subject, tensor.name)
