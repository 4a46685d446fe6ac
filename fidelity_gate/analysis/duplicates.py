"""Constants that a graph holds more than once."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fidelity_gate.records import GraphConstant, StepGraph


@dataclass(frozen=True, slots=True)
class Duplicate:
    """One tensor that is stored under several names, byte for byte the same."""

    names: tuple[str, ...]  # sorted
    size_bytes: int  # of one copy

    @property
    def wasted_bytes(self) -> int:
        """Return what all copies but one take."""
        return self.size_bytes * (len(self.names) - 1)


def duplicates(graph: StepGraph) -> tuple[Duplicate, ...]:
    """Return every constant that a graph holds more than once, the most wasteful first; external data is not compared.

    Exporters bake tables into a graph once for every use: the same rotary embedding 56 times in a TRM of 7 block calls.
    """
    groups: dict[str, list[GraphConstant]] = defaultdict(list)
    for constant in graph.constants.values():
        if constant.digest:
            groups[constant.digest].append(constant)
    found = [
        Duplicate(tuple(sorted(one.name for one in group)), group[0].stored_bytes)
        for group in groups.values()
        if len(group) > 1
    ]
    return tuple(sorted(found, key=lambda one: (-one.wasted_bytes, one.names)))
