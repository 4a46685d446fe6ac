"""An opened step graph -> a recursion: planned, tried out in a child process, then loaded from the hashed bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fidelity_gate.errors import ModelRefused
from fidelity_gate.graphs.reading import read_graph
from fidelity_gate.graphs.step_metadata import step_metadata
from fidelity_gate.heavy import onnxruntime_module
from fidelity_gate.models.onnx_feeds import Embedding
from fidelity_gate.models.onnx_plan import FLOATS
from fidelity_gate.models.onnx_planning import plan_of
from fidelity_gate.models.onnx_run import OnnxRecursion
from fidelity_gate.models.onnx_session import Session
from fidelity_gate.models.onnx_start import starts_of
from fidelity_gate.models.onnx_trial import refuse_unsafe, try_bytes, try_out

if TYPE_CHECKING:
    from fidelity_gate.models.onnx_plan import StepPlan
    from fidelity_gate.models.onnx_step import OpenedOnnx
    from fidelity_gate.records import RunSpec

_OWN = "float32"
_TOKEN_INPUTS = ("inputs", "puzzle_identifiers")


def loaded(model: OpenedOnnx, run: RunSpec) -> OnnxRecursion:
    """Return a step graph ready to step.

    Raises:
        ModelRefused: it cannot be run, or must not be; or not in the precision that `run` asks for.
        NotMeasured: onnxruntime is not installed.
        Undecided: the child process that tried it hit a limit, or died.
    """
    where, options = model.facts.path, model.options
    if run.dtype != _OWN:
        hint = f"dtype: {_OWN}, and no bf16 noise floor, for step graphs; convert the file itself to another precision"
        raise ModelRefused(
            f"is an ONNX graph, whose precision is its own, and {run.dtype} is asked for", where=where, hint=hint
        )
    onnxruntime_module(where)
    told = step_metadata(model.file.graph.metadata, where)
    refuse_unsafe(model.file.graph, where)
    plan = plan_of(model.file.graph, options, told, where)
    starts = starts_of(plan, told, model.file, model.beside, where)
    try_out(model.data, plan, options.optimization, where)
    embedding = _embedding(model, plan, run.threads)
    session = Session(model.data, options.optimization, run.threads, where)
    return OnnxRecursion(session, plan, starts, embedding)


def _embedding(model: OpenedOnnx, plan: StepPlan, threads: int) -> Embedding | None:
    """Return the graph that makes the input of tokens, tried out like the step graph itself."""
    data, path, options = model.beside.embedding, model.beside.embedding_path, model.options
    if not data:
        return None
    graph = read_graph(data, path)
    refuse_unsafe(graph, path)
    inputs = {value.name: value.dtype for value in graph.inputs}
    others = sorted(set(inputs) - set(_TOKEN_INPUTS))
    made = {value.name: value.dtype for value in graph.outputs}
    if others or plan.fed.name not in made or made[plan.fed.name] not in FLOATS:
        what = f"makes {', '.join(sorted(made))} of {', '.join(sorted(inputs))}"
        hint = f"it has to make {plan.fed.name} of {' and '.join(_TOKEN_INPUTS)}"
        raise ModelRefused(what, where=path, field="embedding", hint=hint)
    try_bytes(data, None, options.optimization, path)
    return Embedding(Session(data, options.optimization, threads, path), inputs, plan.fed.name)
