"""Runs ONNX shape inference. Lives in a child process with limits: crafted graphs make it run for hours."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fidelity_gate.sandbox import Job, Json

_LIBRARY = "onnx.onnx_cpp2py_export"


def infer(job: Job) -> Mapping[str, Json]:
    """Write the graph `skeleton.onnx` with every shape that follows, as `inferred.onnx`; nothing where none can."""
    library = _library()
    data = (job.inputs / "skeleton.onnx").read_bytes()
    try:
        found = library.infer_shapes(data, False, False, True)  # check types, be strict, propagate data
    except (library.InferenceError, RuntimeError, ValueError) as error:
        return {"failed": f"{type(error).__name__}: {error}"[:200]}
    (job.outputs / "inferred.onnx").write_bytes(found)
    return {}


def _library() -> Any:  # noqa: ANN401  (an extension module without types)
    """Return onnx's shape inference alone: all of onnx costs ten times as much to import, and none of it is needed."""
    found = importlib.util.find_spec("onnx")
    if found is not None and found.submodule_search_locations:
        bare = types.ModuleType("onnx")
        bare.__path__ = list(found.submodule_search_locations)
        sys.modules["onnx"] = bare
        try:
            return importlib.import_module(_LIBRARY).shape_inference
        except (ImportError, AttributeError):
            del sys.modules["onnx"]
    return importlib.import_module(_LIBRARY).shape_inference
