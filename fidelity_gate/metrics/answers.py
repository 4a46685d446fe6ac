"""answer_agreement and halt_agreement: does the candidate say what the reference says? No labels needed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal

from fidelity_gate.lazy import Postponed
from fidelity_gate.metrics import cells
from fidelity_gate.metrics.series import SeriesAccumulator, When, check_when
from fidelity_gate.records import Depth, Direction, Evidence

if TYPE_CHECKING:
    import numpy as np

    from fidelity_gate.metrics.cells import Mask
    from fidelity_gate.metrics.series import Numbers
    from fidelity_gate.protocols import Pair, Side
else:
    np = Postponed("numpy")


@dataclass(frozen=True, slots=True)
class AnswerAgreement:
    """Share of decoded cells (or whole puzzles) that equal the reference's, one value a probe.

    Sees damage to the output head, which no carry metric can. Where labels are given, cells that they ignore are no
    answers and do not count: a model says anything there. No label is compared with anything.

    Attributes:
        level: "cell": the share of a probe's cells; "puzzle": 1 where all cells agree, else 0.
        at: "last" (each model's own last step), "worst" (each probe's lowest step), "mean" over the steps (models that
            give an answer at every step, such as streaming ones), or a step, from 1.
    """

    level: Literal["cell", "puzzle"] = "cell"
    at: When | Literal["mean"] = "last"

    unit: ClassVar[str] = "fraction"
    direction: ClassVar[Direction] = Direction.HIGHER
    evidence: ClassVar[Evidence] = Evidence.FREE
    per_probe: ClassVar[bool] = True
    floored: ClassVar[bool] = True
    limits: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)
    dead: ClassVar[float | None] = None

    def __post_init__(self) -> None:
        """Refuse a step that no recursion has."""
        check_when(self.at)

    def accumulator(self, depth: Depth) -> SeriesAccumulator:
        """Return a fresh accumulator for one candidate."""
        number = partial(_agreeing, whole=self.level == "puzzle")
        return SeriesAccumulator(number, self.at, self.direction, absent=cells.NO_LOGITS)


@dataclass(frozen=True, slots=True)
class HaltAgreement:
    """Share of steps after which the candidate would halt exactly where the reference would, one value a probe.

    Attributes:
        at: "mean" over the steps, "last" (each model's own last step), "worst", or a step, from 1.
        rule: when a model halts. "positive": its halting logit is above 0 (TRM, which does not train the other one);
            "above-continue": it is above the continuing logit (HRM).
    """

    at: Literal["mean", "last", "worst"] | int = "mean"
    rule: Literal["positive", "above-continue"] = "positive"

    unit: ClassVar[str] = "fraction"
    direction: ClassVar[Direction] = Direction.HIGHER
    evidence: ClassVar[Evidence] = Evidence.FREE
    per_probe: ClassVar[bool] = True
    floored: ClassVar[bool] = True
    limits: ClassVar[tuple[float | None, float | None]] = (0.0, 1.0)
    dead: ClassVar[float | None] = None

    def __post_init__(self) -> None:
        """Refuse a step that no recursion has."""
        check_when(self.at)

    def accumulator(self, depth: Depth) -> SeriesAccumulator:
        """Return a fresh accumulator for one candidate."""
        number = partial(_same_halts, rule=self.rule)
        return SeriesAccumulator(number, self.at, self.direction, absent="the models have no halting head")


def _agreeing(pair: Pair, *, whole: bool) -> Numbers | None:
    if not cells.decoded(pair):
        return None
    same = cells.answers(pair.reference, pair.batch) == cells.answers(pair.candidate, pair.batch)  # (B, S')
    counted = cells.answering(pair.batch, same.shape)
    if whole:
        return np.asarray((same | ~counted).all(axis=1), dtype=np.float64)
    return cells.shares(same, counted, pair, "cell that is an answer")


def _same_halts(pair: Pair, *, rule: str) -> Numbers | None:
    if pair.reference.state.halt is None or pair.candidate.state.halt is None:
        return None
    return np.asarray(_halts(pair.reference, rule) == _halts(pair.candidate, rule), dtype=np.float64)


def _halts(side: Side, rule: str) -> Mask:
    logits = side.halting()  # (B, 2)
    return np.asarray(logits[:, 0] > (logits[:, 1] if rule == "above-continue" else 0.0))
