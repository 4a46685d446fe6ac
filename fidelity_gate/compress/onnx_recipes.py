"""Recipes that take an ONNX step graph and give one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from fidelity_gate.compress import onnx_quantizers, onnx_weights
from fidelity_gate.compress.onnx_applying import OnnxCompression, OnnxIntegers, Work
from fidelity_gate.compress.onnx_choosing import names_of
from fidelity_gate.compress.onnx_finishing import Aim
from fidelity_gate.compress.onnx_runtime import workshop
from fidelity_gate.errors import UsageError

if TYPE_CHECKING:
    from fidelity_gate.compress.onnx_calibrating import Calibrated
    from fidelity_gate.records import StateRange

_PRODUCTS = "MatMul and Gemm with a float32 matrix"


@dataclass(frozen=True, slots=True)
class OnnxInt8(OnnxIntegers):
    """8-bit weights behind a DequantizeLinear; activations, sums and states stay float32.

    Attributes:
        op_types: operators whose weights are quantized, joined by "+": MatMul, Gemm, Conv, GRU, LSTM, ...
    """

    name: ClassVar[str] = "onnx-int8"
    aim: ClassVar[Aim] = Aim("onnx-int8", 8, f"it takes {_PRODUCTS}")

    op_types: str = "MatMul+Gemm"

    def quantized(self, work: Work) -> tuple[Any, tuple[StateRange, ...]]:
        """Quantize every weight to its own range."""
        return _weights_alone(self, work), ()


@dataclass(frozen=True, slots=True)
class OnnxDynamicInt8(OnnxIntegers):
    """8-bit weights, and 8-bit activations in front of products, with a scale of the moment (quantize_dynamic).

    Attributes:
        op_types: operators to quantize, joined by "+"; a Gemm with a constant matrix counts as MatMul.
    """

    name: ClassVar[str] = "onnx-dynamic-int8"
    aim: ClassVar[Aim] = Aim("onnx-dynamic-int8", 8, "onnxruntime takes MatMul with a constant matrix on the right")
    split_gemm: ClassVar[bool] = True

    op_types: str = "MatMul"

    def operators(self) -> tuple[str, ...]:
        """Return those that the option names; every Gemm was split by now, where it could be."""
        return tuple(sorted({"MatMul" if name == "Gemm" else name for name in names_of(self.op_types)}))

    def quantized(self, work: Work) -> tuple[Any, tuple[StateRange, ...]]:
        """Let onnxruntime quantize; with exclude=carry, weights alone."""
        if work.choice.carry:
            return _weights_alone(self, work), ()
        self.refuse_operators(onnx_quantizers.dynamic_operators())
        return onnx_quantizers.dynamic(work.graph, work.choice, _options(self)), ()


@dataclass(frozen=True, slots=True)
class OnnxStaticInt8(OnnxIntegers):
    """8-bit weights and activations with fixed scales, calibrated over the whole recursion (quantize_static, QDQ).

    Without exclude, that is naive static INT8: whatever onnxruntime can quantize, the carry and its updates included.

    Attributes:
        calibrate: minmax spans all that was seen; percentile cuts the rarest values off; entropy keeps the range whose
            256 levels lose the least information.
        percentile: how many values percentile keeps, in percent.
        steps: ACT steps of a puzzle; 0 for as many as the file, or the frames of the probes, say.
        symmetric_activations: activations have no zero points either.
    """

    name: ClassVar[str] = "onnx-static-int8"
    takes_calibration: ClassVar[bool] = True
    aim: ClassVar[Aim] = Aim("onnx-static-int8", 8, f"it takes {_PRODUCTS}")

    calibrate: Literal["minmax", "percentile", "entropy"] = "minmax"
    percentile: float = 99.99
    steps: int = 0
    symmetric_activations: bool = False

    def __post_init__(self) -> None:
        """Refuse what keeps nothing, or runs never."""
        if not 50 < self.percentile <= 100:
            raise ValueError("percentile must be above 50, and at most 100")
        if not 0 <= self.steps <= 2**16:
            raise ValueError("steps must be 0 to 65536")

    def quantized(self, work: Work) -> tuple[Any, tuple[StateRange, ...]]:
        """Run the recursion, then let onnxruntime quantize; with exclude=carry, weights alone."""
        if work.choice.carry and work.probes is None:
            return _weights_alone(self, work), ()
        self.refuse_operators(onnx_quantizers.static_operators())
        with workshop() as folder:
            found = self._calibrated(work, folder)
            if work.choice.carry:
                return _weights_alone(self, work), found.states
            made = onnx_quantizers.static(work.graph, work.choice, _options(self), found.ranges, folder)
        return made, found.states

    def _calibrated(self, work: Work, folder: Any) -> Calibrated:  # noqa: ANN401  (a Path)
        from fidelity_gate.compress.onnx_calibrating import Calibration

        if work.probes is None:
            hint = "give some of the training set, or use onnx-dynamic-int8"
            raise UsageError(f"{self.name} needs calibration puzzles", field="--calibration", hint=hint)
        op_types = work.choice.op_types or onnx_quantizers.static_operators()
        how = Calibration(
            work.source.opened, work.probes, self.calibrate, self.percentile, self.steps, op_types, work.progress
        )
        return how.find(work.graph, folder)


@dataclass(frozen=True, slots=True)
class OnnxInt4(OnnxCompression):
    """4-bit weights in blocks with a scale each (MatMulNBits, round to nearest); activations stay float32.

    Attributes:
        block_size: values of a row that share a scale.
        symmetric: no zero points.
    """

    name: ClassVar[str] = "onnx-int4"
    aim: ClassVar[Aim] = Aim("onnx-int4", 4, "MatMulNBits takes MatMul with a constant matrix on the right")
    split_gemm: ClassVar[bool] = True

    block_size: Literal[16, 32, 64, 128, 256] = 32
    symmetric: bool = False

    def quantized(self, work: Work) -> tuple[Any, tuple[StateRange, ...]]:
        """Let onnxruntime quantize every block."""
        made = onnx_quantizers.blocks(work.graph, work.choice, block_size=self.block_size, symmetric=self.symmetric)
        return made, ()


@dataclass(frozen=True, slots=True)
class OnnxFp16(OnnxCompression):
    """Everything in float16 but the inputs and outputs, which stay float32; a weight beyond 65,504 is refused."""

    name: ClassVar[str] = "onnx-fp16"
    aim: ClassVar[Aim] = Aim("onnx-fp16", 16, f"it takes {_PRODUCTS}", retypes=True)

    def quantized(self, work: Work) -> tuple[Any, tuple[StateRange, ...]]:
        """Let onnxruntime convert; with exclude=carry, weights alone are stored in float16."""
        if work.choice.carry:
            return onnx_weights.as_half(work.graph, work.choice), ()
        onnx_weights.refuse_beyond_half(work.graph, work.choice)
        return onnx_quantizers.half(work.graph, work.choice), ()


def _weights_alone(recipe: OnnxIntegers, work: Work) -> Any:  # noqa: ANN401  (onnx.ModelProto)
    return onnx_weights.as_integers(work.graph, work.choice, per_channel=recipe.per_channel, symmetric=recipe.symmetric)


def _options(recipe: OnnxIntegers) -> onnx_quantizers.IntegerOptions:
    activations = isinstance(recipe, OnnxStaticInt8) and recipe.symmetric_activations
    return onnx_quantizers.IntegerOptions(recipe.per_channel, recipe.symmetric, activations)
