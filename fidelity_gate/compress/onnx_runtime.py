"""onnxruntime and its quantization tools: loaded late, kept quiet, their files in a folder that is removed."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fidelity_gate.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.errors import GateError

_ERRORS_ONLY = 3


@contextlib.contextmanager
def workshop() -> Iterator[Path]:
    """Give a folder of our own to what the tools write, and keep what they print, warn and log to ourselves."""
    before = logging.root.manager.disable
    with (
        tempfile.TemporaryDirectory(prefix="fidelity-gate-") as folder,
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield Path(folder)
        finally:
            logging.disable(before)


def session(model: bytes | str, where: str, *, plain: bool = False, kind: type[GateError] = UsageError) -> Any:  # noqa: ANN401  (InferenceSession)
    """Return a session on one thread of the CPU.

    Args:
        model: the bytes, or the path of a file.
        where: the model's file, for errors.
        plain: run the operators as they stand, so that every value of the graph is there to be seen.
        kind: the error to raise.

    Raises:
        kind: onnxruntime refuses the graph.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    options.log_severity_level = _ERRORS_ONLY
    if plain:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no public base of their own
        raise kind(f"onnxruntime refuses the graph: {error}", where=where) from error
