"""What a step graph must pass before it is loaded here: our own refusals, then a trial in a child process."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

from fidelity_gate.errors import ModelRefused
from fidelity_gate.files import sha256_hex
from fidelity_gate.graphs.content import ONE_FILE
from fidelity_gate.models.onnx_worker import GRAPH_FILE
from fidelity_gate.sandbox import Limits, run_limited

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fidelity_gate.models.onnx_options import Optimization
    from fidelity_gate.models.onnx_plan import Slot, StepPlan
    from fidelity_gate.records import StepGraph
    from fidelity_gate.sandbox import Json

DOMAINS = ("", "com.microsoft")
_PRECOMPILED = "EPContext"  # an opaque program for some device, inside com.microsoft
_WORKER = "fidelity_gate.models.onnx_worker:attempt"
_SECONDS = 120
_MEMORY = 4 << 30  # address space; the interpreter and its libraries take about 1 GiB of it
_MEMORY_A_BYTE = 8  # of the file: its bytes, the protobuf, the weights, packed copies
_KEPT = 64
_LARGEST_FEED = 1 << 28  # values of all inputs of the run on zeros


class _Trial:
    """One trial; equal where the bytes, the level and the feeds are."""

    def __init__(self, data: bytes, optimization: Optimization, feeds: dict[str, Json] | None, where: str) -> None:
        self.data, self.optimization, self.feeds, self.where = data, optimization, feeds, where
        self._key = (sha256_hex(data), optimization, repr(feeds))

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Trial) and other._key == self._key

    def release(self) -> None:
        """Drop the bytes: what is remembered of a trial is that it passed."""
        self.data = b""


def refuse_unsafe(graph: StepGraph, where: str) -> None:
    """Refuse what must not run here, or runs only on one device.

    Raises:
        ModelRefused: names the operator, or the constant in another file.
    """
    for node in graph.nodes:
        if node.subgraphs:
            hint = "unroll it; an If whose condition is fixed can be folded away" if node.op == "If" else "unroll it"
            raise ModelRefused(f"holds {node.op}, a graph of its own", where=where, field=node.name, hint=hint)
        if node.domain not in DOMAINS or node.op == _PRECOMPILED:
            what = f"holds {node.op} of '{node.domain}', which no CPU runs"
            hint = "standard operators, and those of com.microsoft"
            raise ModelRefused(what, where=where, field=node.name, hint=hint)
    for name, constant in graph.constants.items():
        if constant.external is not None:
            what = "lies in another file, which is never read"
            raise ModelRefused(what, where=where, field=name, hint=ONE_FILE)


def try_out(data: bytes, plan: StepPlan, optimization: Optimization, where: str) -> None:
    """Check, load and run a graph in a child process; once for equal bytes in the life of this process.

    Raises:
        ModelRefused: onnx's checker or onnxruntime refuses it, or it does not run.
        OutOfTime, OutOfMemory, WorkerDied: the child did not get so far.
    """
    try_bytes(data, zeros(plan), optimization, where)


def try_bytes(data: bytes, feeds: Mapping[str, Json] | None, optimization: Optimization, where: str) -> None:
    """Check and load a graph, and run it with these feeds, if any; see `try_out`."""
    _passed(_Trial(data, optimization, None if feeds is None else dict(feeds), where))


@lru_cache(maxsize=_KEPT)  # a trial that raises is not remembered
def _passed(trial: _Trial) -> None:
    limits = Limits(_MEMORY + _MEMORY_A_BYTE * len(trial.data), _SECONDS)
    request: dict[str, Json] = {"optimization": trial.optimization.value, "feeds": trial.feeds}
    run_limited(_WORKER, request, limits=limits, files={GRAPH_FILE: trial.data}, where=trial.where)
    trial.release()


def zeros(plan: StepPlan) -> dict[str, Json] | None:
    """Return what a run on zeros is fed; None where the file leaves a size open that zeros cannot guess.

    Raises:
        ModelRefused: the inputs are larger than any model's.
    """
    rows = plan.rows or 1
    slots: list[tuple[Slot, int | float | bool]] = [(plan.fed, 0), *((state.slot, 0) for state in plan.states)]
    slots += [(plan.identifiers, 0)] if plan.identifiers else []
    feeds: dict[str, Json] = {}
    values = 0
    for slot, value in (*slots, *plan.constants):
        sizes = [size for size in slot.sized(rows) if isinstance(size, int)]
        if len(sizes) < len(slot.shape):
            return None
        values += math.prod(sizes)
        feeds[slot.name] = [slot.dtype, list(sizes), value]
    if values > _LARGEST_FEED:
        raise ModelRefused(f"takes {values:,} values a run, more than can be tried", field=plan.fed.name)
    return feeds
