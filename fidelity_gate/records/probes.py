"""Probes: the rows both models step on. Shapes use N probes, S tokens, T frames."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Probes:
    """Inputs to step both models on, one row a probe.

    A probe is either a row of tokens, which a model sees whole at every step, or a row of frames (chunks of a signal):
    step t is given frame t, `inputs[:, t - 1]`, and nothing else.
    """

    inputs: NDArray[Any]  # (N, S) int32 tokens; where `frames`, (N, T, ...) float32
    labels: NDArray[np.int32] | None  # (N, S'), `ignore_label` where a cell does not count
    identifiers: NDArray[np.int32]  # (N,) puzzle identifiers; zeros where the model has none
    digest: str
    source: str  # where they came from, for people
    ignore_label: int = -100
    grid: tuple[int, int] | None = None  # rows, columns, where a probe is a grid
    answer_slice: tuple[int, int] | None = None  # token span that labels speak about, where not all
    frames: bool = False  # whether every step is given a frame of its own
    symbols: tuple[str, ...] = ()  # how tokens are shown to people, by token; beyond them: as numbers

    def __len__(self) -> int:
        """Return N."""
        return int(self.inputs.shape[0])

    def rows(self, start: int, stop: int) -> Probes:
        """Return the probes `start` to `stop` (views, not copies), under the digest of the whole."""
        labels = None if self.labels is None else self.labels[start:stop]
        return replace(self, inputs=self.inputs[start:stop], labels=labels, identifiers=self.identifiers[start:stop])
