"""Step graphs with state, written as ONNX text: cells of recurrent networks, and steps of token models."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from fidelity_gate.graphs.step_metadata import step_metadata
from fidelity_gate.inputs.making import make_probes
from fidelity_gate.models.onnx_loading import Parts, assembled
from fidelity_gate.models.opening import open_model
from fidelity_gate.records import Depth, ModelSpec

WIDTH, FRAME, WORDS = 6, 4, 5
DRAWS = np.random.default_rng(11)
CONSTANTS = {
    "w": DRAWS.normal(size=(WIDTH, WIDTH)).astype(np.float32) / 3,
    "u": DRAWS.normal(size=(FRAME, WIDTH)).astype(np.float32),
    "table": DRAWS.normal(size=(WORDS, WIDTH)).astype(np.float32),
    "head": DRAWS.normal(size=(WIDTH, 3)).astype(np.float32),
    "ten": np.float32(10),
    "one": np.float32(1),
    "first": np.array([0]),
    "second": np.array([1]),
}

# An Elman cell on frames: h' = tanh(x U + h W), with an answer of three classes.
CELL = "drive = MatMul(x, u) kept = MatMul(h, w) sum = Add(drive, kept) hn = Tanh(sum) probs = MatMul(hn, head)"
CELL_OF_ONE = f"(float[1,{FRAME}] x, float[1,{WIDTH}] h) => (float[1,{WIDTH}] hn, float[1,3] probs)"
CELL_OF_ANY = f"(float[N,{FRAME}] x, float[N,{WIDTH}] h) => (float[N,{WIDTH}] hn, float[N,3] probs)"

# A reasoner: z' = tanh(z W + embedded tokens), the same tokens at every step.
REASONER = (
    "e = Gather(table, inputs) kept = MatMul(z, w) sum = Add(e, kept) z_out = Tanh(sum) logits = MatMul(z_out, head)"
)


def reasoner(rows="1", tokens=7, dtype="int32"):
    """Return the signature of the reasoner."""
    state = f"float[{rows},{tokens},{WIDTH}]"
    return f"({state} z, {dtype}[{rows},{tokens}] inputs) => ({state} z_out, float[{rows},{tokens},3] logits)"


def write(folder, body=CELL, signature=CELL_OF_ONE, *, name="step", metadata=(), constants=(), edit=None, opset=18):
    """Write a graph; it holds the constants that its nodes read, and those that are given."""
    graph = onnx.parser.parse_graph(f"step {signature} {{ {body} }}")
    read = {one for node in graph.node for one in node.input}
    tensors = {key: array for key, array in CONSTANTS.items() if key in read} | dict(constants)
    graph.initializer.extend(numpy_helper.from_array(np.asarray(array), key) for key, array in tensors.items())
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    helper.set_model_props(model, dict(metadata))
    if edit is not None:
        edit(model)
    path = folder / f"{name}.onnx"
    path.write_bytes(model.SerializeToString(deterministic=True))
    return path


def opened(path, **options):
    """Open a graph as a policy would; `__` in a keyword stands for the dot of a group."""
    said = tuple(sorted((key.replace("__", "."), value) for key, value in options.items()))
    return open_model(ModelSpec("candidate", str(path), said))


def stepper(path, **options):
    """Return a recursion without the trial in a child process, which takes a second."""
    model = opened(path, **options)
    told = step_metadata(model.file.graph.metadata)
    return assembled(Parts(model.file, model.running, told, model.options, model.beside, str(path)), threads=1)


def frames(count=3, steps=5, seed=0, shape=(FRAME,)):
    """Return probes of frames."""
    values = np.random.default_rng(seed).normal(size=(count, steps, *shape)).astype(np.float32)
    return make_probes(values, None, source="tests")


def tokens(count=3, length=7, seed=0):
    """Return probes of tokens."""
    rows = np.random.default_rng(seed).integers(0, WORDS, size=(count, length)).astype(np.int32)
    return make_probes(rows, None, source="tests")


def states(recursion, probes, steps=4, depth=None, **kw):
    """Return every state of a run."""
    return list(recursion.run(probes, depth or Depth(steps=steps), **kw))
