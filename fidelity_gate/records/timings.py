"""Timings: what a device is given to run, and what it said of it, always with the machine that it ran on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from fidelity_gate.records.models import Depth, ModelFacts, Options


class Part(StrEnum):
    """What one timed run is."""

    STEP = "step"  # one ACT step
    PUZZLE = "puzzle"  # the whole recursion of one probe


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
    """

    name: str
    facts: ModelFacts
    depth: Depth
    part: Part | None
    memory: bool
    opener: str
    files: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Memory:
    """The most resident memory of a process that opened one model and ran one probe."""

    peak_bytes: int
    imports_bytes: int  # as much of it was reached before the file was opened: the interpreter and its libraries


@dataclass(frozen=True, slots=True)
class DeviceRun:
    """What a device said of one model."""

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


@dataclass(frozen=True, slots=True)
class DeviceRecord:
    """A device of the policy, and the machine behind it when something was measured."""

    name: str
    use: str
    options: Options
    machine: Options
