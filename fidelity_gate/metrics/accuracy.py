"""Labelled accuracy of the candidate's answers, and how much of the reference's it loses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from fidelity_gate import bounds
from fidelity_gate.errors import NotMeasured
from fidelity_gate.lazy import Postponed
from fidelity_gate.metrics import cells
from fidelity_gate.metrics.series import Series, values
from fidelity_gate.records import Depth, Direction, Evidence, Measured

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

    from fidelity_gate.metrics.series import Numbers
    from fidelity_gate.protocols import Pair, Side

    Score: TypeAlias = Callable[[Pair, cells.Mask], Numbers]  # which cells are right (B, S') -> (B,)
else:
    np = Postponed("numpy")


@dataclass(frozen=True, slots=True)
class CellAccuracy:
    """Share of labelled cells that the candidate gets right after its last step, one value a probe."""

    unit: ClassVar[str] = "fraction"
    direction: ClassVar[Direction] = Direction.HIGHER
    evidence: ClassVar[Evidence] = Evidence.FREE
    per_probe: ClassVar[bool] = True
    floored: ClassVar[bool] = False  # against labels, not against the reference
    limits: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)
    dead: ClassVar[float | None] = None

    def accumulator(self, depth: Depth) -> _Scores:
        """Return a fresh accumulator for one candidate."""
        return _Scores(_cell_score, self.direction)


@dataclass(frozen=True, slots=True)
class ChangedCellAccuracy:
    """Share of the labelled cells that differ from the input that the candidate gets right, one value a probe.

    Copying the input scores 0 here, whatever it scores in cell accuracy.
    """

    unit: ClassVar[str] = "fraction"
    direction: ClassVar[Direction] = Direction.HIGHER
    evidence: ClassVar[Evidence] = Evidence.FREE
    per_probe: ClassVar[bool] = True
    floored: ClassVar[bool] = False
    limits: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)
    dead: ClassVar[float | None] = None

    def accumulator(self, depth: Depth) -> _Scores:
        """Return a fresh accumulator for one candidate."""
        return _Scores(_changed_score, self.direction)


@dataclass(frozen=True, slots=True)
class PuzzleExact:
    """1 where the candidate gets every labelled cell of a probe right after its last step, else 0."""

    unit: ClassVar[str] = "fraction"
    direction: ClassVar[Direction] = Direction.HIGHER
    evidence: ClassVar[Evidence] = Evidence.FREE
    per_probe: ClassVar[bool] = True
    floored: ClassVar[bool] = False
    limits: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)
    dead: ClassVar[float | None] = None

    def accumulator(self, depth: Depth) -> _Scores:
        """Return a fresh accumulator for one candidate."""
        return _Scores(_exact_score, self.direction)


@dataclass(frozen=True, slots=True)
class CellAccuracyDrop:
    """Cell accuracy of the reference minus that of the candidate, one value a probe; below 0 where it gains."""

    unit: ClassVar[str] = "fraction"
    direction: ClassVar[Direction] = Direction.LOWER
    evidence: ClassVar[Evidence] = Evidence.FREE
    per_probe: ClassVar[bool] = True
    floored: ClassVar[bool] = False
    limits: ClassVar[tuple[float | None, float | None]] = (-1.0, 1.0)
    dead: ClassVar[float | None] = None

    def accumulator(self, depth: Depth) -> _Scores:
        """Return a fresh accumulator for one candidate."""
        return _Scores(_cell_score, self.direction)


@dataclass(frozen=True, slots=True)
class PuzzleExactDrop:
    """Puzzle exact of the reference minus that of the candidate, one value a probe: 1 lost, 0 the same, -1 won."""

    unit: ClassVar[str] = "fraction"
    direction: ClassVar[Direction] = Direction.LOWER
    evidence: ClassVar[Evidence] = Evidence.FREE
    per_probe: ClassVar[bool] = True
    floored: ClassVar[bool] = False
    limits: ClassVar[tuple[float | None, float | None]] = (-1.0, 1.0)
    dead: ClassVar[float | None] = None

    def accumulator(self, depth: Depth) -> _Scores:
        """Return a fresh accumulator for one candidate."""
        return _Scores(_exact_score, self.direction)


class _Scores:
    """Scores both models and, once a batch, the copied input; a drop is what a lower-is-better metric reports."""

    def __init__(self, score: Score, direction: Direction) -> None:
        self._score = score
        self._direction = direction
        self._candidate, self._reference, self._lost = Series(), Series(), Series()
        self._copied: list[Numbers] = []

    def observe(self, pair: Pair) -> None:
        cells.labelled(pair.batch)
        if not cells.decoded(pair):
            return
        theirs, ours = self._of(pair, pair.candidate), self._of(pair, pair.reference)
        self._candidate.add(pair, theirs)
        self._reference.add(pair, ours)
        self._lost.add(pair, ours - theirs)
        if pair.last:
            labels, _ = cells.labelled(pair.batch)
            self._copied.append(self._score(pair, np.asarray(cells.given(pair.batch) == labels)))

    def finish(self) -> Measured:
        if not self._copied:
            raise NotMeasured(cells.NO_LOGITS)
        reported = self._lost if self._direction is Direction.LOWER else self._candidate
        theirs, ours = (bounds.mean(values(series.last())) for series in (self._candidate, self._reference))
        copied = bounds.mean(values(np.concatenate(self._copied)))
        if reported is self._lost:
            _refuse_nothing_to_lose(ours, copied)
        told = f"candidate {theirs:.4f}, reference {ours:.4f}, copying the input {copied:.4f} (means)"
        return Measured(values(reported.last()), reported.curve(self._direction), told)

    def _of(self, pair: Pair, side: Side) -> Numbers:
        return self._score(pair, cells.right(side, pair.batch))


def _refuse_nothing_to_lose(reference: float, copied: float) -> None:
    """Raise NotMeasured where a drop would be small whatever the candidate does, as its reference is of no use here."""
    if reference == 0:
        raise NotMeasured("the reference gets nothing right on these probes, so nothing can be lost")
    if reference < copied:
        told = f"the reference ({reference:.4f}) is worse than copying the input ({copied:.4f})"
        raise NotMeasured(f"{told}, so a drop says nothing")


def _cell_score(pair: Pair, hits: cells.Mask) -> Numbers:
    _, counted = cells.labelled(pair.batch)
    return cells.shares(hits, counted, pair, "cell with a label")


def _changed_score(pair: Pair, hits: cells.Mask) -> Numbers:
    labels, counted = cells.labelled(pair.batch)
    changed = counted & (labels != cells.given(pair.batch))
    return cells.shares(hits, np.asarray(changed), pair, "cell that its answer changes")


def _exact_score(pair: Pair, hits: cells.Mask) -> Numbers:
    return np.asarray(_cell_score(pair, hits) == 1, dtype=np.float64)
