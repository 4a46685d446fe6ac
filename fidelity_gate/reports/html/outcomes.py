"""What an outcome looks like: a word, a sign and a class, so that none is told by its colour alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fidelity_gate.records import Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fidelity_gate.records import CheckResult


@dataclass(frozen=True, slots=True)
class Mark:
    """How one outcome is shown: `kind` names its sign and its colours in the style sheet."""

    kind: str
    word: str


@dataclass(frozen=True, slots=True)
class Tally:
    """How often one outcome came up."""

    mark: Mark
    count: int


# What a reader must see first.
MARKS = {
    Outcome.INTERNAL: Mark("fail", "internal error"),
    Outcome.REFUSED: Mark("refused", "refused"),
    Outcome.FAIL: Mark("fail", "fail"),
    Outcome.NOT_MEASURED: Mark("unmeasured", "not measured"),
    Outcome.INCONCLUSIVE: Mark("inconclusive", "inconclusive"),
    Outcome.WARN: Mark("warn", "warning"),
    Outcome.WAIVED: Mark("waived", "waived"),
    Outcome.PASS: Mark("pass", "pass"),
    Outcome.OFF: Mark("off", "off"),
}
ORDER = tuple(MARKS)
UNDECIDED = (Outcome.NOT_MEASURED, Outcome.INCONCLUSIVE)
HARMLESS = (Outcome.PASS, Outcome.WARN, Outcome.WAIVED, Outcome.OFF)


def rank(result: CheckResult) -> int:
    """Return where an outcome stands among those to be shown first."""
    return ORDER.index(result.outcome)


def blocks(result: CheckResult) -> bool:
    """Return whether this check keeps the release back."""
    return result.outcome not in HARMLESS


def tallies(results: Iterable[CheckResult]) -> tuple[Tally, ...]:
    """Return how often each outcome came up, the worst first."""
    found = [result.outcome for result in results]
    return tuple(Tally(mark, found.count(outcome)) for outcome, mark in MARKS.items() if outcome in found)
