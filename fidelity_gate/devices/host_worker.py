"""The child's side of `host-cpu`: opens the model again, runs it, and says how long it took or what memory it had.

Time and memory are taken in processes of their own: one that times has many runs behind it, and one that weighs has to
have imported every library before the model, so that it can tell the two apart.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from fidelity_gate.arrays import quiet
from fidelity_gate.devices.host_facts import peak_bytes
from fidelity_gate.devices.stopwatch import Plan, Taken, by_puzzle, by_step
from fidelity_gate.records import Part

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from fidelity_gate.protocols import Recursion
    from fidelity_gate.records import Carry, Depth, Probes, StepState
    from fidelity_gate.sandbox import Job, Json

    Opened = tuple[Recursion, Probes, Depth]

RUNTIMES = ("onnxruntime", "torch")


def timed(job: Job) -> dict[str, Json]:
    """Run the model, and time it.

    Args:
        job: `request` holds `opener`, `threads`, `part` ("step", "puzzle", or "" for one run that is not timed),
            `warmup` and `runs`, and what the opener wants.

    Returns:
        `{"steps": [nanoseconds, ...], "puzzles": [...], "busy": 0.99, "runtime": "torch 2.13.0", "modules": [...]}`;
        `busy` is the processor's time by the clock's, and the modules are all that were imported, in that order.
    """
    request = job.request
    model, probe, depth = _opened(job)

    def start() -> Generator[StepState, Carry | None, None]:
        return model.run(probe, depth)

    with _undisturbed(int(str(request["threads"]))):
        wall, processor = time.perf_counter_ns(), time.process_time_ns()
        taken = _taken(start, str(request["part"]), _plan(job, depth))
        wall, processor = time.perf_counter_ns() - wall, time.process_time_ns() - processor
    return {
        "busy": min(1.0, processor / max(wall, 1)),
        "steps": list(taken.steps),
        "puzzles": list(taken.puzzles),
        "runtime": _runtime(),
        "modules": _modules(),
    }


def weighed(job: Job) -> dict[str, Json]:
    """Run the model once, and say how much memory that took.

    Args:
        job: as for `timed`, and `modules`: what to import before the model is opened.

    Returns:
        `{"imports_bytes": ..., "peak_bytes": ...}`.
    """
    names = job.request["modules"]
    for name in names if isinstance(names, list) else ():
        # A module may be imported by its package alone, or under conditions that its first import did not meet.
        with contextlib.suppress(ImportError, AttributeError):
            importlib.import_module(str(name))
    imports = peak_bytes()
    model, probe, depth = _opened(job)
    with quiet(int(str(job.request["threads"]))):
        by_puzzle(lambda: model.run(probe, depth), Plan(depth.steps, warmup=0, runs=1))
    return {"imports_bytes": imports, "peak_bytes": peak_bytes()}


def _opened(job: Job) -> Opened:
    """Return the model ready to step, one probe, and the depth."""
    module, _, attribute = str(job.request["opener"]).partition(":")
    opener: Callable[[Job, int], Opened] = getattr(importlib.import_module(module), attribute)
    return opener(job, int(str(job.request["threads"])))


def _plan(job: Job, depth: Depth) -> Plan:
    return Plan(depth.steps, warmup=int(str(job.request["warmup"])), runs=int(str(job.request["runs"])))


def _taken(start: Callable[[], Generator[StepState, Carry | None, None]], part: str, plan: Plan) -> Taken:
    if part == Part.STEP:
        return by_step(start, plan)
    if part == Part.PUZZLE:
        return by_puzzle(start, plan)
    by_puzzle(start, Plan(plan.steps, warmup=0, runs=1))
    return Taken()


@contextlib.contextmanager
def _undisturbed(threads: int) -> Generator[None, None, None]:
    """Run models on so many threads, without gradients, and with no garbage collected meanwhile (as `timeit` does)."""
    gc.collect()
    gc.disable()
    try:
        with quiet(threads):
            yield
    finally:
        gc.enable()


def _runtime() -> str:
    """Return what ran the model: whichever runtimes are loaded, with their versions."""
    found = []
    for name in RUNTIMES:
        if name in sys.modules:
            with contextlib.suppress(PackageNotFoundError):
                found.append(f"{name} {version(name)}")
    return ", ".join(found) or f"numpy {version('numpy')}"


def _modules() -> list[Json]:
    """Return the modules that can be imported by their name again, in the order in which they were."""
    return [name for name, module in sys.modules.items() if _importable(name, module)]


def _importable(name: str, module: object) -> bool:
    spec = getattr(module, "__spec__", None)
    return name != "__main__" and spec is not None and getattr(spec, "name", "") == name
