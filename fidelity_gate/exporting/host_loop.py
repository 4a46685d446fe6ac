"""An exported step graph under onnxruntime, its state fed back by the host, as on a device; for checking exports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fidelity_gate.errors import Internal
from fidelity_gate.exporting.plan import EMBEDDED, HEADS, IDENTIFIERS, STREAM_OUTPUTS, STREAMS, TOKENS
from fidelity_gate.graphs.step_metadata import Unit
from fidelity_gate.records import StepState

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from fidelity_gate.exporting.step import ExportedStep
    from fidelity_gate.records import Probes

_ERRORS_ONLY = 3


class HostLoop:
    """The loop, and the sessions it runs; one thread."""

    def __init__(self, exported: ExportedStep) -> None:
        """Load the graphs.

        Raises:
            Internal: onnxruntime cannot.
        """
        self.metadata = exported.metadata
        self._step = session(exported.data)
        self._embedding = session(exported.embedding) if exported.embedding else None
        self._inputs = {value.name: value for value in self._step.get_inputs()}

    @property
    def batch(self) -> int:
        """Return how many probes a run takes; 0 for any number."""
        rows = self._inputs[STREAMS[0]].shape[0]
        return rows if isinstance(rows, int) else 0

    def run(self, batch: Probes, steps: int) -> Iterator[StepState]:
        """Yield the state after every ACT step.

        Args:
            batch: as many probes as the graph takes.
            steps: ACT steps.
        """
        depth = self.metadata.depth
        runs = depth.h_cycles if self.metadata.unit is Unit.H_CYCLE else 1
        constant = self._constant(batch)
        carry = {name: self._initial(name, len(batch)) for name in STREAMS}
        for _ in range(steps):
            for _ in range(runs):
                found = self._step.run([*STREAM_OUTPUTS, *HEADS], {**constant, **carry})
                carry = dict(zip(STREAMS, found[:2], strict=True))
            yield StepState(carry, found[2], found[3])

    def _initial(self, name: str, count: int) -> NDArray[np.float32]:
        shape = (count, *self._inputs[name].shape[1:])
        return np.array(np.broadcast_to(self.metadata.initial[name], shape))

    def _constant(self, batch: Probes) -> Mapping[str, NDArray[Any]]:
        """Return what every run of the step graph is given besides its state."""
        tokens = {TOKENS: batch.inputs, IDENTIFIERS: batch.identifiers}
        if self._embedding is None:
            return {name: array for name, array in tokens.items() if name in self._inputs}
        taken = {value.name for value in self._embedding.get_inputs()}
        given = {name: array for name, array in tokens.items() if name in taken}
        return {EMBEDDED: self._embedding.run([EMBEDDED], given)[0]}


def session(data: bytes) -> Any:  # noqa: ANN401  (onnxruntime.InferenceSession)
    """Return a session on one thread of the CPU; raises Internal where onnxruntime refuses the graph."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = options.enable_mem_pattern = False
    options.log_severity_level = _ERRORS_ONLY
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's errors have no public base of their own
        hint = "another --opset may be one that it knows"
        raise Internal(f"onnxruntime refuses the exported graph: {error}", hint=hint) from error
