"""Weights alone: stored narrow, and widened by one operator in front of everything that reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fidelity_gate.compress.onnx_preparing import names_in, unused
from fidelity_gate.errors import ModelRefused
from fidelity_gate.storage.integers import IntegerScheme, codes_of, grid_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fidelity_gate.compress.onnx_choosing import Choice
    from fidelity_gate.compress.onnx_preparing import Prepared
    from fidelity_gate.graphs.uses import WeightUse

_BITS = 8
_HALF_MAX = float(np.finfo(np.float16).max)
_FLOAT_CODE = 1  # TensorProto.FLOAT


def as_integers(graph: Prepared, choice: Choice, *, per_channel: bool, symmetric: bool) -> Any:  # noqa: ANN401  (onnx.ModelProto)
    """Return the model with every target behind a DequantizeLinear: 8 bits, activations as they were.

    Args:
        graph: prepared; its model is changed.
        choice: what is to be quantized.
        per_channel: one scale an output channel, where it is clear which axis counts them; else one a weight.
        symmetric: no zero points.
    """
    import onnx

    def narrow(use: WeightUse, values: NDArray[np.float32], taken: set[str]) -> Any:  # noqa: ANN401
        axis = use.out_axis % values.ndim if per_channel and use.out_axis is not None else None
        scheme = IntegerScheme(_BITS, None if axis is None else 0, symmetric)
        rows = values if axis is None else np.moveaxis(values, axis, 0)
        scale, zero = grid_of(rows, scheme)
        codes = codes_of(rows, scheme, scale, zero)
        codes = codes if axis is None else np.moveaxis(codes, 0, axis)
        parts = {"quantized": _signed(codes) if symmetric else codes, "scale": scale}
        if not symmetric:
            parts["zero"] = zero
        names = []
        for part, array in parts.items():
            names.append(unused(f"{use.name}.{part}", taken))
            whole = array.reshape(()) if part != "quantized" and axis is None else np.ascontiguousarray(array)
            graph.model.graph.initializer.append(onnx.numpy_helper.from_array(whole, names[-1]))
        node = onnx.helper.make_node("DequantizeLinear", names, [use.name], name=f"{use.name}/dequantize")
        if axis is not None:
            node.attribute.append(onnx.helper.make_attribute("axis", axis))
        return node

    return _behind(graph, choice, narrow)


def as_half(graph: Prepared, choice: Choice) -> Any:  # noqa: ANN401  (onnx.ModelProto)
    """Return the model with every target stored in float16 and cast to float32: all arithmetic as it was."""
    import onnx

    refuse_beyond_half(graph, choice)

    def narrow(use: WeightUse, values: NDArray[np.float32], taken: set[str]) -> Any:  # noqa: ANN401
        name = unused(f"{use.name}.half", taken)
        graph.model.graph.initializer.append(onnx.numpy_helper.from_array(values.astype(np.float16), name))
        return onnx.helper.make_node("Cast", [name], [use.name], name=f"{use.name}/cast", to=_FLOAT_CODE)

    return _behind(graph, choice, narrow)


def refuse_beyond_half(graph: Prepared, choice: Choice) -> None:
    """Raise ModelRefused for a weight that float16 does not hold: converters would cut it off without a word."""
    import onnx

    wanted = {use.name for use in choice.targets}
    for item in graph.model.graph.initializer:
        if item.name in wanted and not np.abs(onnx.numpy_helper.to_array(item)).max(initial=0) <= _HALF_MAX:
            raise ModelRefused(
                "holds a value that does not fit float16", where=graph.where, field=item.name, hint="exclude it"
            )


def _behind(graph: Prepared, choice: Choice, narrow: Callable[[WeightUse, NDArray[np.float32], set[str]], Any]) -> Any:  # noqa: ANN401
    """Replace every target by a node that makes it of something narrower, under its own name."""
    import onnx

    model = graph.model
    uses = {use.name: use for use in choice.targets}
    taken = names_in(model.graph)
    kept, nodes = [], []
    weights = list(model.graph.initializer)
    model.graph.ClearField("initializer")
    for item in weights:
        if item.name not in uses:
            kept.append(item)
            continue
        values = onnx.numpy_helper.to_array(item)
        if not np.isfinite(values).all():
            raise ModelRefused("holds values that are not finite", where=graph.where, field=item.name)
        nodes.append(narrow(uses[item.name], values, taken))
    model.graph.initializer.extend(kept)
    nodes += list(model.graph.node)
    model.graph.ClearField("node")
    model.graph.node.extend(nodes)
    return model


def _signed(codes: NDArray[np.uint8]) -> NDArray[np.int8]:
    return (codes.astype(np.int16) - (1 << (_BITS - 1))).astype(np.int8)
