"""FG303: norms or carry updates in 16-bit floats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.analysis.rules._carry import Flow, input_of, low_float
from fidelity_gate.analysis.rules._common import counted, node_place
from fidelity_gate.records import Found, Need, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.protocols import Subject
    from fidelity_gate.records import GraphNode

# These say in `stash_type` in what they sum up; 1, the default, is float32 whatever comes in.
_STASHING = frozenset({"GroupNormalization", "LayerNormalization", "RMSNormalization", "SimplifiedLayerNormalization"})
_OTHER_NORMS = frozenset({"InstanceNormalization", "LpNormalization", "MeanVarianceNormalization"})
_REDUCTIONS = frozenset({"ReduceL2", "ReduceMean", "ReduceSum", "ReduceSumSquare"})
_ON_THE_WAY = frozenset({"Add", "Cast", "Clip", "Max"})  # from a mean square to its root
_SUMS = frozenset({"Add", "SkipLayerNormalization", "SkipSimplifiedLayerNormalization", "Sum"})
_FLOAT32_CODE = 1


@dataclass(frozen=True, slots=True)
class ReducedPrecisionNorm:
    """Looks for norms and sums of the carry that are computed in float16, bfloat16 or a narrower float.

    Norms on the carry path count by their statistics: a mean or a sum that a root is taken of, or a norm operator whose
    `stash_type` is not float32 (the default of LayerNormalization is float32, and then nothing is found). The update of
    a state is the last sum before its output. One finding for the norms of the graph, and one for every state. Casting
    to float32 in front of the norm or the sum mends it, also in a graph that is float16 elsewhere. Rounding to
    integers is of FG301 and FG307. A type that neither the file nor the operators tell is not guessed.

    It is a warning: on the zoo's models float16 throughout keeps a fidelity of 0.9986 or more and costs 0.4 points of
    exact answers at most.
    """

    code: ClassVar[str] = "FG303"
    title: ClassVar[str] = "reduced-precision-norm"
    severity: ClassVar[Severity] = Severity.WARN
    why: ClassVar[str] = (
        "Squares above 65,504 are infinite in float16, so a norm breaks where a carry grows past 256 (one model's goes "
        "from 8 to 220), and bfloat16 has 3 digits: the same weights with a bfloat16 forward pass already give a "
        "fidelity of 0.996."
    )
    fix: ClassVar[str] = (
        "Keep norms and carry updates in float32: block them in the float16 conversion (op_block_list, "
        "node_block_list), or use LayerNormalization or RMSNormalization, which sum up in float32."
    )
    needs: ClassVar[tuple[Need, ...]] = (Need.STATES,)

    def check(self, subject: Subject) -> Iterator[Found]:
        """Yield one finding for the norms, and one for every state's update."""
        if subject.graph is None:
            return
        flow = Flow.of(subject.graph)
        rooted = _rooted(flow)
        norms = [node for node in flow.carried() if _low(flow, node) and _is_norm(node, rooted)]
        if norms:
            message = f"{counted(len(norms), 'norm')} of the recursive block computed in {_type(flow, norms[0])}"
            yield Found(node_place(flow.wiring, norms[0]), message, (("norms", len(norms)),))
        last = _last_sums(flow)
        for place, pair in enumerate(subject.graph.states):
            if place in last and _low(flow, last[place]):
                message = f"the last sum of {pair.output} is computed in {_type(flow, last[place])}"
                yield Found(node_place(flow.wiring, last[place]), message)


def _type(flow: Flow, node: GraphNode) -> str:
    return flow.dtypes.get(input_of(node, 0), "")


def _low(flow: Flow, node: GraphNode) -> bool:
    return low_float(_type(flow, node))


def _is_norm(node: GraphNode, rooted: frozenset[str]) -> bool:
    if node.op in _STASHING:
        return node.attributes.get("stash_type", _FLOAT32_CODE) != _FLOAT32_CODE
    if node.op in _OTHER_NORMS or node.op == "ReduceL2":
        return True
    return node.op in _REDUCTIONS and not rooted.isdisjoint(node.outputs)


def _rooted(flow: Flow) -> frozenset[str]:
    """Return the values that a root is taken of, at most with an epsilon in between."""
    found: set[str] = set()
    for node in reversed(flow.graph.nodes):
        if node.op == "Sqrt" or (node.op in _ON_THE_WAY and not found.isdisjoint(node.outputs)):
            found.update(node.inputs)
    return frozenset(found)


def _last_sums(flow: Flow) -> dict[int, GraphNode]:
    """Return state -> the last node that adds two activations within its update; an epsilon is none."""
    found: dict[int, GraphNode] = {}
    waiting = (1 << len(flow.graph.states)) - 1
    for node in reversed(flow.graph.nodes):
        if node.op in _SUMS and sum(name in flow.fed for name in node.inputs) > 1:
            ours = flow.updates.get(node.outputs[0] if node.outputs else "", 0) & waiting
            waiting &= ~ours
            while ours:
                found[(ours & -ours).bit_length() - 1] = node
                ours &= ours - 1
    return found
