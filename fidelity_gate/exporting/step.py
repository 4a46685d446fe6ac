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


@dataclass(frozen=True, slots=True, eq=False)
class ExportedStep:
    """A step graph, not written yet."""

    data: bytes
    metadata: StepMetadata
    nodes: int
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
        what = f"a {facts.family or facts.file_format} model cannot be exported"
        raise ModelRefused(what, where=facts.path, hint=f"only {' and '.join(FAMILIES)} have a step graph here")
    told = dict(facts.architecture)
    for field in ("h_cycles", "l_cycles"):
        if not told[field]:
            raise ModelRefused("is not declared in the file", where=facts.path, field=field, hint=f"--model {field}=N")
    return Depth(int(told["h_cycles"] or 0), int(told["l_cycles"] or 0), int(told["steps"] or steps or USUAL_STEPS))


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
    proto = maker.step()
    return ExportedStep(conversion.serialized(proto, metadata.properties()), metadata, len(proto.graph.node), embedding)


class _Maker:
    """One model, loaded once."""

    def __init__(self, model: OpenedModel, plan: ExportPlan, depth: Depth) -> None:
        self.plan = plan
        self.core = _core(model)
        self.roles = {tensor.name: tensor.role for tensor in model.facts.tensors}
        cycles = depth.h_cycles if plan.unit is Unit.ACT_STEP else 1
        self.unrolled = Depth(cycles, depth.l_cycles)
        self.seq_len = self.core.blueprint.seq_len
        if not self.seq_len:
            what = "is not known, and a step graph is made for one number of tokens"
            raise ModelRefused(what, where=model.facts.path, field="seq_len", hint="--model seq_len=81")

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
