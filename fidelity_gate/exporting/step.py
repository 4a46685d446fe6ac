"""An opened model and a plan -> the bytes of its step graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fidelity_gate.errors import ModelRefused
from fidelity_gate.exporting import conversion
from fidelity_gate.exporting.plan import EMBEDDED, HEADS, IDENTIFIERS, STREAM_OUTPUTS, STREAMS, TOKENS, Embed
from fidelity_gate.files import sha256_hex
from fidelity_gate.graphs.step_metadata import StepMetadata, Unit
from fidelity_gate.records import Depth, RunSpec

if TYPE_CHECKING:
    from fidelity_gate.exporting.plan import ExportPlan
    from fidelity_gate.protocols import OpenedModel
    from fidelity_gate.records import ModelFacts

FAMILIES = ("hrm", "trm")
USUAL_STEPS = 16
_NO_LENGTH = "is not known, and a step graph is made for one number of tokens"
_LENGTH_HINT = "--inputs with puzzles of that length"


@dataclass(frozen=True, slots=True, eq=False)
class ExportedStep:
    """A step graph, not written yet."""

    data: bytes
    metadata: StepMetadata
    opset: int
    nodes: int
    inputs: tuple[str, ...]  # "z_H float32 1x16x64"
    outputs: tuple[str, ...]
    embedding: bytes = b""  # the graph that makes `x` of tokens, where the step graph does not itself


def depth_to_export(facts: ModelFacts, steps: int | None = None) -> Depth:
    """Return the cycles that a graph unrolls, and the ACT steps.

    Args:
        facts: of the model.
        steps: ACT steps where the model declares none; 16 where this is not given either.

    Raises:
        ModelRefused: no family that has cycles, or its cycles are not declared.
    """
    if facts.family not in FAMILIES:
        what = f"is a model of {facts.family or f'the format {facts.file_format}'}, which export cannot unroll"
        raise ModelRefused(what, where=facts.path, hint=f"it knows {' and '.join(FAMILIES)}")
    told = dict(facts.architecture)
    for field in ("h_cycles", "l_cycles"):
        if not told[field]:
            raise ModelRefused("is not declared in the file", where=facts.path, field=field, hint=f"--model {field}=N")
    return Depth(int(told["h_cycles"] or 0), int(told["l_cycles"] or 0), int(told["steps"] or steps or USUAL_STEPS))


def tokens_of(facts: ModelFacts) -> int:
    """Return the tokens of a probe; 0 where the weights take any number."""
    return int(dict(facts.architecture)["seq_len"] or 0)


def export_step(model: OpenedModel, plan: ExportPlan, *, steps: int | None = None) -> ExportedStep:
    """Return the step graph of a TRM or an HRM.

    Args:
        model: the opened file.
        plan: how to export.
        steps: ACT steps where the model declares none.

    Raises:
        ModelRefused: not such a model, or it lacks a fact.
        NotMeasured: torch or onnxscript is not installed.
    """
    depth = depth_to_export(model.facts, steps)
    conversion.refuse_missing()
    maker = _Maker(model, plan, depth)
    embedding = maker.embedding() if plan.embed is Embed.OUTSIDE else b""
    metadata = StepMetadata(
        family=model.facts.family,
        unit=plan.unit,
        depth=depth,
        reference_digest=model.facts.digest,
        initial=maker.initial(),
        embedding_digest=sha256_hex(embedding) if embedding else "",
    )
    graph = maker.step()
    return ExportedStep(
        data=conversion.serialized(graph, metadata.properties()),
        metadata=metadata,
        opset=graph.opset_import[0].version,
        nodes=len(graph.graph.node),
        inputs=tuple(map(_described, graph.graph.input)),
        outputs=tuple(map(_described, graph.graph.output)),
        embedding=embedding,
    )


def _described(value: Any) -> str:  # noqa: ANN401  (onnx.ValueInfoProto)
    import onnx

    tensor = value.type.tensor_type
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
    sizes = "x".join(size.dim_param or str(size.dim_value) for size in tensor.shape.dim)
    return f"{value.name} {dtype} {sizes}"


class _Maker:
    """One model, loaded once."""

    def __init__(self, model: OpenedModel, plan: ExportPlan, depth: Depth) -> None:
        self.plan = plan
        self.core = _core(model)
        self.roles = {tensor.name: tensor.role for tensor in model.facts.tensors}
        cycles = depth.h_cycles if plan.unit is Unit.ACT_STEP else 1
        self.unrolled = Depth(cycles, depth.l_cycles)
        self.seq_len = tokens_of(model.facts) or plan.seq_len
        if not self.seq_len:
            raise ModelRefused(_NO_LENGTH, where=model.facts.path, field="seq_len", hint=_LENGTH_HINT)

    def initial(self) -> dict[str, Any]:
        """Return what each stream starts from: (D,)."""
        named = zip(STREAMS, ("H_init", "L_init"), strict=True)
        return {stream: self.core.weights[weight].numpy().copy() for stream, weight in named}

    def step(self) -> Any:  # noqa: ANN401  (onnx.ModelProto)
        """Return the step graph."""
        from fidelity_gate.exporting.modules import Step, TokenStep

        module_type = TokenStep if self.plan.embed is Embed.INSIDE else Step
        module = module_type(self.core, self.roles, self.unrolled, self._tokens)
        examples = {name: self._vectors() for name in STREAMS} | self._source()
        return self._converted(module, examples, (*STREAM_OUTPUTS, *HEADS))

    def embedding(self) -> bytes:
        """Return the graph that makes `x` of tokens."""
        from fidelity_gate.exporting.modules import Embedding

        return conversion.serialized(
            self._converted(Embedding(self.core, self.roles), self._token_inputs(), (EMBEDDED,)), {}
        )

    @property
    def _tokens(self) -> int:
        return int(self.seq_len + self.core.blueprint.puzzle_emb_len)

    def _source(self) -> dict[str, Any]:
        return self._token_inputs() if self.plan.embed is Embed.INSIDE else {EMBEDDED: self._vectors()}

    def _token_inputs(self) -> dict[str, Any]:
        import torch

        inputs = {TOKENS: torch.zeros(1, self.seq_len, dtype=torch.int32)}
        if self.core.blueprint.puzzle_emb_ndim:
            inputs[IDENTIFIERS] = torch.zeros(1, dtype=torch.int32)
        return inputs

    def _vectors(self) -> Any:  # noqa: ANN401  (torch.Tensor)
        import torch

        return torch.zeros(1, self._tokens, self.core.blueprint.hidden_size)

    def _converted(self, module: Any, examples: dict[str, Any], outputs: tuple[str, ...]) -> Any:  # noqa: ANN401
        plan = self.plan
        return conversion.converted(module.eval(), examples, outputs, opset=plan.opset, batch=plan.batch)


def _core(model: OpenedModel) -> Any:  # noqa: ANN401  (TwoStream; its module imports torch)
    from fidelity_gate.models.families._two_stream import TwoStreamRecursion

    recursion = model.load(RunSpec())
    if not isinstance(recursion, TwoStreamRecursion):
        raise ModelRefused("is no recursion over two streams", where=model.facts.path)
    return recursion.core
