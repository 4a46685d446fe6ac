"""The past: what earlier runs found, and what a check made of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from fidelity_gate.records.measurements import Measurement
from fidelity_gate.records.models import Depth, Options
from fidelity_gate.records.policies import Against, Aggregate, Bound, Direction, LintSettings, RunSpec, Target


class Standing(StrEnum):
    """How a number stands in the runs before it. A regression is a number outside of what the past allows."""

    STEADY = "steady"  # no regression, nor in the run before, and at most one in those before that
    NEW = "new"  # a regression, the first of the runs looked at
    SUSTAINED = "sustained"  # a regression, and so was the run before
    FLAKY = "flaky"  # it comes and goes: a regression after one that had gone, or none after several that came and went
    RECOVERED = "recovered"  # no regression, and the run before was one


# ---------------------------------------------------------------- a baseline


@dataclass(frozen=True, slots=True)
class PastPlace:
    """Where a device ran a model: the figures of two places are not compared."""

    device: str  # its name in the policy
    use: str  # its plug
    where: Options  # the machine, its runtime and threads; of a device service: device, system, runtime, unit, options


@dataclass(frozen=True, slots=True)
class PastModel:
    """A candidate as it was when a baseline was measured."""

    name: str
    digest: str  # of its file; told, not compared: another file is what a baseline is for
    depth: Depth
    targets: tuple[Target, ...] = ()  # what it was linted for
    places: tuple[PastPlace, ...] = ()


@dataclass(frozen=True, slots=True)
class Baseline:
    """One run, saved to hold later ones against: what was measured, and all that makes it the same thing.

    Attributes:
        measurements: without curves and noise floors.
        seal: SHA-256 of everything else in it; a slip of the hand shows, it is no signature.
    """

    tool_version: str
    created: str  # ISO 8601, UTC
    revision: str  # of the code, as whoever wrote it says
    policy_name: str
    policy_digest: str
    passed: bool
    reason: str  # of the verdict
    inputs_digest: str
    probes: int
    run: RunSpec
    reference_digest: str
    reference_depth: Depth
    lint: LintSettings | None
    candidates: tuple[PastModel, ...]
    measurements: tuple[Measurement, ...]
    seal: str = ""


# ---------------------------------------------------------------- a history


@dataclass(frozen=True, slots=True)
class PastFigure:
    """One number of an earlier run, as a check saw it."""

    metric: str
    options: Options
    aggregate: Aggregate | None
    unit: str
    direction: Direction
    value: float
    spread: float | None = None  # median absolute deviation of the timed runs behind it; None where there is one value
    regressed: bool | None = None  # against the runs before it; None: nothing was compared
    standing: Standing | None = None


@dataclass(frozen=True, slots=True)
class PastRun:
    """What one run found of one candidate on one device: a line of a history file."""

    tool_version: str
    date: str  # ISO 8601, UTC
    revision: str  # of the code, as whoever started the run says
    run_id: str  # SHA-256 of all that the run measured: the same measurement counts once
    policy_name: str
    policy_digest: str
    candidate: str
    candidate_digest: str
    depth: Depth
    device: str
    use: str
    where: Options
    job: str  # of a device service, or "": the same job counts once
    inputs_digest: str
    probes: int
    passed: bool
    reason: str  # of the verdict
    figures: tuple[PastFigure, ...]
    seal: str = ""


@dataclass(frozen=True, slots=True)
class Past:
    """What was read of the past for one judgement.

    Attributes:
        baseline: None where the policy names none.
        runs: earlier runs of the policy's candidates on its devices, oldest first; never the run that is judged.
        notes: what was wrong with the history and could be passed over, for people.
    """

    baseline: Baseline | None = None
    runs: tuple[PastRun, ...] = ()
    notes: tuple[str, ...] = ()


# ---------------------------------------------------------------- a comparison


@dataclass(frozen=True, slots=True)
class PastPoint:
    """One number of a series, oldest first."""

    date: str
    value: float
    revision: str = ""
    regressed: bool | None = None


@dataclass(frozen=True, slots=True)
class Compared:
    """What a check was held against.

    Attributes:
        against: the baseline, or the history.
        bound: what follows from the past and from the check's own ends together: the tightest ends.
        limit: what follows from the past alone; None where there is too little of it.
        old: the baseline's number, or the median of the runs; None where there is too little of them.
        noise: a difference up to this is no regression.
        runs: how many runs the median is of.
        when: the date of the baseline.
        blocked: the baseline's own run was blocked.
        regressed: whether the number is outside of `limit`; None where that was not looked at.
        standing: None without a history.
        series: earlier numbers of the same check, candidate, device and place; for pictures.
    """

    against: Against
    bound: Bound
    limit: Bound | None = None
    old: float | None = None
    noise: float = 0.0
    runs: int = 1
    when: str = ""
    blocked: bool = False
    regressed: bool | None = None
    standing: Standing | None = None
    series: tuple[PastPoint, ...] = ()
