"""What the footprint formulas need of a step graph, where an export's names tell its layers."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from fidelity_gate.records import Geometry, Role

if TYPE_CHECKING:
    from fidelity_gate.records import StepGraph, TensorFact

_LAYER = re.compile(r"[HL]_level\.layers\.[0-9]+(?=\.)")
_AXES = 3  # of a state: probes, tokens, width


def geometry_of(graph: StepGraph, tensors: tuple[TensorFact, ...]) -> Geometry | None:
    """Return tokens, width and layers of an exported graph; quantizers keep the names that tell them.

    None where a matrix of the block belongs to no layer, layers differ in size, or the states' sizes are not numbers.
    """
    values: Counter[str] = Counter()
    for tensor in tensors:
        if tensor.role is Role.BLOCK:
            layer = _LAYER.match(tensor.name)
            values[layer.group() if layer else ""] += tensor.values
    states = {pair.input for pair in graph.states}
    shapes = [value.shape or () for value in graph.inputs if value.name in states]
    sizes = {shape[1:] for shape in shapes if len(shape) == _AXES}
    if "" in values or len(set(values.values())) != 1 or len(sizes) != 1:
        return None
    tokens, width = sizes.pop()
    if not (isinstance(tokens, int) and isinstance(width, int)):
        return None
    return Geometry(tokens, width, len(values), next(iter(values.values())), len(states))
