"""onnxruntime on the CPU, set up so that equal runs give equal bits: threads, order and optimizations are pinned."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fidelity_gate.errors import ModelRefused, OutOfMemory
from fidelity_gate.heap import give_back
from fidelity_gate.heavy import onnxruntime_module
from fidelity_gate.models.onnx_options import Optimization

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

PROVIDERS = ("CPUExecutionProvider",)
_ERRORS_ONLY = 3
# Folds a transposition into the product behind it, whose weight is then not packed beforehand: the products of a TRM
# that mixes tokens took 1.4 times as long, those of attention the same.
_SLOWER = ("MatmulTransposeFusion",)
# Otherwise a product with weights of 8 or 4 bits may round its activations to 8 bits, which the graph does not say.
_AS_WRITTEN = {"session.qdq_matmulnbits_accuracy_level": "0"}
_CONFIG = "ORT_LOAD_CONFIG_FROM_MODEL"  # lets a model file replace the session options below
_LEVELS = {
    Optimization.ALL: "ORT_ENABLE_ALL",
    Optimization.EXTENDED: "ORT_ENABLE_EXTENDED",
    Optimization.BASIC: "ORT_ENABLE_BASIC",
    Optimization.OFF: "ORT_DISABLE_ALL",
}
_NO_MEMORY = ("allocate memory", "bad_alloc", "bad allocation")


class Session:
    """One graph in memory, on the CPU."""

    def __init__(self, data: bytes, optimization: Optimization, threads: int, where: str) -> None:
        """Load a graph from the bytes that were hashed.

        The memory arena and the memory pattern are off: they keep what one run needed for the next, which at 16 probes
        a run is more than the weights.

        Raises:
            NotMeasured: onnxruntime is not installed.
            ModelRefused: onnxruntime does not take the graph.
            OutOfMemory: there is none left.
        """
        self._where = where
        runtime = onnxruntime_module(where)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = runtime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = getattr(runtime.GraphOptimizationLevel, _LEVELS[optimization])
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        options.use_deterministic_compute = True
        options.log_severity_level = _ERRORS_ONLY
        for key, value in _AS_WRITTEN.items():
            options.add_session_config_entry(key, value)
        with _without_config():
            try:
                # Without a fallback: it would print, and there is no other provider to fall back to.
                self._session: Any = runtime.InferenceSession(
                    data, options, providers=list(PROVIDERS), disabled_optimizers=list(_SLOWER), enable_fallback=0
                )
            except Exception as error:  # onnxruntime's errors have no public base of their own
                raise self._told(error, "does not take it") from error
        self._session._model_bytes = None  # the whole file, kept for another provider to fall back to: there is none
        give_back()

    def run(self, outputs: Sequence[str], feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Return these outputs; arrays of their own memory.

        Raises:
            ModelRefused: the run fails, for instance on tokens beyond a table.
            OutOfMemory: there is no memory left.
        """
        try:
            found: list[NDArray[Any]] = self._session.run(outputs, feeds)
        except Exception as error:
            raise self._told(error, "fails to run it") from error
        return found

    def _told(self, error: Exception, what: str) -> Exception:
        text = str(error)
        if any(sign in text.lower() for sign in _NO_MEMORY):
            return OutOfMemory(f"onnxruntime {what}: no memory is left", where=self._where)
        return ModelRefused(f"onnxruntime {what}: {_words(text)}", where=self._where)


def _words(text: str) -> str:
    """Return what onnxruntime says, without the codes and source lines before it."""
    return text.rpartition("Status Message: ")[2].strip() or "no reason is given"


@contextmanager
def _without_config() -> Iterator[None]:
    """Keep model files from choosing their own session options."""
    before = os.environ.pop(_CONFIG, None)
    try:
        yield
    finally:
        if before is not None:
            os.environ[_CONFIG] = before
