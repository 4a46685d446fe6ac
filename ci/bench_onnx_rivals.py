"""The comparison of `ci.bench_onnx` without the gate: a loop over onnxruntime written by hand, and one in Polygraphy.

    python -m ci.bench_onnx_rivals loop|polygraphy JOB.json FIGURES.json

Nothing of fidelity_gate is imported: this is what somebody writes who does not have it. Both yield the same figures:
the mean over tokens of the cosine between the two carries after every step, float64, for each stream and probe; and the
share of answers that are equal after the last step.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

STREAMS = ("z_H", "z_L")
OUTPUTS = ("z_H_out", "z_L_out", "logits")


class Task:
    """What is to be compared, as the job file says."""

    def __init__(self, path: str) -> None:
        job = json.loads(Path(path).read_text())
        self.models: list[str] = [job["reference"], job["candidate"]]
        self.steps: int = job["steps"]
        self.tokens: NDArray[np.int32] = np.load(job["probes"])["inputs"]  # (N, S)
        starts = np.load(job["starts"])
        self.starts: dict[str, NDArray[np.float32]] = {name: starts[name] for name in STREAMS}  # (1, L, D) each
        self.perturbation: float = job["perturbation"]  # above 0: a noise floor, the reference from a shaken start


class Figures:
    """Cosines by stream, probe and step; agreement by probe."""

    def __init__(self) -> None:
        self.cosines: dict[str, list[list[float]]] = {name: [] for name in STREAMS}
        self.agreement: list[float] = []
        self.floor: list[float] = []

    def begin(self) -> None:
        """Begin a probe."""
        for rows in self.cosines.values():
            rows.append([])

    def step(self, ours: Mapping[str, NDArray[np.float32]], theirs: Mapping[str, NDArray[np.float32]]) -> None:
        """Compare the carries after one step."""
        for name in STREAMS:
            self.cosines[name][-1].append(mean_cosine(ours[f"{name}_out"], theirs[f"{name}_out"]))

    def end(self, ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> None:
        """Compare the answers of the probe's last step: logits (1, S, V)."""
        self.agreement.append(float((ours.argmax(-1) == theirs.argmax(-1)).mean()))

    def write(self, path: str) -> None:
        """Save everything."""
        Path(path).write_text(json.dumps({**self.cosines, "agreement": self.agreement}))


def mean_cosine(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> float:
    """Return the mean over tokens of the cosine of two carries (1, L, D)."""
    left, right = ours.astype(np.float64), theirs.astype(np.float64)
    norms = np.linalg.norm(left, axis=-1) * np.linalg.norm(right, axis=-1)
    return float(((left * right).sum(-1) / norms).mean())


# ---------------------------------------------------------------- by hand


def loop(task: Task) -> Figures:
    """Step both models side by side, probe by probe; and, where it is asked for, the reference from a shaken start."""
    sessions = [_session(path) for path in task.models]
    sessions += sessions[:1] if task.perturbation else []
    figures = Figures()
    for row in range(len(task.tokens)):
        tokens = task.tokens[row : row + 1]
        carries = [dict(task.starts), dict(task.starts), _shaken(task, row)][: len(sessions)]
        figures.begin()
        for _ in range(task.steps):
            outputs: list[dict[str, NDArray[np.float32]]] = []
            for session, carry in zip(sessions, carries, strict=True):
                found = dict(zip(OUTPUTS, session.run(OUTPUTS, {"inputs": tokens, **carry}), strict=True))
                carry |= {name: found[f"{name}_out"] for name in STREAMS}
                outputs.append(found)
            figures.step(*outputs[:2])
            if task.perturbation:
                figures.floor.append(mean_cosine(outputs[0]["z_H_out"], outputs[2]["z_H_out"]))
        figures.end(*(found["logits"] for found in outputs[:2]))
    return figures


def _shaken(task: Task, row: int) -> dict[str, NDArray[np.float32]]:
    noise = np.random.default_rng(row)
    levels = {name: task.perturbation * np.sqrt((start**2).mean()) for name, start in task.starts.items()}
    return {
        name: start + levels[name] * noise.standard_normal(start.shape, np.float32)
        for name, start in task.starts.items()
    }


def _session(path: str) -> Any:  # noqa: ANN401  (onnxruntime.InferenceSession)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


# ---------------------------------------------------------------- Polygraphy


def polygraphy(task: Task) -> Figures:
    """Let Polygraphy step both and compare them.

    Its data loader yields a probe's tokens once a step, and its comparison calls our function with what the two runners
    gave for them. Streaming: without it, all carries of all steps are copied and kept.
    """
    from polygraphy.backend.onnxrt import SessionFromOnnx
    from polygraphy.comparator import Comparator
    from polygraphy.logger import G_LOGGER

    G_LOGGER.module_severity = G_LOGGER.ERROR
    recurrent, comparison = _recurrent(task), Comparison(task.steps)
    runners = [recurrent(SessionFromOnnx(path), name=str(place)) for place, path in enumerate(task.models)]
    results = Comparator.run(runners, data_loader=_feeds(task), streaming=True)
    Comparator.compare_accuracy(results, compare_func=comparison)
    return comparison.figures


class Comparison:
    """What Polygraphy calls after every step of both runners."""

    def __init__(self, steps: int) -> None:
        self.figures = Figures()
        self._steps = steps
        self._done = 0

    def __call__(self, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> dict[str, bool]:
        """Take note of one step; nothing is judged."""
        if self._done % self._steps == 0:
            self.figures.begin()
        self._done += 1
        self.figures.step(ours, theirs)
        if self._done % self._steps == 0:
            self.figures.end(ours["logits"], theirs["logits"])
        return dict.fromkeys(STREAMS, True)


def _feeds(task: Task) -> Iterator[dict[str, Any]]:
    for row in range(len(task.tokens)):
        for _ in range(task.steps):
            yield {"inputs": task.tokens[row : row + 1]}


def _recurrent(task: Task) -> Any:  # noqa: ANN401  (a class of Polygraphy's)
    """Return its runner for onnxruntime, made recurrent: runners know no state, and no more does its data loader."""
    from polygraphy.backend.onnxrt import OnnxrtRunner
    from polygraphy.common import TensorMetadata

    class Recurrent(OnnxrtRunner):  # type: ignore[misc]
        """Feeds its own state back, and starts anew at every probe."""

        done = 0

        def get_input_metadata_impl(self) -> Any:  # noqa: ANN401
            given = TensorMetadata()
            for name, entry in super().get_input_metadata_impl().items():
                if name not in STREAMS:
                    given.add(name, entry.dtype, entry.shape)
            return given

        def infer_impl(self, feed_dict: Mapping[str, Any]) -> Any:  # noqa: ANN401
            if self.done % task.steps == 0:
                self.carry = dict(task.starts)
            self.done += 1
            found = super().infer_impl({**feed_dict, **self.carry})
            self.carry = {name: found[f"{name}_out"] for name in STREAMS}
            return found

    return Recurrent


if __name__ == "__main__":
    {"loop": loop, "polygraphy": polygraphy}[sys.argv[1]](Task(sys.argv[2])).write(sys.argv[3])
