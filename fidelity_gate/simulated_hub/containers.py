"""Compiled models that are none: a line that says so, what they were made for, and the ONNX file they were made of."""

from __future__ import annotations

import json

from fidelity_gate.errors import ModelRefused
from fidelity_gate.files import sha256_hex

HEAD = b"simulated by fidelity-gate: no compiled model, but the ONNX file it was to be made of\n"
_LONGEST_LINE = 1000

# Target runtime of the service's compiler -> (name of its ModelType, suffix of its files).
RUNTIMES = {
    "onnx": ("MODEL_TYPE_ONNX", ".onnx"),
    "qnn_context_binary": ("MODEL_TYPE_QNN_CONTEXT_BINARY", ".bin"),
    "qnn_dlc": ("MODEL_TYPE_QNN_DLC", ".dlc"),
    "tflite": ("MODEL_TYPE_TFLITE", ".tflite"),
}


def wrapped(data: bytes, runtime: str) -> bytes:
    """Return what compiling ONNX bytes gives: for "onnx" the very same bytes, else a container that holds them."""
    if runtime == "onnx":
        return data
    line = json.dumps({"bytes": len(data), "onnx_sha256": sha256_hex(data), "runtime": runtime}, sort_keys=True)
    return HEAD + line.encode() + b"\n" + data


def unwrapped(data: bytes, where: str) -> bytes:
    """Return the ONNX bytes of a container, or the bytes themselves.

    Raises:
        ModelRefused: a container that was cut or changed.
    """
    if not data.startswith(HEAD):
        return data
    end = data.find(b"\n", len(HEAD), len(HEAD) + _LONGEST_LINE)
    try:
        told = json.loads(data[len(HEAD) : end] if end >= 0 else b"")
        inner = data[end + 1 :]
        if told["onnx_sha256"] == sha256_hex(inner):
            return inner
    except (ValueError, TypeError, KeyError, LookupError):
        pass
    raise ModelRefused("is a simulated container that was cut or changed", where=where)
