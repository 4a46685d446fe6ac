"""`op_types=MatMul+Gemm,exclude=lm_head*+carry` -> which weights a recipe is for, and what stays float."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fidelity_gate import registry
from fidelity_gate.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fidelity_gate.compress.onnx_preparing import Prepared
    from fidelity_gate.graphs.uses import WeightUse

CARRY = "carry"
JOINED = "+"
_FLOAT = "float32"


@dataclass(frozen=True, slots=True)
class Choice:
    """What is to be quantized.

    Attributes:
        targets: the weights that the recipe is for, sorted by name.
        nodes: names of the nodes that stay as they are, sorted.
        excluded: weights that stay float because of them, sorted.
        carry: every activation and every update of the carry stays float.
        op_types: operators to be quantized; none for all that the tool knows.
        values: of every target, how many it holds; some are made by the preparation, and not in the file.
    """

    targets: tuple[WeightUse, ...]
    nodes: tuple[str, ...]
    excluded: tuple[str, ...]
    carry: bool
    op_types: tuple[str, ...]
    values: Mapping[str, int]


def names_of(text: str) -> tuple[str, ...]:
    """Return the parts of `A+B`; none for an empty text."""
    return tuple(part.strip() for part in text.split(JOINED)) if text else ()


def chosen(graph: Prepared, op_types: tuple[str, ...], meant: tuple[str, ...], exclude: str) -> Choice:
    """Return what a recipe is to quantize in a graph.

    Args:
        graph: prepared.
        op_types: operators as the user gave them, none for all.
        meant: operators whose weights the recipe is meant for where the user gave none.
        exclude: names of nodes and weights with `*` and `?`, and the word carry, joined by "+".

    Raises:
        UsageError: a name or an operator that the graph does not have, or no weight is left to quantize.
    """
    _refuse_unknown_operators(graph, op_types)
    parts = names_of(exclude)
    weights, nodes = _matched(graph, tuple(part for part in parts if part != CARRY))
    every = tuple(_weights_of(graph, op_types or meant))
    stays = {use.name for use in every if use.name in weights or any(node.name in nodes for node in use.products)}
    targets = tuple(use for use in every if use.name not in stays)
    if not targets:
        operators = ", ".join(op_types or meant)
        what = "exclude leaves nothing to quantize" if every else f"has no float32 weights of {operators}"
        raise UsageError(what, where=graph.where, field="--recipe")
    nodes |= {node.name for use in every if use.name in weights for node in use.products}
    values = {use.name: graph.graph.constants[use.name].values for use in targets}
    return Choice(targets, tuple(sorted(nodes)), tuple(sorted(stays)), CARRY in parts, op_types, values)


def _weights_of(graph: Prepared, operators: tuple[str, ...]) -> Iterator[WeightUse]:
    """Yield the float32 matrices that these operators multiply with."""
    for name, use in graph.uses.items():
        constant = graph.graph.constants[name]
        if constant.dtype == _FLOAT and len(constant.shape) > 1 and any(node.op in operators for node in use.products):
            yield use


def _matched(graph: Prepared, patterns: tuple[str, ...]) -> tuple[set[str], set[str]]:
    """Return the weights and the nodes that the patterns name."""
    every_weight = [name for name, use in graph.uses.items() if use.products]
    every_node = [node.name for node in graph.graph.nodes]
    weights: set[str] = set()
    nodes: set[str] = set()
    for pattern in patterns:
        like = re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."))
        found = [[name for name in names if like.fullmatch(name)] for names in (every_weight, every_node)]
        if not any(found):
            names = (CARRY, *every_weight, *every_node)
            what = "no node and no weight is named"
            raise registry.unknown(pattern, names, what=what, where=graph.where, field="exclude", kind=UsageError)
        weights.update(found[0])
        nodes.update(found[1])
    return weights, nodes


def _refuse_unknown_operators(graph: Prepared, op_types: tuple[str, ...]) -> None:
    import onnx

    known = tuple(sorted({node.op for node in graph.graph.nodes}))
    for name in op_types:
        if name not in known and not onnx.defs.has(name):
            what = "the graph has no operator"
            raise registry.unknown(name, known, what=what, where=graph.where, field="op_types", kind=UsageError)
