"""The range of every activation over the whole recursion: all runs of all calibration probes, the state fed back.

onnxruntime's own calibrators add the values to be watched to the graph and pick ranges from histograms; the loop around
them is the gate's, because their readers know inputs and not states. Ranges of the first run are not those of the last.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fidelity_gate.compress.onnx_runtime import session
from fidelity_gate.errors import NotMeasured, UsageError
from fidelity_gate.protocols import GraphRecursion
from fidelity_gate.records import Depth, RunSpec, StateRange

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from typing import TypeAlias

    from numpy.typing import NDArray

    from fidelity_gate.compress.onnx_preparing import Prepared
    from fidelity_gate.protocols import OpenedGraph, Progress
    from fidelity_gate.records import Probes

    See: TypeAlias = Callable[[int, Mapping[str, NDArray[Any]]], None]  # place of the run, all that it gave

Method = Literal["minmax", "percentile", "entropy"]
MOST_ROWS = 8  # of a run, where the graph takes any number
_LOW, _HIGH = "_ReduceMin", "_ReduceMax"
_BINS = {"percentile": 2048, "entropy": 256}  # of one tensor's whole range
_LEVELS = 128  # of the grid that entropy compares with: one sign of int8


@dataclass(frozen=True, slots=True, eq=False)
class Calibrated:
    """What calibration found.

    Attributes:
        ranges: activation -> lowest and highest value to be represented.
        states: the range of every state after every run.
    """

    ranges: Mapping[str, tuple[float, float]]
    states: tuple[StateRange, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """How to find ranges.

    Attributes:
        model: the float32 graph.
        probes: what to run it on.
        method: how to pick a range from the values that were seen.
        percentile: how many of them percentile keeps, in percent.
        steps: ACT steps; 0 for as many as the file, or the frames of the probes, say.
        op_types: operators whose inputs and outputs need ranges.
        progress: told of every probe.
    """

    model: OpenedGraph
    probes: Probes
    method: Method
    percentile: float
    steps: int
    op_types: tuple[str, ...]
    progress: Progress | None = None

    def find(self, graph: Prepared, folder: Path) -> Calibrated:
        """Return the ranges of a graph's activations.

        Args:
            graph: the model, prepared.
            folder: of our own, for the tools' files.

        Raises:
            UsageError: no state is known, or nobody says how deep the recursion runs.
            NotMeasured: a state is no longer finite.
        """
        from onnxruntime.quantization.calibrate import HistogramCalibrater, MinMaxCalibrater

        depth, recursion = self._depth(graph), self._recursion(graph)
        source = folder / "float.onnx"
        source.write_bytes(graph.model.SerializeToString())
        if self.progress is not None:
            self.progress.start("calibrating", len(self.probes) * (1 if self.method == "minmax" else 2))
        extremes = _Extremes([pair.output for pair in graph.graph.states], graph.where)
        try:
            tool = MinMaxCalibrater(source, self.op_types, str(folder / "extremes.onnx"))
            self._watch(recursion, depth, _augmented(tool, graph.where, extremes.see))
            ranges = extremes.ranges
            if self.method != "minmax":
                histograms = self._collector(ranges)
                tool = HistogramCalibrater(source, self.op_types, str(folder / "values.onnx"))
                see: See = lambda _, found: histograms.collect_value({name: found[name] for name in ranges})  # noqa: E731
                self._watch(recursion, depth, _augmented(tool, graph.where, see))
                ranges = _picked(histograms.compute_collection_result())
        finally:
            if self.progress is not None:
                self.progress.done()
        return Calibrated(ranges, tuple(extremes.of_state(pair.input, pair.output) for pair in graph.graph.states))

    def _depth(self, graph: Prepared) -> Depth:
        told = self.model.facts.depth
        steps = self.steps or (self.probes.inputs.shape[1] if self.probes.frames else 0)
        if told is not None:
            return replace(told, steps=steps or told.steps)
        if not steps:
            what = "the graph does not say how many steps a puzzle takes"
            raise UsageError(what, where=graph.where, field="--recipe", hint="steps=N")
        return Depth(steps=int(steps))

    def _recursion(self, graph: Prepared) -> GraphRecursion:
        if not graph.graph.states:
            hint = "--model state.INPUT=OUTPUT"
            raise UsageError("no state is known, so nothing can be fed back", where=graph.where, hint=hint)
        recursion = self.model.load(RunSpec(seed=0, threads=1, batch=MOST_ROWS))
        if not isinstance(recursion, GraphRecursion):
            raise UsageError("is not run as a step graph", where=graph.where)
        return recursion

    def _watch(self, recursion: GraphRecursion, depth: Depth, watching: _Watching) -> None:
        """Run the whole recursion on all probes, in a graph that shows its values."""
        watched = recursion.over(watching)
        size = recursion.rows or MOST_ROWS
        for first in range(0, len(self.probes), size):
            rows = self.probes.rows(first, min(first + size, len(self.probes)))
            watching.place = 0
            for _ in watched.run(rows, depth):
                pass
            if self.progress is not None:
                self.progress.advance(len(rows))

    def _collector(self, ranges: Mapping[str, tuple[float, float]]) -> Any:  # noqa: ANN401
        """Return histograms over the ranges that are known already: grown ones would have bins without number."""
        from onnxruntime.quantization.calibrate import HistogramCollector

        collector = HistogramCollector(self.method, False, _BINS[self.method], _LEVELS, self.percentile, "same")
        collector.collect_value({name: np.array(ends, np.float32) for name, ends in ranges.items()})
        return collector


def _augmented(tool: Any, where: str, see: See) -> _Watching:  # noqa: ANN401  (a calibrator)
    """Return the graph that a calibrator makes: the same, with more outputs."""
    tool.augment_graph()
    return _Watching(session(str(tool.augmented_model_path), where, plain=True), see)


@dataclass(slots=True, eq=False)
class _Watching:
    """A session that shows all values of every run to whoever collects them (the `GraphSession` protocol)."""

    session: Any
    see: See
    place: int = 0  # of the run within a rollout
    names: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self.names = [value.name for value in self.session.get_outputs()]

    def run(self, outputs: Sequence[str], feeds: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """Run the graph once, and return what was asked for; raises UsageError where onnxruntime fails."""
        try:
            made = self.session.run(self.names, dict(feeds))
        except Exception as error:  # onnxruntime's errors have no public base of their own
            what = f"onnxruntime fails on the calibration puzzles: {error}"
            raise UsageError(what, field="--calibration") from error
        found = dict(zip(self.names, made, strict=True))
        self.see(self.place, found)
        self.place += 1
        return [found[name] for name in outputs]


class _Extremes:
    """The lowest and highest value of every activation, and of every state after every run."""

    def __init__(self, states: list[str], where: str) -> None:
        self._where = where
        self._lows: dict[str, float] = {}
        self._highs: dict[str, float] = {}
        self._states: dict[str, list[tuple[float, float]]] = {name: [] for name in states}

    def see(self, place: int, found: Mapping[str, NDArray[Any]]) -> None:
        """Take the values of one run."""
        for name, array in found.items():
            if name.endswith(_LOW):
                base = name.removesuffix(_LOW)
                self._lows[base] = min(self._lows.get(base, np.inf), _number(array))
            elif name.endswith(_HIGH):
                base = name.removesuffix(_HIGH)
                self._highs[base] = max(self._highs.get(base, -np.inf), _number(array))
        for name, seen in self._states.items():
            if not np.isfinite(found[name]).all():
                what = f"is not finite after run {place + 1} on calibration puzzles"
                raise NotMeasured(what, where=self._where, field=name)
            low, high = float(found[name].min()), float(found[name].max())
            if len(seen) == place:
                seen.append((low, high))
            else:
                seen[place] = (min(seen[place][0], low), max(seen[place][1], high))

    @property
    def ranges(self) -> dict[str, tuple[float, float]]:
        """Return activation -> its extremes, sorted."""
        return {name: (low, self._highs[name]) for name, low in sorted(self._lows.items())}

    def of_state(self, state: str, output: str) -> StateRange:
        """Return the extremes of a state by run."""
        lows, highs = zip(*self._states[output], strict=True)
        return StateRange(state, lows, highs)


def _number(array: NDArray[Any]) -> float:
    return float(np.asarray(array).reshape(-1)[0])


def _picked(found: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    return {name: (_number(data[0]), _number(data[1])) for name, data in sorted(found.items())}
