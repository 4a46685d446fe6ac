"""Which probes of a candidate are kept to be looked at: those whose answers stray furthest. No metric, no verdict."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fidelity_gate.lazy import Postponed
from fidelity_gate.metrics import cells
from fidelity_gate.records import Exhibit, Measured

if TYPE_CHECKING:
    from typing import TypeAlias

    import numpy as np

    from fidelity_gate.metrics.cells import Cells, Mask
    from fidelity_gate.metrics.series import Numbers
    from fidelity_gate.protocols import Pair
    from fidelity_gate.records import Probes

    Rank: TypeAlias = tuple[float, float, int]  # share of agreeing cells, fidelity, row: the lowest is the worst
else:
    np = Postponed("numpy")

MOST = 4  # of a candidate
MOST_CELLS = 4096  # of a probe: a 64 x 64 maze; larger ones nobody reads
BUDGET_CELLS = 400_000  # of all candidates together: under 2 MB of a measurement file


def most_shown(probes: Probes, candidates: int) -> int:
    """Return how many probes of each candidate are kept; 0 where a probe is no row of tokens, or a very long one."""
    width = 0 if probes.frames else int(probes.inputs.shape[1])
    if not 0 < width <= MOST_CELLS:
        return 0
    return min(MOST, BUDGET_CELLS // (4 * width * max(1, candidates)))


@dataclass(slots=True, eq=False)
class Showcase:
    """Sees every pair of states as a metric's accumulator does, and keeps the worst few last ones.

    Those whose answers differ most from the reference's, and in the last place the one of the lowest fidelity.

    Attributes:
        candidate: its name.
        most: how many probes to keep.
    """

    candidate: str
    most: int
    _kept: list[tuple[Rank, Exhibit]] = field(default_factory=list)

    def observe(self, pair: Pair) -> None:
        """Take the answers of a last pair; raises NotMeasured where the models give none of the span asked for."""
        if not (self.most and pair.last and cells.decoded(pair)):
            return
        ours, theirs = cells.answers(pair.reference, pair.batch), cells.answers(pair.candidate, pair.batch)  # (B, S')
        if ours.shape[1] > MOST_CELLS:
            return
        counted = cells.answering(pair.batch, ours.shape)
        same = ((ours == theirs) & counted).sum(axis=1) / np.maximum(counted.sum(axis=1), 1)  # (B,)
        fidelity = pair.cosines(pair.streams[0]).mean(axis=1)  # (B,)
        closeness = np.nan_to_num(fidelity, nan=-np.inf)  # sums beyond any float: as far away as can be
        rows = np.arange(len(same))
        by_answer = np.lexsort((rows, closeness, same))[: self.most].tolist()
        for row in dict.fromkeys((*by_answer, int(np.argmin(closeness)))):
            rank = (float(same[row]), float(closeness[row]), pair.first_probe + row)
            self._kept.append((rank, _exhibit(self.candidate, pair, row, (ours, theirs, counted, fidelity))))
        self._kept = self._worst()

    def finish(self) -> Measured:
        """Return nothing: what is kept is no number."""
        return Measured(())

    def exhibits(self) -> tuple[Exhibit, ...]:
        """Return what was kept, the worst first."""
        return tuple(exhibit for _, exhibit in self._kept)

    def _worst(self) -> list[tuple[Rank, Exhibit]]:
        """Return the worst of what is kept, at most `most`."""
        by_answer = sorted(self._kept, key=lambda kept: kept[0])
        strayed = min(self._kept, key=lambda kept: kept[0][1:])
        if strayed in by_answer[: self.most]:
            return by_answer[: self.most]
        return [*by_answer[: self.most - 1], strayed]


def _exhibit(candidate: str, pair: Pair, row: int, seen: tuple[Cells, Cells, Mask, Numbers]) -> Exhibit:
    ours, theirs, counted, fidelity = seen
    batch = pair.batch
    tokens, close = batch.inputs[row].tolist(), float(fidelity[row])
    return Exhibit(
        candidate=candidate,
        probe=pair.first_probe + row,
        grid=batch.grid if batch.grid and math.prod(batch.grid) == len(tokens) else (1, len(tokens)),
        inputs=tuple(tokens),
        reference=tuple(ours[row].tolist()),
        answer=tuple(theirs[row].tolist()),
        start=batch.answer_slice[0] if batch.answer_slice else 0,
        labels=_labels(batch, row, counted),
        fidelity=close if math.isfinite(close) else None,
        symbols=batch.symbols,
    )


def _labels(batch: Probes, row: int, counted: Mask) -> tuple[int | None, ...]:
    """Return the right answer, where it lines up with what the models say."""
    if batch.labels is None or batch.labels.shape != counted.shape:
        return ()
    pairs = zip(batch.labels[row].tolist(), counted[row].tolist(), strict=True)
    return tuple(label if counts else None for label, counts in pairs)
