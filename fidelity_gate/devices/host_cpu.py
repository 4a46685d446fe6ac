"""host-cpu: the processor of the machine that the gate itself runs on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.devices import host_facts
from fidelity_gate.errors import NotMeasured, OutOfTime, Undecided, UsageError
from fidelity_gate.records import DeviceRun, Memory
from fidelity_gate.sandbox import Limits, run_limited

if TYPE_CHECKING:
    from fidelity_gate.records import Options, Scalar, Workload
    from fidelity_gate.sandbox import Json

TIMED = "fidelity_gate.devices.host_worker:timed"
WEIGHED = "fidelity_gate.devices.host_worker:weighed"
FEWEST_RUNS = 5  # with fewer, the spread says nothing
MOST_RUNS, MOST_THREADS, MOST_SECONDS = 100_000, 256, 86_400
_NANOSECONDS = 1_000_000_000  # a second
# Only against a model that runs away: the address space of a process is many times what it has resident.
_ADDRESS_SPACE = 1 << 38


@dataclass(frozen=True, slots=True)
class HostCpu:
    """The processor that the gate itself runs on, in a fresh process for every model.

    Attributes:
        threads: how many threads the runtime may use, no more than there are cores.
        warmup: runs before those that count.
        runs: runs that count.
        max_spread: the largest spread, (p90 - p10) / p50, at which a latency is believed; and the largest share of the
            time that the process may have waited for a processor.
        time_limit: seconds that one process may take; a policy writes "600 s".
    """

    threads: int = 1
    warmup: int = 3
    runs: int = 30
    max_spread: float = 0.2
    time_limit: float = 600.0

    units: ClassVar[Mapping[str, str]] = {"max_spread": "fraction", "time_limit": "seconds"}

    def __post_init__(self) -> None:
        """Refuse options with which a figure would mean nothing."""
        _within("threads", self.threads, 1, MOST_THREADS)
        _within("warmup", self.warmup, 1, MOST_RUNS)
        _within("runs", self.runs, FEWEST_RUNS, MOST_RUNS)
        _within("time_limit", self.time_limit, 1, MOST_SECONDS)
        if not 0 < self.max_spread <= 1:
            raise UsageError("must be above 0 and at most 100 %", field="max_spread", hint="20 %")

    def describe(self) -> Options:
        """Return the processor, its cores, and the system."""
        return host_facts.machine()

    def run(self, workload: Workload) -> DeviceRun:
        """Time and weigh one model, each in a process of its own.

        Raises:
            Refused: the model cannot be run, or its file is not the one that was hashed.
            Undecided: it takes too long or too much memory, or there are fewer cores than threads.
        """
        if self.threads > host_facts.cores():
            what = f"is to use {self.threads} threads, and this machine gives it {host_facts.cores()} cores"
            raise NotMeasured(what, hint="fewer threads, or another machine")
        taken = self._child(TIMED, workload, part=workload.part or "", warmup=self.warmup, runs=self.runs)
        memory, gap = self._memory(workload, taken["modules"]) if workload.memory else (None, "")
        about: dict[str, Scalar] = {"threads": self.threads, "runtime": str(taken["runtime"])}
        return DeviceRun(
            machine=tuple(sorted({**dict(self.describe()), **about}.items())),
            step_seconds=_seconds(taken["steps"]),
            puzzle_seconds=_seconds(taken["puzzles"]),
            max_spread=self.max_spread,
            busy=float(str(taken["busy"])),
            memory=memory,
            memory_gap=gap,
        )

    def _memory(self, workload: Workload, modules: Json) -> tuple[Memory | None, str]:
        try:
            told = self._child(WEIGHED, workload, modules=modules)
        except Undecided as error:  # the times are there all the same
            return None, str(error)
        return Memory(int(str(told["peak_bytes"])), int(str(told["imports_bytes"]))), ""

    def _child(self, entry: str, workload: Workload, **wanted: Json) -> dict[str, Json]:
        request = {"opener": workload.opener, "threads": self.threads, **wanted}
        limits = Limits(_ADDRESS_SPACE, int(self.time_limit), self.threads)
        where = workload.facts.path
        try:
            return dict(run_limited(entry, request, limits=limits, files=workload.files, where=where).reply)
        except OutOfTime as error:
            hint = "a larger time_limit, or fewer runs"
            raise OutOfTime(f"took longer than {self.time_limit:g} s", where=where, hint=hint) from error


def _within(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise UsageError(f"must be from {least} to {most:,}, not {value:g}", field=name)


def _seconds(nanoseconds: Json) -> tuple[float, ...]:
    return tuple(int(str(one)) / _NANOSECONDS for one in nanoseconds) if isinstance(nanoseconds, list) else ()
