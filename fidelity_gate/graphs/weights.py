"""The weights of a step graph: which constants they are, what they are for, and their values one at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fidelity_gate.errors import ModelRefused
from fidelity_gate.graphs.wiring import Wiring
from fidelity_gate.records import Role, TensorFact

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from fidelity_gate.records import GraphConstant, QuantizedWeight, StepGraph

_MATRIX_OPERATORS = frozenset({"MatMul", "Gemm", "Conv", "MatMulInteger", "MatMulNBits", "GRU", "LSTM", "RNN"})
_SEEN_THROUGH = frozenset({"Transpose", "Reshape", "Cast", "Identity", "DequantizeLinear"})


def tensor_facts(graph: StepGraph) -> tuple[TensorFact, ...]:
    """Return every constant as it is stored, sorted by name."""
    roles = _roles(graph)
    return tuple(_fact(constant, roles.get(name, Role.OTHER)) for name, constant in graph.constants.items())


def _fact(constant: GraphConstant, role: Role) -> TensorFact:
    bits = 8 * constant.stored_bytes / constant.values if constant.values else 0.0
    return TensorFact(constant.name, role, constant.shape, constant.dtype, bits, constant.stored_bytes)


def _roles(graph: StepGraph) -> Mapping[str, Role]:
    wiring = Wiring(graph)
    on_path = {node.index for node in wiring.carry_path}
    roles: dict[str, Role] = {}
    for node in graph.nodes:
        if node.op not in _MATRIX_OPERATORS and node.op != "Gather":
            continue
        for name in node.inputs[:1] if node.op == "Gather" else node.inputs[:2]:
            source = name
            while source in wiring.maker and wiring.maker[source].op in _SEEN_THROUGH:
                source = wiring.maker[source].inputs[0]
            if source in graph.constants and roles.get(source) is not Role.BLOCK:
                matrix = Role.BLOCK if node.index in on_path or not graph.states else Role.HEAD
                roles[source] = Role.EMBEDDING if node.op == "Gather" else matrix
    return roles


@dataclass(frozen=True, slots=True, eq=False)
class GraphWeights:
    """The constants of an ONNX file (the `Weights` protocol)."""

    tensors: Mapping[str, Any]  # name -> TensorProto

    def quantized(self, name: str) -> QuantizedWeight | None:
        """Return the integers and scales of a constant; None where it holds floats."""
        return None

    def dense(self, name: str) -> NDArray[np.float32]:
        """Return the values of a constant."""
        import onnx

        if name not in self.tensors:
            raise ModelRefused("has no such weight", field=name)
        return np.asarray(onnx.numpy_helper.to_array(self.tensors[name])).astype(np.float32)
