"""FLOPs of one run of a step graph, operator by operator, from shapes alone; nothing runs.

A multiply-add counts as 2. What costs nothing by this convention is listed in `operator_names`; every operator that has
neither a formula nor a place in that list, and every one whose shapes are not known, is named in `not_counted`.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fidelity_gate.analysis.graph_shapes import shapes_of
from fidelity_gate.analysis.operator_costs import COSTS
from fidelity_gate.analysis.operator_names import FREE
from fidelity_gate.analysis.operator_products import PRODUCTS, Call, factors, key_of, product_flops
from fidelity_gate.errors import NotMeasured
from fidelity_gate.graphs.wiring import Wiring

if TYPE_CHECKING:
    from fidelity_gate.records import Options, StepGraph

COUNTED_BY = "operator table"
_MOST = 10**18  # of one operator: an hour on the largest machine there is, so a shape is wrong


@dataclass(frozen=True, slots=True)
class GraphFlops:
    """What one run of a graph computes."""

    total: int
    carry: int  # on the way from a state input to a state output: the recursive block, heads and embeddings left out
    by_operator: Options  # operator -> FLOPs, sorted by name
    not_counted: tuple[str, ...]  # a line for every kind of operator


def graph_flops(graph: StepGraph) -> GraphFlops:
    """Return the FLOPs of one run for one probe."""
    shapes = shapes_of(graph)
    block = {node.index for node in Wiring(graph).carry_path}
    total = carry = 0
    by_operator: dict[str, int] = defaultdict(int)
    gaps: dict[str, list[tuple[str, str]]] = defaultdict(list)  # operator -> (node, reason)
    for node in graph.nodes:
        try:
            cost = node_flops(Call(node, shapes.get))
        except NotMeasured as error:
            gaps[key_of(node)].append((node.name, error.what))
            continue
        total += cost
        carry += cost if node.index in block else 0
        if cost:
            by_operator[key_of(node)] += cost
    lines = tuple(_line(operator, found) for operator, found in sorted(gaps.items()))
    return GraphFlops(total, carry, tuple((name, float(cost)) for name, cost in sorted(by_operator.items())), lines)


def node_flops(call: Call) -> int:
    """Return the FLOPs of one operator.

    Raises:
        NotMeasured: its cost is not known, with the reason.
    """
    key = key_of(call.node)
    if call.node.subgraphs:
        raise NotMeasured("it runs a graph of its own, how often is not known")
    if key in FREE:
        return 0
    if key not in PRODUCTS and key not in COSTS:
        raise NotMeasured("what it costs is not known")
    try:
        cost = product_flops(*factors(call)) if key in PRODUCTS else COSTS[key](call)
    except (ArithmeticError, LookupError, ValueError) as error:
        raise NotMeasured("its attributes do not fit its inputs") from error
    if not 0 <= cost <= _MOST:
        raise NotMeasured("its shapes cannot be right")
    return cost


def _line(operator: str, found: list[tuple[str, str]]) -> str:
    name, reason = found[0]
    many = f"{len(found)} nodes, first " if len(found) > 1 else ""
    return f"{operator} ({many}{name}): {reason}"
