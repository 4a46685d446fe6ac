"""ONNX step graphs: one step of a recursion, whose state outputs the host feeds back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fidelity_gate.errors import ModelRefused
from fidelity_gate.files import read_file
from fidelity_gate.graphs.reading import read_graph
from fidelity_gate.graphs.weights import GraphWeights, tensor_facts
from fidelity_gate.models.state import LARGEST_FILE
from fidelity_gate.records import ModelFacts

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from fidelity_gate.protocols import OpenedModel, Recursion, Weights
    from fidelity_gate.records import ModelSpec, RunSpec, StepGraph

SUFFIX = ".onnx"


@dataclass(frozen=True, slots=True)
class OnnxStep:
    """An ONNX graph of one step: state in, state out."""

    def recognises(self, path: str, head: bytes) -> bool:
        """Return whether the name says so: the format has no mark of its own."""
        return path.lower().endswith(SUFFIX)

    def open(self, spec: ModelSpec) -> OpenedModel:
        """Read, hash and understand the file."""
        file = read_file(spec.path, limit_bytes=LARGEST_FILE, kind=ModelRefused)
        graph = read_graph(file.data, spec.path)
        facts = ModelFacts(
            path=spec.path,
            digest=file.digest,
            size_bytes=file.size,
            file_format="onnx",
            family="",
            architecture=(),
            depth=None,
            geometry=None,
            tensors=tensor_facts(graph),
            notes=graph.state_doubts,
        )
        return OpenedOnnx(facts, graph, file.data)


@dataclass(frozen=True, slots=True, eq=False)
class OpenedOnnx:
    """An ONNX step graph, understood."""

    facts: ModelFacts
    graph: StepGraph
    data: bytes

    def load(self, run: RunSpec) -> Recursion:
        """Refuse: graphs cannot be stepped yet."""
        raise ModelRefused("is an ONNX graph, which cannot be stepped yet", where=self.facts.path)

    def dense(self) -> Mapping[str, NDArray[np.float32]]:
        """Return every tensor as float32."""
        weights = self.stored_weights()
        return {tensor.name: weights.dense(tensor.name) for tensor in self.facts.tensors}

    def stored_weights(self) -> Weights:
        """Return the constants one by one."""
        import onnx

        return GraphWeights({item.name: item for item in onnx.ModelProto.FromString(self.data).graph.initializer})

    def step_graph(self) -> StepGraph | None:
        """Return the graph."""
        return self.graph
