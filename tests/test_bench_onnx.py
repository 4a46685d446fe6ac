"""The benchmark of step graphs compares like with like: the gate's figures are those of a loop written by hand."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest
from exported import exported, loaded

pytest.importorskip("onnxruntime")
pytestmark = pytest.mark.benchmarks
ROOT = Path(__file__).resolve().parents[1]
STEPS, TOKENS, WORDS = 6, 36, 8  # of the zoo model


@pytest.fixture
def ci(monkeypatch):
    """Return the benchmark's modules by name."""
    monkeypatch.syspath_prepend(str(ROOT))
    return lambda name: importlib.import_module(f"ci.{name}")


@pytest.fixture
def job(ci, tmp_path):
    """Return the job of a zoo model's step graph against its INT8 self."""
    path = exported("trm-mlp-sudoku")
    step = loaded(path)
    ci("bench_onnx_files").quantize(path, tmp_path / "int8.onnx")
    starts = {
        name: np.tile(values, (1, TOKENS, 1)).astype(np.float32) for name, values in step.metadata.initial.items()
    }
    np.savez(tmp_path / "starts.npz", **starts)
    rows = np.random.default_rng(0).integers(1, WORDS, (3, TOKENS), dtype=np.int32)
    np.savez(tmp_path / "probes.npz", inputs=rows)
    told = {
        "reference": str(path),
        "candidate": str(tmp_path / "int8.onnx"),
        "probes": str(tmp_path / "probes.npz"),
        "starts": str(tmp_path / "starts.npz"),
        "steps": STEPS,
        "l_cycles": step.metadata.depth.l_cycles,
        "perturbation": 0.0,
        "batch": 2,
    }
    (tmp_path / "job.json").write_text(json.dumps(told))
    return tmp_path / "job.json"


@pytest.mark.parametrize("name", ["loop", "polygraphy"])
def test_the_gate_and_its_rivals_come_to_the_same_figures(ci, job, tmp_path, name):
    if name == "polygraphy":
        pytest.importorskip("polygraphy")
    bench, rivals = ci("bench_onnx"), ci("bench_onnx_rivals")
    getattr(rivals, name)(rivals.Task(str(job))).write(str(tmp_path / "theirs.json"))
    ci("bench_onnx_gate").main(str(job), str(tmp_path / "ours.json"))

    ours = json.loads((tmp_path / "ours.json").read_text())
    assert [len(ours["z_H"]), len(ours["z_H"][0]), len(ours["agreement"])] == [3, STEPS, 3]
    assert 0.5 < ours["z_H"][0][-1] < 1 - 1e-6
    assert bench.furthest(tmp_path / "ours.json", tmp_path / "theirs.json") <= bench.CLOSE


def test_figures_of_another_run_are_told_apart(ci, job, tmp_path):
    bench, rivals = ci("bench_onnx"), ci("bench_onnx_rivals")
    task = rivals.Task(str(job))
    rivals.loop(task).write(str(tmp_path / "one.json"))
    task.models.reverse()
    task.tokens = task.tokens[::-1]
    rivals.loop(task).write(str(tmp_path / "other.json"))
    assert bench.furthest(tmp_path / "one.json", tmp_path / "other.json") > bench.CLOSE
