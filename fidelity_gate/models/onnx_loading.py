"""An opened step graph -> a recursion: planned, tried out in a child process, then loaded from the hashed bytes."""

from __future__ import annotations

from dataclasses import dataclass
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
    from fidelity_gate.graphs.folding import Folded
    from fidelity_gate.graphs.reading import OnnxFile
    from fidelity_gate.graphs.step_metadata import StepMetadata
    from fidelity_gate.models.onnx_beside import Beside
    from fidelity_gate.models.onnx_options import StepOptions
    from fidelity_gate.models.onnx_plan import StepPlan
    from fidelity_gate.models.onnx_step import OpenedOnnx
    from fidelity_gate.records import RunSpec

_OWN = "float32"
_TOKEN_INPUTS = ("inputs", "puzzle_identifiers")


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """What a recursion is made of.

    Attributes:
        file: the graph, read.
        data: its bytes, as they run.
        told: what its metadata says.
        options: what the policy says.
        beside: the files that it needs.
        where: its path, for errors.
    """

    file: OnnxFile
    data: bytes
    told: StepMetadata | None
    options: StepOptions
    beside: Beside
    where: str

    def plan(self) -> StepPlan:
        """Return how it is run; raises ModelRefused where it must not be, or where something is missing."""
        refuse_unsafe(self.file.graph, self.where)
        return plan_of(self.file.graph, self.options, self.told, self.where)


def loaded(model: OpenedOnnx, run: RunSpec) -> OnnxRecursion:
    """Return a step graph ready to step, after it ran in a child process.

    Raises:
        ModelRefused: it cannot be run, or must not be; or not in the precision that `run` asks for.
        NotMeasured: onnxruntime is not installed.
        Undecided: the child process that tried it hit a limit, or died.
    """
    where = model.facts.path
    if run.dtype != _OWN:
        hint = f"dtype: {_OWN}, and no bf16 noise floor, for step graphs; convert the file itself to another precision"
        what = f"is an ONNX graph, whose precision is its own, and {run.dtype} is asked for"
        raise ModelRefused(what, where=where, hint=hint)
    onnxruntime_module(where)
    told = step_metadata(model.file.graph.metadata, where)
    _refuse_left(model.without_if, where)
    parts = Parts(model.file, model.running, told, model.options, model.beside, where)
    level = model.options.optimization
    try_out(parts.data, parts.plan(), level, where)
    if model.beside.embedding:
        refuse_unsafe(read_graph(model.beside.embedding, model.beside.embedding_path), model.beside.embedding_path)
        try_bytes(model.beside.embedding, None, level, model.beside.embedding_path)
    return assembled(parts, threads=run.threads)


def _refuse_left(without_if: Folded, where: str) -> None:
    """Refuse a graph of which an If is left; raises ModelRefused."""
    if without_if.obstacle:
        raise ModelRefused(without_if.obstacle, where=where, hint=without_if.hint)


def assembled(parts: Parts, *, threads: int) -> OnnxRecursion:
    """Return a step graph ready to step; nothing is tried out.

    Raises:
        ModelRefused: it cannot be run, or must not be.
    """
    plan = parts.plan()
    starts = starts_of(plan, parts.told, parts.file, parts.beside, parts.where)
    embedding = _embedding(parts, plan, threads) if parts.beside.embedding else None
    session = Session(parts.data, parts.options.optimization, threads, parts.where)
    return OnnxRecursion(session, plan, starts, embedding)


def _embedding(parts: Parts, plan: StepPlan, threads: int) -> Embedding:
    """Return the graph that makes the input of tokens."""
    data, path = parts.beside.embedding, parts.beside.embedding_path
    graph = read_graph(data, path)
    inputs = {value.name: value.dtype for value in graph.inputs}
    others = sorted(set(inputs) - set(_TOKEN_INPUTS))
    made = {value.name: value.dtype for value in graph.outputs}
    if others or made.get(plan.fed.name) not in FLOATS:
        what = f"makes {', '.join(sorted(made))} of {', '.join(sorted(inputs))}"
        hint = f"it has to make {plan.fed.name} of {' and '.join(_TOKEN_INPUTS)}"
        raise ModelRefused(what, where=path, field="embedding", hint=hint)
    return Embedding(Session(data, parts.options.optimization, threads, path), inputs, plan.fed.name)
