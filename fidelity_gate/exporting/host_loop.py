"""An exported step graph, run as the gate runs any step graph; for checking exports before they are written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fidelity_gate.errors import Internal, ModelRefused
from fidelity_gate.graphs.reading import read_onnx
from fidelity_gate.models.onnx_beside import Beside
from fidelity_gate.models.onnx_loading import Parts, assembled
from fidelity_gate.models.onnx_options import StepOptions
from fidelity_gate.records import Depth

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.exporting.step import ExportedStep
    from fidelity_gate.records import Probes, StepState

_UNWRITTEN = "the exported graph"


class HostLoop:
    """The loop, and the sessions it runs; one thread."""

    def __init__(self, exported: ExportedStep) -> None:
        """Load the graphs; they come from our own exporter, so no child process tries them out.

        Raises:
            Internal: onnxruntime refuses them.
        """
        self.metadata = exported.metadata
        parts = Parts(
            file=read_onnx(exported.data, _UNWRITTEN),
            data=exported.data,
            told=exported.metadata,
            options=StepOptions(),
            beside=Beside(embedding=exported.embedding, embedding_path=f"{_UNWRITTEN}'s embedding"),
            where=_UNWRITTEN,
        )
        try:
            self._recursion = assembled(parts, threads=1)
        except ModelRefused as error:
            raise Internal(f"{error.where}: {error.what}", hint="another --opset may be one that it knows") from error

    @property
    def batch(self) -> int:
        """Return how many probes a run takes; 0 for any number."""
        return self._recursion.rows

    def run(self, batch: Probes, steps: int) -> Iterator[StepState]:
        """Yield the state after every ACT step.

        Args:
            batch: any number of probes.
            steps: ACT steps.
        """
        depth = self.metadata.depth
        return self._recursion.run(batch, Depth(depth.h_cycles, depth.l_cycles, steps))
