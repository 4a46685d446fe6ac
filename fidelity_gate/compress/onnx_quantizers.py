"""onnxruntime's own quantizers, each called so that the same model always gives the same graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from fidelity_gate.compress.onnx_runtime import workshop

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fidelity_gate.compress.onnx_choosing import Choice
    from fidelity_gate.compress.onnx_preparing import Prepared


@dataclass(frozen=True, slots=True)
class IntegerOptions:
    """How integers stand for values.

    Attributes:
        per_channel: one scale an output channel of a weight.
        symmetric: weights have no zero points.
        symmetric_activations: activations have none either.
    """

    per_channel: bool
    symmetric: bool
    symmetric_activations: bool = False


def static(
    graph: Prepared,
    choice: Choice,
    options: IntegerOptions,
    ranges: Mapping[str, tuple[float, float]],
    folder: Path,
) -> Any:  # noqa: ANN401  (onnx.ModelProto)
    """Return the model with QuantizeLinear and DequantizeLinear around what is computed: int8 weights and activations.

    Args:
        graph: prepared.
        choice: what is to be quantized.
        options: how.
        ranges: activation -> lowest and highest value.
        folder: of our own, for the tool's files.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantType
    from onnxruntime.quantization.calibrate import TensorsData
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    ends = {name: (np.array([low], np.float32), np.array([high], np.float32)) for name, (low, high) in ranges.items()}
    extra = {"WeightSymmetric": options.symmetric, "ActivationSymmetric": options.symmetric_activations}
    quantizer = QDQQuantizer(
        _inferred(graph, folder),
        options.per_channel,
        False,  # reduce_range: 7 bits, for CPUs without VNNI
        QuantType.QInt8,
        QuantType.QInt8,
        TensorsData(CalibrationMethod.MinMax, ends),  # whichever way they were picked
        [],
        list(choice.nodes),
        list(choice.op_types or static_operators()),
        extra,
    )
    quantizer.quantize_model()
    return quantizer.model.model


def static_operators() -> tuple[str, ...]:
    """Return the operators that onnxruntime quantizes with fixed scales, sorted."""
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    return tuple(sorted({*QLinearOpsRegistry, *QDQRegistry}))


def dynamic_operators() -> tuple[str, ...]:
    """Return the operators that onnxruntime quantizes with scales of the moment, sorted."""
    from onnxruntime.quantization.registry import IntegerOpsRegistry

    return tuple(sorted(IntegerOpsRegistry))


def dynamic(graph: Prepared, choice: Choice, options: IntegerOptions) -> Any:  # noqa: ANN401  (onnx.ModelProto)
    """Return the model with int8 weights, and activations quantized as they come."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with workshop() as folder:
        source, target = folder / "float.onnx", folder / "dynamic.onnx"
        source.write_bytes(graph.model.SerializeToString())
        quantize_dynamic(
            source,
            target,
            op_types_to_quantize=list(choice.op_types),
            per_channel=options.per_channel,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=list(choice.nodes),
            extra_options={"WeightSymmetric": options.symmetric, "MatMulConstBOnly": True},
        )
        return onnx.ModelProto.FromString(target.read_bytes())


def blocks(graph: Prepared, choice: Choice, *, block_size: int, symmetric: bool) -> Any:  # noqa: ANN401
    """Return the model with MatMulNBits in place of every MatMul with a constant: 4 bits, a scale a block."""
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    with workshop():
        quantizer = MatMulNBitsQuantizer(
            graph.model,
            bits=4,
            block_size=block_size,
            is_symmetric=symmetric,
            nodes_to_exclude=list(choice.nodes),
        )
        quantizer.process()
        return quantizer.model.model


def half(graph: Prepared, choice: Choice) -> Any:  # noqa: ANN401  (onnx.ModelProto)
    """Return the model in float16, inputs and outputs but for those in float32."""
    from onnxruntime.transformers.float16 import convert_float_to_float16

    with workshop():
        return convert_float_to_float16(graph.model, keep_io_types=True, node_block_list=list(choice.nodes))


def _inferred(graph: Prepared, folder: Path) -> Any:  # noqa: ANN401
    """Return the model with the types that quantizers look at."""
    from onnxruntime.quantization.quant_utils import load_model_with_shape_infer

    source = folder / "typed.onnx"
    source.write_bytes(graph.model.SerializeToString())
    return load_model_with_shape_infer(source)
