"""Runs in a child process with limits: an ONNX graph on a dataset, or onnxruntime's own static quantizer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fidelity_gate.errors import InputsRefused, ModelRefused
from fidelity_gate.models.onnx_options import Optimization
from fidelity_gate.models.onnx_session import Session

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fidelity_gate.sandbox import Job, Json

MODEL, DATA, MADE = "model.onnx", "data.h5", "made.bin"
MARK = "simulated_by"  # key of the metadata of a quantized graph
_TYPES = {"INT4": "QInt4", "INT8": "QInt8", "INT16": "QInt16"}


def infer(job: Job) -> Mapping[str, Json]:
    """Run `model.onnx` on every sample of `data.h5`; the outputs lie in `made.bin`, as the client writes datasets.

    The request holds `faults`: of "nan-outputs", "fewer-outputs", "wrong-outputs", those that are to show.

    Raises:
        InputsRefused: the dataset does not fit the model.
        ModelRefused: onnxruntime does not run it.
    """
    import h5py  # type: ignore[import-untyped]
    from qai_hub.util.dataset_entries_converters import dataset_entries_to_h5

    data = (job.inputs / MODEL).read_bytes()
    names = _outputs(data)
    session = Session(data, Optimization.ALL, 1, "")
    rows = [session.run(names, feeds) for feeds in _samples(job.inputs / DATA, _inputs(data))]
    faults: Any = job.request["faults"]
    made = {name: [_spoiled(row[place], faults) for row in rows] for place, name in enumerate(names)}
    if "fewer-outputs" in faults:
        made = {name: arrays[:-1] for name, arrays in made.items()}
    with h5py.File(job.outputs / MADE, "w") as file:
        dataset_entries_to_h5(made, file)
    return {"samples": len(rows)}


def quantize(job: Job) -> Mapping[str, Json]:
    """Quantize `model.onnx` with ranges seen on `data.h5`; QDQ, a scale a channel. The request holds the two types."""
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    from fidelity_gate.compress.onnx_runtime import workshop

    inputs = _inputs((job.inputs / MODEL).read_bytes())
    with workshop() as folder:
        source, target = folder / "prepared.onnx", folder / "quantized.onnx"
        _prepare(job.inputs / MODEL, source)
        quantize_static(
            str(source),
            str(target),
            _Reader(_samples(job.inputs / DATA, inputs)),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            weight_type=getattr(QuantType, _TYPES[str(job.request["weights"])]),
            activation_type=getattr(QuantType, _TYPES[str(job.request["activations"])]),
        )
        model = onnx.load(str(target))
    entry = model.metadata_props.add()
    entry.key, entry.value = MARK, str(job.request["mark"])
    (job.outputs / MADE).write_bytes(model.SerializeToString())
    return {}


def _prepare(path: Path, target: Path) -> None:
    """Fold what can be folded: exporters put operators between a weight and its product, where no quantizer sees it."""
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process

    quant_pre_process(str(path), str(target), skip_symbolic_shape=True)
    model = onnx.load(str(target))
    del model.graph.value_info[:]
    onnx.save(model, str(target))


class _Reader:
    """Calibration samples, one after the other, as onnxruntime asks for them."""

    def __init__(self, samples: Iterator[Mapping[str, Any]]) -> None:
        self._samples = samples

    def get_next(self) -> Mapping[str, Any] | None:
        """Return the next sample, or None."""
        return next(self._samples, None)

    def __len__(self) -> int:
        """Return 0: how many there are is not known, and strides are not wanted."""
        return 0

    def set_range(self, start_index: int, end_index: int) -> None:
        """Do nothing: all samples are read in one go."""


def _samples(path: Path, inputs: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield what each sample feeds; raises InputsRefused where names, counts or types do not fit the model."""
    import h5py
    from qai_hub.util.dataset_entries_converters import h5_to_dataset_entries

    try:
        with h5py.File(path, "r") as file:
            entries = h5_to_dataset_entries(file)
    except (OSError, KeyError, ValueError, AssertionError, TypeError) as error:
        raise InputsRefused(f"the dataset cannot be read: {error}") from error
    if sorted(entries) != sorted(inputs):
        what = f"the dataset has {', '.join(sorted(entries)) or 'nothing'}, the model takes {', '.join(sorted(inputs))}"
        raise InputsRefused(what)
    counts = {len(arrays) for arrays in entries.values()}
    if len(counts) != 1 or 0 in counts:
        raise InputsRefused("the inputs have no samples, or not the same number of them")
    for name, arrays in entries.items():
        wrong = next((one.dtype for one in arrays if one.dtype != inputs[name]), None)
        if wrong is not None:
            raise InputsRefused(f"'{name}' holds {wrong}, the model takes {inputs[name]}")
    for place in range(counts.pop()):
        yield {name: arrays[place] for name, arrays in entries.items()}


def _inputs(data: bytes) -> dict[str, Any]:
    """Return input -> numpy type, initializers left out."""
    graph = _graph(data)
    import onnx

    held = {item.name for item in graph.initializer}
    try:
        return {
            item.name: np.dtype(onnx.helper.tensor_dtype_to_np_dtype(item.type.tensor_type.elem_type))
            for item in graph.input
            if item.name not in held
        }
    except KeyError as error:
        raise ModelRefused("has an input that is no tensor") from error


def _outputs(data: bytes) -> list[str]:
    return [item.name for item in _graph(data).output]


def _graph(data: bytes) -> Any:  # noqa: ANN401  (onnx.GraphProto)
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        return onnx.ModelProto.FromString(data).graph
    except DecodeError as error:
        raise ModelRefused("is not an ONNX model") from error


def _spoiled(array: Any, faults: list[str]) -> Any:  # noqa: ANN401  (an array)
    """Return an output with the faults that were asked for."""
    if "wrong-outputs" in faults:
        array = array + np.ones((), array.dtype) if array.dtype != bool else ~array
    if "nan-outputs" in faults and array.dtype.kind == "f" and array.size:
        array = array.copy()
        array.reshape(-1)[0] = np.nan
    return array
