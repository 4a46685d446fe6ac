"""The shape of every value of a step graph for one probe: worked out from its operators, else as the graph says.

What is worked out counts before what is declared, because a declared shape of an inner value is a claim that no runtime
has to hold. A leading dimension that all inputs leave open under one name is the batch, and is taken as 1.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fidelity_gate.analysis.operator_names import ALIKE, SEVERAL
from fidelity_gate.analysis.operator_products import (
    MICROSOFT,
    PRODUCTS,
    Call,
    Shape,
    broadcast,
    factors,
    key_of,
    product_shape,
)
from fidelity_gate.errors import NotMeasured

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fidelity_gate.records import Dimension, GraphNode, StepGraph

# Quantized operators whose output is what these of their inputs broadcast to; the others are scales and zero points.
_QUANTIZED_PAIRS: Mapping[str, tuple[int, int]] = {
    f"{MICROSOFT}.QLinearAdd": (0, 3),
    f"{MICROSOFT}.QLinearMul": (0, 3),
}
# Operators that keep every value and may only say anew how they are arranged.
_REARRANGED = frozenset(("Flatten", "Reshape", "Squeeze", "Unsqueeze"))


def shapes_of(graph: StepGraph) -> Mapping[str, Shape]:
    """Return value -> shape, for every value whose shape is known."""
    batch = batch_name(graph)
    known = {name: constant.shape for name, constant in graph.constants.items()}
    for value in graph.inputs:
        _put(known, value.name, _fixed(value.shape, batch))
    for node in graph.nodes:
        made = _made(Call(node, known.get))
        for index, name in enumerate(node.outputs):
            declared = graph.values.get(name)
            told = _fixed(declared.shape, batch) if declared else None
            _put(known, name, _first(node, known, told, made) if index == 0 else told)
    return known


def batch_name(graph: StepGraph) -> str:
    """Return the name of the open leading dimension that the inputs share; "" where they share none."""
    shapes = [value.shape for value in graph.inputs if value.shape]
    leading = {shape[0] for shape in shapes}
    inner = {size for shape in shapes for size in shape[1:]}
    name = next(iter(leading)) if len(leading) == 1 else None
    return name if isinstance(name, str) and name not in inner else ""


def _put(known: dict[str, Shape], name: str, shape: Shape | None) -> None:
    if name and shape is not None and all(size >= 0 for size in shape):
        known[name] = shape


def _fixed(shape: tuple[Dimension, ...] | None, batch: str) -> Shape | None:
    if shape is None:
        return None
    sizes = [1 if batch and size == batch else size for size in shape]
    return tuple(size for size in sizes if isinstance(size, int)) if all(isinstance(s, int) for s in sizes) else None


def _first(node: GraphNode, known: Mapping[str, Shape], told: Shape | None, made: Shape | None) -> Shape | None:
    """Return the shape of a node's first output, distrusting a declared one that loses or gains values."""
    source = known.get(node.inputs[0]) if node.inputs else None
    if key_of(node) in _REARRANGED and told is not None and source is not None:
        return told if math.prod(told) == math.prod(source) else None
    return made if made is not None else told


def _made(call: Call) -> Shape | None:
    """Return the shape that an operator makes of its inputs, where that is simple enough to say."""
    try:
        maker = _maker(key_of(call.node))
        return maker(call) if maker else None
    except (NotMeasured, ArithmeticError, LookupError, ValueError):
        return None  # its inputs do not fit: whoever prices the node says so


def _maker(key: str) -> Callable[[Call], Shape] | None:
    if key in PRODUCTS:
        return lambda call: product_shape(*factors(call))
    if key in ALIKE:
        return lambda call: call.shape(0)
    if key in SEVERAL:
        return lambda call: broadcast(*(call.shape(index) for index in range(len(call.node.inputs))))
    if key in _QUANTIZED_PAIRS:
        return lambda call: broadcast(*(call.shape(index) for index in _QUANTIZED_PAIRS[key]))
    return {"Gather": _gathered, "Transpose": _transposed}.get(key)


def _gathered(call: Call) -> Shape:
    table, indices, axis = call.shape(0), call.shape(1), call.whole("axis")
    axis %= len(table)
    return (*table[:axis], *indices, *table[axis + 1 :])


def _transposed(call: Call) -> Shape:
    shape = call.shape(0)
    order = call.wholes("perm", tuple(reversed(range(len(shape)))))
    return tuple(shape[axis] for axis in order)
