"""What pages take for granted, made before their commands are run; and the commands that cannot be run here."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
from docs_pages import ROOT
from exported import exported
from onnx_steps import REASONER, WIDTH, reasoner, write
from safetensors.numpy import save_file
from streaming_graphs import quantized, save_recordings, save_vad

from fidelity_gate.cli import answer
from fidelity_gate.storage.artifact import encode
from fidelity_gate.verbs.compress import compressed
from fidelity_gate.zoo.catalog import entry

# How a command begins -> why no test runs it.
CANNOT_RUN = {
    "make ": "installs packages from an index, and runs these very tests",
    "pip install": "fetches packages from an index (a folder given by its path is installed)",
    "qai-hub ": "needs an account of the device service",
    "git push": "needs a server",
}
# The word of a page's <!-- not run: WORD --> -> why.
NOT_RUN = {
    "account": "needs an account of a device service",
    "serves": "serves until somebody stops it; tests/test_simulated_hub_verb.py starts it",
    "timing": "a time that is measured beside other tests decides nothing; tests/test_latency.py measures",
    "workers": "several processes at once; tests/test_pytest_plugin_sharing.py runs sessions on two",
    "training": "trains a model for minutes",
}
# Pages whose commands another test runs, because they need more than a folder.
ELSEWHERE = {
    "docs/recorded-devices.md": "test_devices_verb.py",
    "docs/streaming.md": "test_streaming_example.py",
    "docs/walkthrough-ai-hub.md": "test_walkthrough_ai_hub.py",
}
SMALL = "trm-addition"
STATIC = """apiVersion: fidelity-gate/v1
name: release
reference: ref.safetensors
candidates: {{int8: int8.safetensors}}
inputs: {{use: npz, path: eval.npz}}
recursion: {{h_cycles: 1, l_cycles: 2, steps: 2}}
{more}checks:
  size: {{metric: model_size, require: {{max: 1 MiB}}}}
  no-known-mistakes: {{metric: lint, require: {{max: 0}}}}
"""
WAIVABLE = """apiVersion: fidelity-gate/v1
name: release
reference: zoo:trm-addition
candidates: {int4: int4.safetensors}
inputs: {use: npz, path: eval.npz, count: 100}
recursion: {h_cycles: 1, l_cycles: 2, steps: 2}
waiver_rules: {max_days: 30}
checks:
  same-answers: {metric: answer_agreement, options: {level: puzzle}, aggregate: mean, require: {min: 97 %}}
  size: {metric: model_size, require: {max: 1 MiB}}
