"""ONNX step graphs: one step of a recursion, whose state outputs the host feeds back into its state inputs."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from fidelity_gate.errors import ModelRefused
from fidelity_gate.files import read_file
from fidelity_gate.graphs.compression_metadata import compression_metadata
from fidelity_gate.graphs.content import ONE_FILE
from fidelity_gate.graphs.folding import Folded, folded
from fidelity_gate.graphs.reading import read_onnx
from fidelity_gate.graphs.shapes import inferred
from fidelity_gate.graphs.step_metadata import step_metadata
from fidelity_gate.graphs.weights import GraphWeights
from fidelity_gate.graphs.wiring import Wiring
from fidelity_gate.model_files import digest_of, own_file
from fidelity_gate.models.onnx_beside import read_beside
from fidelity_gate.models.onnx_geometry import geometry_of
from fidelity_gate.models.onnx_options import step_options
from fidelity_gate.models.state import is_safetensors, is_torch
from fidelity_gate.records import ModelFacts
from fidelity_gate.units import format_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from fidelity_gate.files import FileBytes
    from fidelity_gate.graphs.reading import OnnxFile
    from fidelity_gate.graphs.step_metadata import StepMetadata
    from fidelity_gate.models.onnx_beside import Beside
    from fidelity_gate.models.onnx_options import StepOptions
    from fidelity_gate.protocols import OpenedModel, Recursion, Weights
    from fidelity_gate.records import ModelSpec, RunSpec, StepGraph

SUFFIX = ".onnx"
LARGEST_FILE = 2 << 30  # what protobuf itself allows a message
# The format has no mark of its own, but writers begin with the IR version, and go on with the producer, the domain, the
# model's version, its documentation, the graph, or the opset.
_LIKELY_START = re.compile(rb"\x08[\x03-\x40][\x12\x1a\x22\x28\x32\x3a\x42]")


@dataclass(frozen=True, slots=True)
class OnnxStep:
    """An ONNX graph of one step: state in, state out, run by onnxruntime on the CPU."""

    def recognises(self, path: str, head: bytes) -> bool:
        """Return whether the name or the first bytes say so, and the bytes are not those of another format."""
        if is_torch(head) or is_safetensors(head):
            return False
        return path.lower().endswith(SUFFIX) or _LIKELY_START.match(head) is not None

    def open(self, spec: ModelSpec) -> OpenedModel:
        """Read, hash and understand the file, and what it needs beside it; the policy's options are `StepOptions`."""
        options = step_options(spec.options, str(spec.place) or spec.path)
        file = read_file(spec.path, limit_bytes=LARGEST_FILE, kind=ModelRefused)
        onnx, without_if = _read(file.data, spec.path, options)
        weights = GraphWeights(onnx, spec.path)
        tensors, told = weights.facts(), step_metadata(onnx.graph.metadata, spec.path)
        done = compression_metadata(onnx.graph.metadata, spec.path)
        beside = read_beside(spec.path, options, told)
        files = (own_file(file), *beside.files)
        facts = ModelFacts(
            path=spec.path,
            digest=digest_of(files),
            size_bytes=sum(one.size_bytes for one in files) + sum(size for _, size in _elsewhere(onnx.graph)),
            file_format="onnx",
            family="",
            architecture=(),
            depth=told.depth if told else None,
            geometry=geometry_of(onnx.graph, tensors) if told else None,  # operators alone tell no layers
            tensors=tensors,
            recipe=done.recipe if done else "",
            calibration_rows=done.calibration_rows if done else (),
            notes=(*_notes(file, onnx.graph, told), *_decided(without_if), *_settings(options, beside)),
            claimed_family=told.family if told else "",
            files=files,
        )
        return OpenedOnnx(facts, onnx, weights, file.data, options, beside, without_if)


