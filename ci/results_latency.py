"""How long an ACT step of a step graph takes on this machine, beside the float graph that it was made of."""

from __future__ import annotations

import math
import os
import statistics
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fidelity_gate.devices.host_facts import processor
from fidelity_gate.models.opening import open_model
from fidelity_gate.records import ModelSpec, RunSpec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from fidelity_gate.protocols import Recursion
    from fidelity_gate.records import Depth, Probes

STEPS = 240  # timed of every graph, at least
_WARM_UP = 3  # puzzles that do not count


@dataclass(frozen=True, slots=True)
class Pace:
    """What the clock said of one graph.

    Attributes:
        step: median seconds of an ACT step of one puzzle.
        ratio: to the float graph: of the median steps of puzzles right after one another, the median over puzzles.
    """

    step: float
    ratio: float


def paces(float_graph: Path, made: Mapping[str, Path], probes: Probes, depth: Depth) -> Mapping[str, Pace]:
    """Return recipe -> its pace, and that of the float graph under "".

    The graphs take turns, puzzle by puzzle, on one thread: whatever else the machine does falls on all of them.
    """
    models = {name: _loaded(path) for name, path in {"": float_graph, **made}.items()}
    one = replace(probes, inputs=probes.inputs[:1], identifiers=probes.identifiers[:1], labels=None)
    rounds = _WARM_UP + math.ceil(STEPS / depth.steps)
    seen = [{name: _puzzle(model, one, depth) for name, model in models.items()} for _ in range(rounds)][_WARM_UP:]
    return {
        name: Pace(
            statistics.median(step for puzzle in seen for step in puzzle[name]),
            statistics.median(statistics.median(puzzle[name]) / statistics.median(puzzle[""]) for puzzle in seen),
        )
        for name in models
    }


def told(found: Mapping[str, Pace], depth: Depth) -> str:
    """Return the line above a table: what was timed, and where."""
    count = math.ceil(STEPS / depth.steps) * depth.steps
    return (
        f"An ACT step of one puzzle: median of {count} on one of {os.cpu_count()} shared cores ({processor()}); the "
        f"float32 graph takes {shown(found[''].step)}, and every graph runs in turn with it."
    )


def shown(seconds: float) -> str:
    """Return a time as the tables show it."""
    return f"{seconds * 1e3:.2f} ms"


def _loaded(path: Path) -> Recursion:
    return open_model(ModelSpec("candidate", str(path))).load(RunSpec())


def _puzzle(model: Recursion, probe: Probes, depth: Depth) -> list[float]:
    """Return the seconds of every step of one puzzle."""
    taken, start = [], time.perf_counter()
    for _ in model.run(probe, depth):
        now = time.perf_counter()
        taken.append(now - start)
        start = now
    return taken
