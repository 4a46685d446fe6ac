"""Reads a step graph, lets a recipe quantize it, and counts what came of it: what all ONNX recipes share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from fidelity_gate.compress.applying import recipe_text
from fidelity_gate.compress.onnx_choosing import chosen, names_of
from fidelity_gate.compress.onnx_finishing import Aim, finished
from fidelity_gate.compress.onnx_preparing import prepared
from fidelity_gate.compress.onnx_source import source_of
from fidelity_gate.digests import row_digests
from fidelity_gate.errors import UsageError
from fidelity_gate.files import sha256_hex
from fidelity_gate.graphs.compression_metadata import CompressionMetadata

if TYPE_CHECKING:
    from fidelity_gate.compress.onnx_choosing import Choice
    from fidelity_gate.compress.onnx_preparing import Prepared
    from fidelity_gate.compress.onnx_source import Source
    from fidelity_gate.protocols import OpenedModel, Progress
    from fidelity_gate.records import OnnxArtifact, Probes, StateRange

PRODUCTS = ("Gemm", "MatMul")


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """One graph on its way through a recipe."""

    source: Source
    graph: Prepared
    choice: Choice
    probes: Probes | None
    progress: Progress | None


@dataclass(frozen=True, slots=True)
class OnnxCompression:
    """A recipe for ONNX step graphs: its subclasses say how products and their weights are quantized.

    Attributes:
        exclude: what stays float: names of nodes or weights joined by "+", with * and ?. The word carry keeps all
            activations and carry updates float, so that weights alone are quantized.
    """

    name: ClassVar[str]
    takes_calibration: ClassVar[bool] = False
    suffix: ClassVar[str] = ".onnx"
    aim: ClassVar[Aim]
    split_gemm: ClassVar[bool] = False

    exclude: str = ""

    def quantized(self, work: Work) -> tuple[Any, tuple[StateRange, ...]]:
        """Return the quantized onnx.ModelProto, and the states' ranges where calibration ran."""
        raise NotImplementedError

    def operators(self) -> tuple[str, ...]:
        """Return the operators whose products are to be quantized; none for all that the tool knows."""
        return ()

    def compress(
        self, model: OpenedModel, calibration: Probes | None, progress: Progress | None = None
    ) -> OnnxArtifact:
        """Return the compressed step graph.

        Raises:
            UsageError: no float32 step graph, an option that does not fit it, or too little could be quantized.
            ModelRefused: a weight does not fit its new type.
            NotMeasured: a state is no longer finite on the calibration puzzles.
        """
        if calibration is not None and not self.takes_calibration:
            raise UsageError(f"{self.name} looks at weights alone", field="--calibration", hint="leave it out")
        source = source_of(model, self.name)
        graph = prepared(source, split_gemm=self.split_gemm)
        choice = chosen(graph, self.operators(), PRODUCTS, self.exclude)
        made, ranges = self.quantized(Work(source, graph, choice, calibration, progress))
        told = CompressionMetadata(
            recipe=recipe_text(self),
            made_from=sha256_hex(source.opened.data),
            calibration_digest="" if calibration is None else calibration.digest,
            calibration_rows=() if calibration is None else row_digests(calibration.inputs),
            ranges=ranges,
        )
        return finished(source, made, choice, told, self.aim)


@dataclass(frozen=True, slots=True)
class OnnxIntegers(OnnxCompression):
    """An ONNX recipe with 8-bit integers.

    Attributes:
        op_types: operators to quantize, joined by "+"; empty for all that onnxruntime can.
        per_channel: one scale an output channel of a weight, or one a weight.
        symmetric: weights have no zero points.
    """

    op_types: str = ""
    per_channel: bool = True
    symmetric: bool = True

    def operators(self) -> tuple[str, ...]:
        """Return those that the option names."""
        return names_of(self.op_types)

    def refuse_operators(self, known: tuple[str, ...]) -> None:
        """Raise UsageError for an operator that the tool leaves as it is."""
        unknown = next((name for name in self.operators() if name not in known), "")
        if unknown:
            what = f"{self.name} cannot quantize {unknown}"
            raise UsageError(what, field="op_types", hint=f"it can: {', '.join(known)}")