@dataclass(frozen=True, eq=False)
class OpenedOnnx:
    """An ONNX step graph, understood; its weights are windows into the file's bytes."""

    facts: ModelFacts
    file: OnnxFile
    weights: GraphWeights
    data: bytes  # of the file: what was hashed
    options: StepOptions
    beside: Beside
    without_if: Folded = field(default_factory=Folded)

    @property
    def running(self) -> bytes:
        """Return what runs: the bytes that were hashed, or what follows from them and the policy's constants alone."""
        return self.without_if.data or self.data

    def load(self, run: RunSpec) -> Recursion:
        """Return the graph ready to step, once it has run on zeros in a child process.

        Raises:
            ModelRefused: it cannot be run, or must not be; or not in the precision that `run` asks for.
            NotMeasured: onnxruntime is not installed.
            Undecided: the child process hit a limit, or died.
        """
        from fidelity_gate.models.onnx_loading import loaded

        return loaded(self, run)

    def dense(self) -> Mapping[str, NDArray[np.float32]]:
        """Return every constant but scales dequantized; raises ModelRefused where one cannot be."""
        return {tensor.name: self.weights.dense(tensor.name) for tensor in self.facts.tensors}

    def stored_weights(self) -> Weights | None:
        """Return the constants one by one."""
        return self.weights

    def step_graph(self, sizes: Mapping[str, int] | None = None) -> StepGraph | None:
        """Return the graph with every shape that can be told; inferred when first asked, in a child process."""
        return inferred(self.file, self.facts.path, sizes) if sizes else self._graph

    @cached_property
    def _graph(self) -> StepGraph:
        return inferred(self.file, self.facts.path)


def _read(data: bytes, where: str, options: StepOptions) -> tuple[OnnxFile, Folded]:
    """Return a graph, and what became of its Ifs whose condition follows from the policy's constants."""
    file = read_onnx(data, where, declared=options.states)
    if not any(node.op == "If" and node.subgraphs for node in file.graph.nodes):
        return file, Folded()
    states = {pair.input for pair in file.graph.states}
    found = folded(data, {name: value for name, value in options.constants.items() if name not in states})
    return (read_onnx(found.data, where, declared=options.states) if found.data else file), found


def _elsewhere(graph: StepGraph) -> list[tuple[str, int]]:
    """Return the tensors that the file only points at, each with the bytes it is said to have."""
    return [(name, constant.stored_bytes) for name, constant in graph.constants.items() if constant.external]


def _notes(file: FileBytes, graph: StepGraph, told: StepMetadata | None) -> Iterator[str]:
    if file.linked:
        yield f"is a link to {file.resolved}"
    if told is not None:
        yield f"says that one run of it is one {told.unit} of a {told.family or 'recursive'} model"
    inputs = {value.name: value for value in graph.inputs}
    for pair in graph.states:
        shape = "x".join("?" if size is None else str(size) for size in inputs[pair.input].shape or ())
        yield f"state: {pair.output} is fed back into {pair.input}, {inputs[pair.input].dtype} {shape}"
    wiring = Wiring(graph)
    kept = [pair.input for pair in graph.states if wiring.only_moved(pair.output)]
    if kept:
        yield f"{', '.join(kept)} only keeps what was fed, which is the same in every model; it is compared last"
    if not graph.states:
        yield "no state is known, so every matrix counts as the recursive block's (say model: state: {INPUT: OUTPUT})"
    yield from graph.state_doubts
    outside = _elsewhere(graph)
    if outside:
        size = format_value(sum(size for _, size in outside), "bytes")
        yield f"{len(outside)} tensors ({size}) lie in other files, which were not read and are not in the digest"
        yield f"to have them in one file: {ONE_FILE}"
    nested = sum(node.subgraphs > 0 for node in graph.nodes)
    if nested:
        yield f"{nested} operators hold graphs of their own, which were not looked into"


def _decided(without_if: Folded) -> Iterator[str]:
    """Yield what became of the graph's Ifs."""
    yield from without_if.notes
    if without_if.obstacle:
        yield f"{without_if.obstacle} ({without_if.hint})"


def _settings(options: StepOptions, beside: Beside) -> Iterator[str]:
    """Yield what else decides the numbers of a run."""
    yield f"onnxruntime rewrites it before it runs: optimization {options.optimization}"
    if beside.embedding:
        yield f"tokens are embedded by {Path(beside.embedding_path).name}"
    for source in beside.tensors:
        yield f"states start from {source}"
