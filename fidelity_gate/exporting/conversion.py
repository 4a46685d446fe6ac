"""A traced module -> one ONNX model: small, with official names, and the same bytes every time."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections import Counter
from typing import TYPE_CHECKING, Any

from fidelity_gate import __version__
from fidelity_gate.errors import Internal, NotMeasured
from fidelity_gate.exporting.operators import translations
from fidelity_gate.exporting.plan import PRODUCER

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

INSTALL = "pip install 'fidelity-gate[torch]'"
_EXAMPLE_BATCH = 2  # of a dynamic export: torch takes 0 and 1 for constants
_WEIGHT = ".weight"
_EXPORTERS_OWN = "val_"  # its names of what has none in torch
_LARGEST = 2**31 - 1  # bytes of a protobuf file


def refuse_missing() -> None:
    """Raise NotMeasured where a library that exporting needs is not installed."""
    import importlib.util

    for name in ("torch", "onnxscript"):
        if importlib.util.find_spec(name) is None:
            raise NotMeasured(f"{name} is not installed, and export needs it", hint=INSTALL)


def converted(
    module: Any,  # noqa: ANN401  (torch.nn.Module)
    examples: Mapping[str, Any],
    outputs: tuple[str, ...],
    *,
    opset: int,
    batch: int | None,
) -> Any:  # noqa: ANN401  (onnx.ModelProto)
    """Return the ONNX model of a module, cleaned of everything but the graph.

    Args:
        module: in eval mode.
        examples: input name -> tensor, one row a probe.
        outputs: names of the outputs, in order.
        opset: version of the standard operators.
        batch: rows of every input; None for any number.
    """
    import onnx_ir

    with _quietly():
        program = _exported(module, examples, outputs, opset=opset, batch=batch)
        _tidy(program.model)
        model = onnx_ir.to_proto(program.model)
    _strip(model)
    return model


def serialized(model: Any, properties: Mapping[str, str]) -> bytes:  # noqa: ANN401
    """Return the bytes of a model with this metadata; equal models give equal bytes.

    Raises:
        Internal: the model is not valid ONNX, or too large for one file.
    """
    import onnx

    onnx.helper.set_model_props(model, dict(properties))
    data: bytes = model.SerializeToString(deterministic=True)
    if len(data) > _LARGEST:
        raise Internal(f"the graph takes {len(data):,} bytes, and one ONNX file holds 2 GiB", hint="--embed outside")
    try:
        onnx.checker.check_model(data, full_check=True)
    except onnx.checker.ValidationError as error:
        raise Internal(f"the exporter wrote a model that is not valid ONNX: {error}") from error
    return data


def _exported(
    module: Any,  # noqa: ANN401
    examples: Mapping[str, Any],
    outputs: tuple[str, ...],
    *,
    opset: int,
    batch: int | None,
) -> Any:  # noqa: ANN401
    import torch

    rows = _EXAMPLE_BATCH if batch is None else batch
    given = tuple(example.expand(rows, *example.shape[1:]).clone() for example in examples.values())
    free = None
    if batch is None:
        free = tuple({0: torch.export.Dim("batch", min=1, max=2**16)} for _ in given)
    return torch.onnx.export(
        module,
        given,
        dynamo=True,
        external_data=False,
        opset_version=opset,
        verbose=False,
        input_names=list(examples),
        output_names=list(outputs),
        dynamic_shapes=free,
        custom_translation_table=translations(),
    )


def _tidy(model: Any) -> None:  # noqa: ANN401
    """Store what is equal once: shape constants, scales, tables."""
    from onnx_ir.passes import common

    common.ClearMetadataAndDocStringPass()(model)
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    common.DeduplicateInitializersPass(size_limit=_LARGEST)(model)
    common.CommonSubexpressionEliminationPass()(model)
    common.RemoveUnusedNodesPass()(model)
    common.RemoveUnusedOpsetsPass()(model)
    _name(model.graph)


def _name(graph: Any) -> None:  # noqa: ANN401
    """Name constants by number, and nodes after their weight or operator and the how-manieth of it they are."""
    constants = [name for name in graph.initializers if name.startswith(_EXPORTERS_OWN)]
    for place, name in enumerate(constants):
        graph.initializers[name].name = f"constant_{place}"
    seen: Counter[str] = Counter()
    for node in graph:
        weight = next((value.name for value in node.inputs if value is not None and value.name.endswith(_WEIGHT)), "")
        base = weight.removesuffix(_WEIGHT) or node.op_type
        node.name = f"{base}/{seen[base]}"
        seen[base] += 1


def _strip(model: Any) -> None:  # noqa: ANN401
    """Remove whatever else the exporter says of itself and of the machine it ran on."""
    model.producer_name, model.producer_version = PRODUCER, __version__
    model.doc_string = ""
    model.graph.name, model.graph.doc_string = "step", ""
    graph = model.graph
    made = {name for node in graph.node for name in node.output}
    told = [value for value in graph.value_info if value.name in made]  # constants tell their own shape
    del graph.value_info[:]
    graph.value_info.extend(told)
    for item in (model, graph, *graph.node, *graph.initializer, *graph.value_info, *graph.input, *graph.output):
        del item.metadata_props[:]
        item.doc_string = ""


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep the exporter's warnings, prints and log lines to ourselves; stderr stays, a progress bar is drawn there."""
    before = logging.root.manager.disable
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(before)
