"""Writes the carries of a trace to a safetensors file, state by state: memory stays flat whatever the file's size."""

from __future__ import annotations

import contextlib
import json
import math
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from fidelity_gate import arrays
from fidelity_gate.files import writing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from fidelity_gate.records import StepState

MARK = "fidelity_gate_trace"
VERSION = "1"
LOGITS, HALT = "logits", "halt"
_CODES = {"float16": "F16", "float32": "F32", "float64": "F64"}
_ALIGNMENT = 8


def is_trace(head: bytes) -> bool:
    """Return whether a file with these first bytes is one that this module wrote."""
    return head[8:].startswith(f'{{"__metadata__":{{"{MARK}":'.encode())


class TraceFile:
    """An open trace file. Every tensor is (probes, steps, ...); all space is laid out by the first state."""

    def __init__(self, handle: BinaryIO, probes: int, steps: int, facts: Mapping[str, str]) -> None:
        self._handle = handle
        self._probes = probes
        self._steps = steps
        self._facts = facts
        self._offsets: dict[str, int] = {}  # name -> where its data begins in the file
        self.shapes: dict[str, tuple[int, ...]] = {}

    def put(self, first_probe: int, step: int, state: StepState) -> None:
        """Write one batch after one step.

        Args:
            first_probe: row of the batch's first probe.
            step: from 1.
            state: the batch's carry and heads.
        """
        tensors = _tensors(state)
        if not self._offsets:
            self._lay_out(tensors)
        for name, tensor in tensors.items():
            row_bytes = tensor[0].nbytes
            for row, values in enumerate(tensor, start=first_probe):
                self._handle.seek(self._offsets[name] + (row * self._steps + step - 1) * row_bytes)
                self._handle.write(values.tobytes())

    def _lay_out(self, tensors: dict[str, NDArray[Any]]) -> None:
        """Write the header, and make the file as long as it will be."""
        header: dict[str, Any] = {"__metadata__": {MARK: VERSION, **dict(sorted(self._facts.items()))}}
        ends = 0
        for name, tensor in tensors.items():
            self.shapes[name] = (self._probes, self._steps, *tensor.shape[1:])
            begin, ends = ends, ends + math.prod(self.shapes[name]) * tensor.itemsize
            header[name] = {
                "dtype": _CODES[arrays.dtype_of(tensor)],
                "shape": list(self.shapes[name]),
                "data_offsets": [begin, ends],
            }
        text = json.dumps(header, separators=(",", ":"), allow_nan=False).encode()
        text += b" " * (-len(text) % _ALIGNMENT)
        self._handle.write(len(text).to_bytes(8, "little") + text)
        base = self._handle.tell()
        self._offsets = {name: base + header[name]["data_offsets"][0] for name in tensors}
        self._handle.truncate(base + ends)


@contextlib.contextmanager
def trace_file(path: str | Path, probes: int, steps: int, facts: Mapping[str, str]) -> Iterator[TraceFile]:
    """Open a trace file that is whole when the block ends, and absent when anything goes wrong in it.

    Args:
        path: where it goes.
        probes: how many probes will be put.
        steps: how many steps of each.
        facts: what made it; stored as the file's metadata.

    Raises:
        ReportNotWritten: it cannot be written.
    """
    with writing(path) as handle:
        yield TraceFile(handle, probes, steps, facts)


def _tensors(state: StepState) -> dict[str, NDArray[Any]]:
    """Return the state's tensors as little-endian numpy arrays, the carry's streams first."""
    heads = {LOGITS: state.logits, HALT: state.halt}
    named = {**state.carry, **{name: value for name, value in heads.items() if value is not None}}
    return {name: _little(arrays.host(tensor)) for name, tensor in named.items()}


def _little(array: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