"""
DEVICE = """devices: {board: {use: host-cpu, warmup: 1, runs: 5, max_spread: 100 %}}
history: {path: history.jsonl, while_new: warn}
"""


def models(folder: Path) -> None:
    """Make `ref.safetensors`, `int8.safetensors` and `eval.npz`: a small model, its compression and its puzzles."""
    found = entry(SMALL)
    shutil.copy(found.weights, folder / "ref.safetensors")
    shutil.copy(found.evaluation, folder / "eval.npz")
    shutil.copy(found.calibration, folder / "calibration.npz")
    (folder / "int8.safetensors").write_bytes(encode(compressed(str(found.weights), "int8")[1]))


def policy(folder: Path) -> None:
    """Make `release.yaml`, which looks at files alone."""
    (folder / "release.yaml").write_text(STATIC.format(more=""))


def several(folder: Path) -> None:
    """Make `step.onnx`, `start.safetensors` with the states that it starts from, and `step.yaml`."""
    write(folder, REASONER, reasoner())
    save_file({"z": np.ones(WIDTH, np.float32)}, folder / "start.safetensors")
    candidate = "{step: {path: step.onnx, uncompressed: true, model: {initial: start.safetensors}}}"
    lines = STATIC.format(more="").replace("{int8: int8.safetensors}", candidate).splitlines()
    (folder / "step.yaml").write_text("\n".join(line for line in lines if "lint" not in line))


def gates(folder: Path) -> None:
    """Make a repository with `gates/release.gate.yaml` and `build/int8.safetensors`, and `measurements.json` of it."""
    build(folder)
    (folder / "gates").mkdir()
    beside = STATIC.replace(": ref", ": ../ref").replace("int8: int8", "int8: ../build/int8").replace("eval", "../eval")
    (folder / "gates" / "release.gate.yaml").write_text(beside.format(more=""))
    assert (
        answer(["measure", str(folder / "gates" / "release.gate.yaml"), "-o", str(folder / "measurements.json")]) == 0
    )


def missed(folder: Path) -> None:
    """Make `verdict.json`, of a policy that lets its checks be waived, and of a candidate that misses one."""
    found = entry(SMALL)
    (folder / "int4.safetensors").write_bytes(encode(compressed(str(found.weights), "int4-naive")[1]))
    shutil.copy(found.evaluation, folder / "eval.npz")
    (folder / "release.yaml").write_text(WAIVABLE)
    assert answer(["run", str(folder / "release.yaml"), "--report", f"json:{folder / 'verdict.json'}"]) == 1


def compared(folder: Path) -> None:
    """Make `main.json` and `branch.json`, verdicts on two candidates of one name."""
    for name, recipe in (("main", "int4-calibrated"), ("branch", "int8")):
        made = compressed(str(entry(SMALL).weights), recipe)[1]
        (folder / "int8.safetensors").write_bytes(encode(made))
        assert answer(["run", str(folder / "release.yaml"), "--report", f"json:{folder / name}.json"]) == 0


def past(folder: Path) -> None:
    """Make `release.yaml` with a device and a history, in a repository with one commit."""
    memory = "  memory: {metric: peak_memory, options: {device: board}, against: history,"
    graph = exported(SMALL)
    shutil.copy(graph, folder / "ref.onnx")
    made = ["compress", str(graph), "--recipe", "onnx-int8", "-o", str(folder / "int8.onnx")]
    assert answer(made) == 0
    text = (
        STATIC.replace("safetensors", "onnx").format(more=DEVICE)
        + f"{memory} require: {{max: 4 GiB, max_regression: 50 %}}}}\n"
    )
    (folder / "release.yaml").write_text(text)
    (folder / "baselines").mkdir()
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    for words in (("init", "-q"), (*who, "commit", "-q", "--allow-empty", "-m", "start")):
        subprocess.run(["git", *words], cwd=folder, check=True)


def grids(folder: Path) -> None:
    """Make `gate.yaml` for a model of 6x6 sudoku, which looks at files alone, and `eval.npz`."""
    found = entry("trm-mlp-sudoku")
    shutil.copy(found.weights, folder / "ref.safetensors")
    shutil.copy(found.evaluation, folder / "eval.npz")
    (folder / "int8.safetensors").write_bytes(encode(compressed(str(found.weights), "int8")[1]))
    depth = "{{h_cycles: 3, l_cycles: 3, steps: 8}}"
    (folder / "gate.yaml").write_text(STATIC.replace("{{h_cycles: 1, l_cycles: 2, steps: 2}}", depth).format(more=""))


def recordings(folder: Path) -> None:
    """Make `clips`, and `stream.yaml` for a graph that takes 512 samples a step."""
    path = save_vad(folder / "vad.onnx")
    quantized(path).rename(folder / "vad.int8.onnx")
    save_recordings(folder / "clips", files=10, seconds=13.0)
    policy = (ROOT / "policies" / "examples" / "streaming-vad.yaml").read_text(encoding="utf-8")
    (folder / "stream.yaml").write_text(policy.replace("steps: 60", "steps: 40"), encoding="utf-8")


def repository(folder: Path) -> None:
    """Make what a checkout has: `policies/` and `docs/`."""
    for name in ("docs", "policies"):
        (folder / name).symlink_to(ROOT / name)


def build(folder: Path) -> None:
    """Make a folder `build` with a compressed model."""
    (folder / "build").mkdir()
    shutil.copy(folder / "int8.safetensors", folder / "build")


def step(folder: Path) -> None:
    """Make `step.onnx`, a step graph of a small model, and `eval.npz`."""
    shutil.copy(exported(SMALL), folder / "step.onnx")
    shutil.copy(entry(SMALL).evaluation, folder / "eval.npz")


def graph(folder: Path) -> None:
    """Make `step.onnx`, a step graph of any number of probes, and `candidate.onnx`, the same."""
    path = exported("trm-attention-sudoku", batch=None)
    for name in ("step.onnx", "candidate.onnx"):
        shutil.copy(path, folder / name)
