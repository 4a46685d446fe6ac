"""host-cpu: the processor of the machine that the gate itself runs on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from fidelity_gate.devices import host_facts
from fidelity_gate.errors import NotMeasured, OutOfTime, Undecided, UsageError
from fidelity_gate.records import DeviceInference, DeviceRun, Memory
from fidelity_gate.sandbox import Limits, run_limited

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fidelity_gate.records import Options, Scalar, Workload
    from fidelity_gate.sandbox import Answer, Json

TIMED = "fidelity_gate.devices.host_worker:timed"
WEIGHED = "fidelity_gate.devices.host_worker:weighed"
INFERRED = "fidelity_gate.devices.host_inferring:inferred"
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
    gives: ClassVar[frozenset[str]] = frozenset({"inference", "memory", "seconds"})

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
        self._refuse_few_cores()
        taken = self._child(TIMED, workload, part=workload.part or "", warmup=self.warmup, runs=self.runs).reply
        memory, gap = self._memory(workload, taken["modules"]) if workload.memory else (None, "")
        return DeviceRun(
            machine=self._machine(taken),
            step_seconds=_seconds(taken["steps"]),
            puzzle_seconds=_seconds(taken["puzzles"]),
            max_spread=self.max_spread,
            busy=float(str(taken["busy"])),
            memory=memory,
            memory_gap=gap,
        )

    def infer(
        self, workload: Workload, feeds: Mapping[str, Sequence[NDArray[Any]]], outputs: Sequence[str]
    ) -> DeviceInference:
        """Run the model's step graph once an entry, in a process of its own.

        Raises:
            Refused: the model cannot be run, or its file is not the one that was hashed.
            Undecided: it is no step graph, takes too long or too much memory, or there are fewer cores than threads.
        """
        # Numpy is for whoever runs models: policies, which build this class too, are judged without it.
        from fidelity_gate.devices.host_inferring import packed_feeds, unpacked_outputs

        self._refuse_few_cores()
        names: list[Json] = [*sorted(feeds)]
        request: dict[str, Json] = {"inputs": names, "outputs": [*outputs]}
        answer = self._child(INFERRED, workload, packed_feeds(feeds), **request)
        machine = self._machine(answer.reply)
        return DeviceInference(unpacked_outputs(outputs, answer.files), DeviceRun(machine=machine))

    def _memory(self, workload: Workload, modules: Json) -> tuple[Memory | None, str]:
        try:
            told = self._child(WEIGHED, workload, modules=modules).reply
        except Undecided as error:  # the times are there all the same
            return None, str(error)
        return Memory(int(str(told["peak_bytes"])), int(str(told["imports_bytes"]))), ""

    def _refuse_few_cores(self) -> None:
        if self.threads > host_facts.cores():
            what = f"is to use {self.threads} threads, and this machine gives it {host_facts.cores()} cores"
            raise NotMeasured(what, hint="fewer threads, or another machine")

    def _machine(self, told: Mapping[str, Json]) -> Options:
        about: dict[str, Scalar] = {"threads": self.threads, "runtime": str(told["runtime"])}
        return tuple(sorted({**dict(self.describe()), **about}.items()))

    def _child(self, entry: str, workload: Workload, more: Mapping[str, bytes] | None = None, **wanted: Json) -> Answer:
        request = {"opener": workload.opener, "threads": self.threads, **wanted}
        limits = Limits(_ADDRESS_SPACE, int(self.time_limit), self.threads)
        where, files = workload.facts.path, {**workload.files, **(more or {})}
        try:
            return run_limited(entry, request, limits=limits, files=files, where=where)
        except OutOfTime as error:
            hint = "a larger time_limit, or fewer runs"
            raise OutOfTime(f"took longer than {self.time_limit:g} s", where=where, hint=hint) from error


def _within(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise UsageError(f"must be from {least} to {most:,}, not {value:g}", field=name)


def _seconds(nanoseconds: Json) -> tuple[float, ...]:
    return tuple(int(str(one)) / _NANOSECONDS for one in nanoseconds) if isinstance(nanoseconds, list) else ()
