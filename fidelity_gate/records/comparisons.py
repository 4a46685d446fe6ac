"""Comparisons: what changed between two saved runs. A comparison decides nothing; each run keeps its own verdict."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from fidelity_gate.records.models import Options
from fidelity_gate.records.policies import Direction
from fidelity_gate.records.verdicts import CheckResult


class Change(StrEnum):
    """What became of one check, or of one number, from one run to the next; the first is what a reader must see."""

    REGRESSION = "regression"  # the outcome got worse, or a check that was met is gone
    REMOVED = "removed"
    ADDED = "added"
    MENDED = "mended"  # the outcome got better
    WORSE = "worse"  # the same outcome, by a worse number
    BETTER = "better"
    DIFFERENT = "different"  # another number, which is neither
    SAME = "same"


@dataclass(frozen=True, slots=True)
class SavedRun:
    """One of the two runs: the file, and what it decided.

    Attributes:
        path: of the file.
        kind: "verdict", or "measurements", which decide nothing; "" where the file was not read.
        name: of its policy.
        created: ISO 8601, UTC; "" where the file has no clock in it.
        passed: None for measurements.
        exit_code: None for measurements.
        reason: of the verdict.
    """

    path: str
    kind: str
    name: str
    created: str = ""
    passed: bool | None = None
    exit_code: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """Something beside the candidates that the two runs do not share."""

    what: str
    before: str
    after: str
    says: str  # what follows for whoever reads the numbers
    comparable: bool  # False: numbers of the two runs are of different things


@dataclass(frozen=True, slots=True)
class Paired:
    """The same probes in both runs, one by one."""

    worse: int
    better: int
    probes: int


@dataclass(frozen=True, slots=True)
class CheckChange:
    """One check of one candidate in both runs."""

    change: Change
    before: CheckResult | None
    after: CheckResult | None
    paired: Paired | None = None

    @property
    def result(self) -> CheckResult:
        """Return the later of the two: there is at least one."""
        result = self.after or self.before
        if result is None:
            raise LookupError("a change of nothing")
        return result


@dataclass(frozen=True, slots=True)
class FigureChange:
    """One number that no check of either run judges."""

    change: Change
    metric: str
    options: Options
    candidate: str
    unit: str
    direction: Direction
    aggregate: str  # "mean" over the probes; "" for metrics with one value
    before: float | None
    after: float | None
    paired: Paired | None = None


@dataclass(frozen=True, slots=True)
class ModelChange:
    """One thing about one model that is not what it was."""

    model: str
    what: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changed between two saved runs, and whether their numbers may be compared at all."""

    before: SavedRun
    after: SavedRun
    differences: tuple[Difference, ...] = ()  # those that forbid a comparison first
    models: tuple[ModelChange, ...] = ()
    checks: tuple[CheckChange, ...] = ()  # what got worse first
    figures: tuple[FigureChange, ...] = ()
    error: str = ""  # the one line, when nothing could be compared

    @property
    def comparable(self) -> bool:
        """Return whether the numbers of both runs are of the same thing."""
        return all(difference.comparable for difference in self.differences)

    @property
    def regressions(self) -> int:
        """Return how many checks got worse, or were met and are gone."""
        return sum(change.change is Change.REGRESSION for change in self.checks)
