"""The verdict, and the report record that every report renders."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from fidelity_gate.records.measurements import MeasurementSet
from fidelity_gate.records.past import Compared, Past
from fidelity_gate.records.policies import Bound, Check, Policy


class Outcome(StrEnum):
    """What became of one check."""

    PASS = "pass"  # noqa: S105  (an outcome, not a password)
    WARN = "warn"
    WAIVED = "waived"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    NOT_MEASURED = "not-measured"
    REFUSED = "refused"
    INTERNAL = "internal"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check judged for one candidate; numbers are raw, texts are made by the reports."""

    check: Check
    candidate: str
    outcome: Outcome
    unit: str = ""
    observed: float | None = None
    margin: float | None = None  # how far inside (positive) or outside (negative) the nearest bound
    worst_probe: int | None = None  # row of the inputs
    reason: str = ""
    compared: Compared | None = None  # where the bound is relative, and something of the past was there

    @property
    def bound(self) -> Bound:
        """Return what the number had to be within: with the ends that follow from the past, where it was compared."""
        compared = self.compared
        return self.check.bound if compared is None or compared.limit is None else compared.bound


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision, computed once. `passed` is true only when `met + waived == required` and `met > 0`."""

    policy_name: str
    policy_digest: str
    results: tuple[CheckResult, ...]
    required: int
    met: int
    passed: bool
    exit_code: int
    reason: str  # one sentence
    waived: int = 0  # required checks that are missed under a waiver


@dataclass(frozen=True, slots=True)
class Report:
    """What every report renders: the verdict and all that led to it."""

    verdict: Verdict
    policy: Policy | None
    measured: MeasurementSet | None
    created: str = ""  # ISO 8601, UTC
    error: str = ""  # the one line, when the gate was refused or broke before judging
    error_kind: Outcome | None = None
    past: Past | None = None  # what relative bounds were held against; a verdict follows from it as from `measured`
