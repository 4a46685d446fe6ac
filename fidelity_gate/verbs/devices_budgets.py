"""Which recorded profiles meet a budget, and by how much the others miss it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fidelity_gate.bounds import is_met
from fidelity_gate.device_records.comparing import middle
from fidelity_gate.device_records.saved import Origin, fault
from fidelity_gate.errors import ExitCode
from fidelity_gate.records import Bound, Direction
from fidelity_gate.text import printable
from fidelity_gate.units import format_against, format_exact, format_value

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fidelity_gate.device_records.saved import SavedProfile

STEP, MEMORY, SIZE = "step", "peak memory", "file size"
STATISTICS = ("p50", "p90", "min", "estimated")
_FEWEST = {"p90": 10}  # below it a percentile is the slowest run under another name
_PERCENT = {"p90": 90, "min": 0}


@dataclass(frozen=True, slots=True)
class Budget:
    """What a figure may be at most; `limit` in seconds or bytes."""

    what: str  # STEP, MEMORY or SIZE
    limit: float

    @property
    def unit(self) -> str:
        """Return the unit of the figure."""
        return "seconds" if self.what == STEP else "bytes"

    @property
    def text(self) -> str:
        """Return `step <= 30 ms`."""
        return f"{self.what} <= {short(format_exact(self.limit, self.unit))}"


@dataclass(frozen=True, slots=True)
class Standing:
    """How one profile stands to one budget."""

    record: SavedProfile
    budget: Budget
    observed: float | None  # None: not known, and `told` says why
    told: str  # which figure it is

    @property
    def met(self) -> bool:
        """Return whether there is a figure, and it is within the budget."""
        return self.observed is not None and is_met(self.observed, Bound(maximum=self.budget.limit), Direction.LOWER)

    @property
    def line(self) -> str:
        """Return `misses  27.23 ms, ...` for people."""
        record = self.record
        parts = (record.name, record.device, record.runtime)
        name = printable(", ".join(part for part in parts if part), 160)
        if self.observed is None:
            return f"unknown  {name}: {self.told}"
        limit, unit = self.budget.limit, self.budget.unit
        shown = short(format_against(self.observed, limit, unit)[0])
        apart = short(format_value(abs(self.observed - limit), unit))
        if self.met:
            return f"meets    {name}: {shown} ({self.told}), {apart} to spare"
        return f"misses   {name}: {shown} ({self.told}), {apart} too much, {self.observed / limit:.3g} times the budget"


@dataclass(frozen=True, slots=True)
class Reading:
    """How to read figures of records.

    Attributes:
        statistic: of the timed runs; a record that holds no runs has one figure, which then counts by its own name.
        runs_per_step: where a record does not say; None: then no step is known.
    """

    statistic: str = "p50"
    runs_per_step: int | None = None

    def standing(self, record: SavedProfile, budget: Budget) -> Standing:
        """Return how a record stands to a budget; one whose figures cannot be stands nowhere."""
        wrong = fault(record)
        if wrong:
            return Standing(record, budget, None, wrong)
        observed, told = {STEP: self._step, MEMORY: _memory, SIZE: _size}[budget.what](record)
        return Standing(record, budget, observed, told)

    def _step(self, record: SavedProfile) -> tuple[float | None, str]:
        runs = record.runs_per_step or self.runs_per_step
        if runs is None:
            return None, "nothing says how many runs make a step (--runs-per-step)"
        seconds, told = figure(record, self.statistic)
        if seconds is None:
            return None, told
        counted = told if runs == 1 else f"{told}, {runs} runs a step"
        return runs * (seconds + record.host_seconds), counted


def figure(record: SavedProfile, statistic: str) -> tuple[float | None, str]:
    """Return seconds of one run, and which figure that is; None and why not."""
    single = record.profile.estimated_seconds
    if record.origin is Origin.PUBLISHED and not record.run_seconds:
        return single, "one figure"
    if statistic == "estimated":
        return single, "the service's estimate" if single is not None else "no estimate of the service was recorded"
    ordered = sorted(record.run_seconds)
    if len(ordered) < _FEWEST.get(statistic, 1):
        return None, f"{statistic} of {len(ordered)} runs says nothing"
    last = len(ordered) - 1
    if statistic == "p50":
        return middle(record.run_seconds), f"p50 of {len(ordered)} runs"
    return ordered[last - (100 - _PERCENT[statistic]) * last // 100], f"{statistic} of {len(ordered)} runs"


def exit_code(standings: Iterable[Standing]) -> ExitCode:
    """Return 1 where a budget is missed, 3 where one could not be told, else 0."""
    all_of_them = tuple(standings)
    if any(one.observed is not None and not one.met for one in all_of_them):
        return ExitCode.FAILED
    return ExitCode.PASSED if all(one.met for one in all_of_them) else ExitCode.UNDECIDED


def short(text: str) -> str:
    """Return a number of bytes in one system of units only."""
    return text.partition(" (")[0]


def _memory(record: SavedProfile) -> tuple[float | None, str]:
    """Return the largest figure of memory that a record holds: no budget is met by choosing the smaller one."""
    profile = record.profile
    named = {
        "the process's peak": profile.process_peak_bytes,
        "inference's peak": profile.inference_peak_bytes[1] if profile.inference_peak_bytes else None,
        "a peak, unnamed": record.peak_bytes,
    }
    known = {name: size for name, size in named.items() if size is not None}
    if not known:
        return None, "no figure of memory was recorded"
    name = max(known, key=lambda name: known[name])
    return float(known[name]), name


def _size(record: SavedProfile) -> tuple[float | None, str]:
    size = record.file_bytes
    return (None, "the size of its file was not recorded") if size is None else (float(size), "its file")
