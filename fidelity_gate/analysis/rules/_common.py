"""What several rules ask of a subject."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from fidelity_gate.records import Location, LocationKind, Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fidelity_gate.graphs.wiring import Wiring
    from fidelity_gate.protocols import Subject
    from fidelity_gate.records import GraphNode, TensorFact

DYNAMIC_QUANTIZERS = frozenset(
    {
        "ConvInteger",
        "DynamicQuantizeLSTM",
        "DynamicQuantizeLinear",
        "DynamicQuantizeMatMul",
        "MatMulInteger",
        "MatMulIntegerToFloat",
    }
)
STATIC_QUANTIZERS = frozenset({"QGemm", "QLinearConv", "QLinearMatMul", "QuantizeLinear"})
NARROW_BITS = 16  # below it a weight counts as compressed


def tensors_of(subject: Subject, role: Role) -> list[TensorFact]:
    """Return the tensors of one role, in the file's order."""
    return [tensor for tensor in subject.facts.tensors if tensor.role is role]


def tensor_place(tensor: TensorFact) -> Location:
    """Return a tensor as a place: `32x64, int4 per tensor symmetric`."""
    return Location(LocationKind.TENSOR, tensor.name, f"{sizes(tensor.shape)}, {tensor.stored_as}")


def node_place(wiring: Wiring, node: GraphNode) -> Location:
    """Return a node as a place, with what it reads and makes."""
    return Location(LocationKind.NODE, node.name, wiring.describe(node))


def by_operator(nodes: Iterable[GraphNode]) -> Mapping[str, list[GraphNode]]:
    """Return the nodes by operator, sorted, each as `domain.Op` where the domain is not the standard one."""
    found: dict[str, list[GraphNode]] = defaultdict(list)
    for node in nodes:
        found[operator(node)].append(node)
    return dict(sorted(found.items()))


def operator(node: GraphNode) -> str:
    """Return an operator's full name: `MatMul`, `com.microsoft.MatMulNBits`."""
    return f"{node.domain}.{node.op}" if node.domain else node.op


def tokens_of(subject: Subject) -> int | None:
    """Return L: of the geometry, or of the state inputs (B, L, D) of a graph; None where nothing tells it."""
    if subject.facts.geometry is not None:
        return subject.facts.geometry.tokens
    lengths = {
        shape[1]
        for value in (subject.graph.inputs if subject.graph else ())
        if value.name in {pair.input for pair in subject.graph.states}  # type: ignore[union-attr]  # graph.inputs above
        and (shape := value.shape) is not None
        and len(shape) == 3  # batch, tokens, width
    }
    only = lengths.pop() if len(lengths) == 1 else None
    return only if isinstance(only, int) else None


def sizes(shape: Iterable[object]) -> str:
    """Return `32x64`, or `scalar`."""
    return "x".join("?" if size is None else str(size) for size in shape) or "scalar"


def counted(count: int, thing: str, things: str = "") -> str:
    """Return `1 node`, `3 nodes`; the plural where an s does not make it."""
    return f"{count} {thing}" if count == 1 else f"{count} {things or thing + 's'}"


def architecture_of(subject: Subject) -> Mapping[str, object]:
    """Return the fields of the model's family; nothing for a graph."""
    return dict(subject.facts.architecture)
