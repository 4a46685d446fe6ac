"""Which weights mix tokens: they are applied along the token axis, not along the width."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fidelity_gate.graphs.wiring import Wiring

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject
    from fidelity_gate.records import GraphNode, StepGraph

_NAMED = re.compile(r"(?<![a-z])(?:mlp_t|token_?mix\w*)(?![a-z])")
# Operator -> place of its right factor among its inputs; the left one is the first.
_PRODUCTS = {
    "FusedMatMul": 1,
    "MatMul": 1,
    "MatMulInteger": 1,
    "MatMulIntegerToFloat": 1,
    "MatMulNBits": 1,
    "QLinearMatMul": 3,
}


def token_mixing(subject: Subject) -> frozenset[str]:
    """Return the values that mix tokens, told by tensors' names and, in a graph, by what they are multiplied with.

    In a graph an activation is *turned* from the Transpose that swaps its last two axes to the one that swaps them
    back. What a turned activation is multiplied with mixes tokens, and so does what stands left of an activation that
    is not turned. The product of two activations is attention, and turned no more.
    """
    named = frozenset(tensor.name for tensor in subject.facts.tensors if _NAMED.search(tensor.name.lower()))
    if subject.graph is None:
        return named
    wiring = Wiring(subject.graph)
    return named | wiring.upstream(_factors(subject.graph, wiring))


def _factors(graph: StepGraph, wiring: Wiring) -> Iterator[str]:
    """Yield what turned activations are multiplied with: weights, or what a node makes of them."""
    flowing = wiring.downstream(value.name for value in graph.inputs)
    turned: set[str] = set()
    for node in graph.nodes:
        now = any(name in turned for name in node.inputs)
        if node.op in _PRODUCTS and len(node.inputs) > _PRODUCTS[node.op]:
            left, right = node.inputs[0], node.inputs[_PRODUCTS[node.op]]
            if left in flowing and right in flowing:
                now = False
            elif now == (left in flowing):
                yield right if left in flowing else left
        elif node.op == "Transpose":
            now = now != _swaps_last_two(node)
        if now:
            turned.update(node.outputs)


def _swaps_last_two(node: GraphNode) -> bool:
    order = node.attributes.get("perm", ())
    if not isinstance(order, tuple) or len(order) < 3:
        return False
    last = len(order) - 1
    return order == (*range(last - 1), last, last - 1)
