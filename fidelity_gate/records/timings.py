"""Timings: what a device is given to run, and what it said of it, always with the machine that it ran on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from fidelity_gate.records.models import Depth, ModelFacts, Options

if TYPE_CHECKING:
    from numpy.typing import NDArray


_ANY_UNIT = ("", "all", "unstated")  # what a job asks for where the compute unit does not matter


class Part(StrEnum):
    """What one timed run is."""

    STEP = "step"  # one ACT step
    PUZZLE = "puzzle"  # the whole recursion of one probe


@dataclass(frozen=True, slots=True, eq=False)
class StepFile:
    """The step graph that a model is, for a device that runs the graph alone and not the recursion around it.

    Attributes:
        data: its own file, as it was hashed.
        digest: SHA-256 of `data`; the model's digest covers files beside it too.
        feeds: every input of the graph, in its order -> what its first run on the first probe is fed.
        outputs: in the graph's own order.
        runs: how many runs of the graph make one ACT step.
    """

    data: bytes
    digest: str
    feeds: Mapping[str, NDArray[Any]]
    outputs: tuple[str, ...]
    runs: int


@dataclass(frozen=True, slots=True, eq=False)
class Workload:
    """One model at its depth, on one probe, for a device that runs it in a process of its own.

    Attributes:
        name: the model's name in the policy.
        facts: what was hashed; whoever opens the file again must come to the same digest.
        depth: how deep it runs.
        part: what to time; None: nothing.
        memory: whether to measure memory.
        opener: "module:function" that opens the model again: (Job, threads) -> (Recursion, one probe, Depth).
        files: plain names -> bytes, which the opener finds in its job's inputs.
        base: the folder that relative paths among the device's options are against; "" for the working folder.
        graph: the model as a step graph, for devices with `runs_graphs`; None: it is none.
        compiled: whether the size of the file that the device really runs has to be known.
        tell: takes what a long wait is waiting for, in a few words.
    """

    name: str
    facts: ModelFacts
    depth: Depth
    part: Part | None
    memory: bool
    opener: str
    files: Mapping[str, bytes]
    base: str = ""
    graph: StepFile | None = None
    compiled: bool = False
    tell: Callable[[str], None] | None = None


@dataclass(frozen=True, slots=True)
class Memory:
    """The most resident memory of a process that opened one model and ran one probe."""

    peak_bytes: int
    imports_bytes: int  # as much of it was reached before the file was opened: the interpreter and its libraries


@dataclass(frozen=True, slots=True)
class UnitShare:
    """What one kind of compute unit did of a graph, as a device's profile says."""

    unit: str  # "npu", "gpu", "cpu", or "unknown"
    layers: int
    seconds: float | None = None  # of all its layers; None where the profile gives no times
    types: tuple[tuple[str, int], ...] = ()  # layer type -> layers of it: the few most frequent


@dataclass(frozen=True, slots=True)
class DeviceJob:
    """The job of a device service behind a run: what really ran, where, and when. All of it is read back, not asked."""

    id: str
    url: str
    device: str  # "Samsung Galaxy S24"
    os: str  # "14"
    runtime: str  # "onnx", "tflite", "qnn_dlc"
    compute_unit: str  # "npu", "gpu", "cpu", "all"
    model_digest: str  # SHA-256 of the step graph that was uploaded
    finished: str  # ISO 8601, UTC
    simulated: bool  # no device ran it
    options: str = ""  # of the service's compiler and profiler, as they were sent

    @property
    def anywhere(self) -> bool:
        """Return whether it does not matter which compute unit runs it."""
        return self.compute_unit in _ANY_UNIT

    def allows(self, unit: str) -> bool:
        """Return whether a layer may run on a compute unit: it was asked for, or any will do."""
        return self.anywhere or unit in self.compute_unit.split(",")


@dataclass(frozen=True, slots=True)
class DeviceProfile:
    """What a device's profile says of one run of a graph beside its times; None: it does not say."""

    shares: tuple[UnitShare, ...] = ()
    estimated_seconds: float | None = None  # the service's own one figure; by some reports its fastest run
    first_load_seconds: float | None = None
    warm_load_seconds: float | None = None
    compiled_bytes: int | None = None  # of the compiled model's file
    process_peak_bytes: int | None = None  # the process's peak at inference
    inference_peak_bytes: tuple[int, int] | None = None  # what inference itself reached: lowest and highest of the runs

    @property
    def main_unit(self) -> str:
        """Return the compute unit that ran most layers; "" where the profile tells of none."""
        most = max(self.shares, key=lambda share: share.layers, default=None)
        return most.unit if most is not None and most.layers else ""


@dataclass(frozen=True, slots=True)
class DeviceRun:
    """What a device said of one model.

    A device that runs a step graph once a job knows `run_seconds`; the seconds of ACT steps and puzzles follow from
    them (runs a step, steps a puzzle, and what the host adds), which `told` says.
    """

    device: str = ""  # its name in the policy
    plug: str = ""  # "host-cpu"
    machine: Options = ()  # what it ran on: processor, system, threads, runtime
    step_seconds: tuple[float, ...] = ()  # one a timed ACT step, in order
    puzzle_seconds: tuple[float, ...] = ()  # one a timed puzzle, in order
    max_spread: float | None = None  # above it a latency is not believed
    busy: float | None = None  # share of the timed runs' time that their process had a processor; 1: all of it
    memory: Memory | None = None
    memory_gap: str = ""  # why there is no memory
    gap: str = ""  # why there is nothing at all
    run_seconds: tuple[float, ...] = ()  # one a timed run of the graph, in order
    told: str = ""  # how step and puzzle seconds follow from run seconds, for people
    runs_a_step: int = 0  # runs of the graph that make one ACT step; 0 where runs are not what was timed
    host_seconds: float = 0.0  # what the host adds to every run, as the policy states it
    job: DeviceJob | None = None  # None: ran here and now
    profile: DeviceProfile | None = None

    def step_of(self, run_seconds: float) -> float:
        """Return how long an ACT step takes whose runs take so long each, with what the host adds."""
        return self.runs_a_step * (run_seconds + self.host_seconds)


@dataclass(frozen=True, slots=True, eq=False)
class DeviceInference:
    """What a device computed of the entries that it was sent.

    Attributes:
        outputs: output of the step graph, by the graph's own name -> one array an entry, in the order of the entries,
            in the shape and element type that the graph declares.
        run: what ran it: `machine`, and `job` for a service (the last, where it took several); times where the same job
            gave them too.
    """

    outputs: Mapping[str, Sequence[NDArray[Any]]]
    run: DeviceRun


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """A device of the policy, and the machine behind it when something was measured."""

    name: str
    use: str
    options: Options
    machine: Options
