"""latency: how long a step, or a whole puzzle, of the candidate takes on a device of the policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from fidelity_gate.bounds import mean
from fidelity_gate.errors import NotMeasured
from fidelity_gate.metrics._devices import beside, fallback, label, profile_of, refuse_elsewhere, run_on
from fidelity_gate.metrics._slowdown import slower
from fidelity_gate.records import Direction, Evidence, Measured, Part
from fidelity_gate.units import format_against, format_value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fidelity_gate.records import DeviceRun, ModelRecord

# A percentile of fewer runs is nothing but the slowest of them under another name.
FEWEST_RUNS = {"p90": 10, "p99": 100}
ESTIMATED = "estimated"
_NAMES = {Part.STEP: "ACT steps", Part.PUZZLE: "puzzles"}


@dataclass(frozen=True, slots=True)
class Latency:
    """Time that the candidate takes on a device, one probe at a time, at its depth.

    Attributes:
        device: a name of the policy's `devices:`.
        statistic: of the timed runs; p90 is the time that nine of ten runs stay under. "estimated": the one figure that
            a device service gives beside them, by some reports its fastest run; never taken unless it is asked for.
        per: "puzzle": the whole recursion; "step": one ACT step.
    """

    device: str = ""
    statistic: Literal["min", "mean", "p50", "p90", "p99", "estimated"] = "p90"
    per: Literal["puzzle", "step"] = "puzzle"

    unit: ClassVar[str] = "seconds"
    direction: ClassVar[Direction] = Direction.LOWER
    evidence: ClassVar[Evidence] = Evidence.DEVICE
    per_probe: ClassVar[bool] = False
    floored: ClassVar[bool] = False
    limits: ClassVar[tuple[float | None, float | None]] = (0.0, None)
    memory: ClassVar[bool] = False

    @property
    def part(self) -> Part:
        """Return what has to be timed."""
        return Part(self.per)

    @property
    def needs(self) -> str:
        """Return what a device has to give."""
        return "profile" if self.statistic == ESTIMATED else "seconds"

    @property
    def fewest_runs(self) -> int:
        """Return of how many runs the statistic can be told at all."""
        return FEWEST_RUNS.get(self.statistic, 1)

    def measure(self, reference: ModelRecord, candidate: ModelRecord) -> Measured:
        """Return the seconds.

        Raises:
            NotMeasured: the device could not say, or its times spread too far to be believed.
        """
        run = run_on(candidate, self.device)
        found = self._seconds(run, candidate)
        told = [self._what(run, candidate)]
        told += [slower(reference, candidate, self.device, self.part, self._seconds), fallback(run), run.told]
        told += [_summary(self._believed(run))] if self.statistic != ESTIMATED else []
        told += [beside(reference, self.device, self.unit, lambda one: self._seconds(one, reference))]
        return Measured((found,), detail="; ".join(part for part in told if part), ran_on=label(run, candidate))

    def _seconds(self, run: DeviceRun, record: ModelRecord) -> float:
        """Return the seconds; raises NotMeasured."""
        refuse_elsewhere(run)
        if self.statistic == ESTIMATED:
            return self._estimated(run, record)
        return statistic_of(self._believed(run), self.statistic)

    def _estimated(self, run: DeviceRun, record: ModelRecord) -> float:
        seconds = profile_of(run).estimated_seconds
        if seconds is None or not run.runs_a_step:
            raise NotMeasured(f"the profile of {run.device} holds no estimate of a step")
        return run.step_of(seconds) * (record.depth.steps if self.part is Part.PUZZLE else 1)

    def _what(self, run: DeviceRun, record: ModelRecord) -> str:
        """Return `p90 of 30 puzzles at H=2 L=2 steps=8`."""
        depth = f" at {record.depth}" if self.part is Part.PUZZLE else ""
        if self.statistic == ESTIMATED:
            return f"the service's own estimate of one run, as a {self.per}{depth}"
        seconds = run.step_seconds if self.part is Part.STEP else run.puzzle_seconds
        if run.run_seconds:
            return f"{self.statistic} of {len(seconds)} runs of the graph, each as a {self.per}{depth}"
        return f"{self.statistic} of {len(seconds)} {_NAMES[self.part]}{depth}"

    def _believed(self, run: DeviceRun) -> Sequence[float]:
        """Return the times, sorted; raises NotMeasured where they say too little."""
        seconds = sorted(run.step_seconds if self.part is Part.STEP else run.puzzle_seconds)
        if run.profile is not None and not run.run_seconds:
            hint = f"statistic: {ESTIMATED} takes its one figure, which is not of any known run"
            raise NotMeasured(f"the profile of {run.device} holds no times of single runs", hint=hint)
        what = f"{len(seconds)} {_NAMES[self.part]}"
        if len(seconds) < max(self.fewest_runs, 1):
            raise NotMeasured(f"{self.statistic} of {what} says nothing, it needs at least {max(self.fewest_runs, 1)}")
        if seconds[0] <= 0:
            raise NotMeasured(f"the clock of {run.device} is too coarse: {what} took no time at all")
        spread = spread_of(seconds)
        _refuse_starved(run)
        if run.max_spread is not None and not spread <= run.max_spread:
            found, allowed = format_against(spread, run.max_spread, "fraction")
            hint = "quiet the machine, or more runs"
            raise NotMeasured(f"too noisy: spread {found} over {what}, the policy allows {allowed}", hint=hint)
        return seconds


def _refuse_starved(run: DeviceRun) -> None:
    """Raise NotMeasured where the model had to wait for a processor: evenly, and the times do not even spread."""
    if run.busy is None or run.max_spread is None or not run.busy < 1 - run.max_spread:
        return
    lost, allowed = format_against(1 - run.busy, run.max_spread, "fraction")
    what = f"too busy a machine: the model waited for a processor {lost} of the time, the policy allows {allowed}"
    raise NotMeasured(what, hint="quiet the machine")


def statistic_of(ordered: Sequence[float], name: str) -> float:
    """Return a statistic of sorted times: one that was observed (but for the mean), the slower neighbour in doubt."""
    if name == "mean":
        return mean(tuple(ordered))
    last = len(ordered) - 1
    percent = 0 if name == "min" else int(name.removeprefix("p"))
    return ordered[last - (100 - percent) * last // 100]


def spread_of(ordered: Sequence[float]) -> float:
    """Return how far sorted times lie apart: (p90 - p10) / p50."""
    low = ordered[10 * (len(ordered) - 1) // 100]
    return (statistic_of(ordered, "p90") - low) / statistic_of(ordered, "p50")


def _summary(ordered: Sequence[float]) -> str:
    """Return `min 11.1 ms, p50 11.4 ms, p90 12 ms, spread 5.2 %`: no statistic that so few runs cannot tell."""
    names = [name for name in ("min", "p50", "p90", "p99") if len(ordered) >= FEWEST_RUNS.get(name, 1)]
    shown = [f"{name} {format_value(statistic_of(ordered, name), 'seconds')}" for name in names]
    return f"{', '.join(shown)}, spread {format_value(spread_of(ordered), 'fraction')}"
