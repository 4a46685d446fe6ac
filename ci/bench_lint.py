"""What linting a file costs: CPU-seconds and peak memory of a process of its own, and of one that looks at nothing.

* a 28 MB artifact: a TRM 512 wide, eight layers, INT8 with one scale a channel;
* the same bytes as INT4, twice the values: the most that has to be unpacked;
* a 28 MB float32 checkpoint in safetensors, two layers;
* a 30 MB ONNX step graph of float32 matrices, 512 wide, and one of INT8 matrices behind DequantizeLinear.

Values are random, so all rules that look at values have something to look at.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fidelity_gate.models.families.trm import Trm
from fidelity_gate.records import Artifact, Depth, Role
from fidelity_gate.storage.artifact import encode
from fidelity_gate.storage.integers import IntegerScheme
from fidelity_gate.storage.quantized import dense_tensor, integer_tensor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from fidelity_gate.records import StoredTensor

WIDE = Trm(hidden_size=512, vocab_size=11, num_heads=8, layers=2, seq_len=81, h_cycles=3, l_cycles=6, steps=16)
INT8 = IntegerScheme(8, 0, symmetric=True)
INT4 = IntegerScheme(4, 0, symmetric=True)
MATRICES = 30  # of 512 x 512 float32: 1 MiB each
TOKENS = 97
REPEATS = 3


def costs() -> Iterator[tuple[str, float, float]]:
    """Yield what was looked at, the CPU-seconds, and the peak in MiB; each is the least of a few runs."""
    yield ("nothing (lint --list)", *_least(["--list"]))
    with tempfile.TemporaryDirectory() as folder:
        for name, write in FILES.items():
            path = write(Path(folder))
            size = path.stat().st_size / 1e6
            yield (f"{name}, {size:.0f} MB", *_least([str(path)]))
            path.unlink()


def _least(arguments: list[str]) -> tuple[float, float]:
    runs = [_cost([sys.executable, "-m", "fidelity_gate.cli", "lint", *arguments]) for _ in range(REPEATS)]
    return min(seconds for seconds, _ in runs), min(peak for _, peak in runs)


# A process starts out with the peak of the one that started it, so a small one has to; and as in an installation,
# modules are compiled once.
LAUNCHER = """
import os, sys
quiet = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
process = os.posix_spawn(sys.argv[1], sys.argv[1:], environment, file_actions=quiet)
_, status, usage = os.wait4(process, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
"""


def _cost(command: list[str]) -> tuple[float, float]:
    """Return the CPU-seconds and the peak resident MiB of one process; raises where lint broke or refused."""
    launcher = [sys.executable, "-I", "-S", "-c", LAUNCHER, *command]
    answer = subprocess.run(launcher, check=True, capture_output=True, text=True).stdout  # noqa: S603  (ourselves)
    code, seconds, peak = answer.split()
    if code not in ("0", "1"):
        raise RuntimeError(f"exit code {code}: {' '.join(command)}")
    return float(seconds), float(peak) / (1024**2 if sys.platform == "darwin" else 1024)


# ---------------------------------------------------------------- files


def _artifact(folder: Path, layers: int, scheme: IntegerScheme) -> Path:
    architecture = replace(WIDE, layers=layers)
    draws = np.random.default_rng(0)
    tensors: list[StoredTensor] = []
    for name, (shape, role) in architecture.tensors().items():
        values = _values(draws, shape)
        if role is Role.BLOCK:
            tensors.append(integer_tensor(name, role, values, scheme))
        else:
            tensors.append(dense_tensor(name, role, values))
    depth = Depth(architecture.h_cycles, architecture.l_cycles, architecture.steps)
    path = folder / "candidate.safetensors"
    path.write_bytes(encode(Artifact("trm", architecture.architecture(), depth, tuple(tensors), recipe="made")))
    return path


def _checkpoint(folder: Path) -> Path:
    from safetensors.numpy import save_file

    draws = np.random.default_rng(0)
    path = folder / "reference.safetensors"
    save_file({name: _values(draws, shape) for name, (shape, _) in WIDE.tensors().items()}, path)
    (folder / "all_config.yaml").write_text("arch:\n  num_heads: 8\n  pos_encodings: rope\n")
    return path


def _values(draws: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float32]:
    return (draws.standard_normal(shape) * (shape[-1] if shape else 1) ** -0.5).astype(np.float32)


def _graph(folder: Path, *, quantized: bool) -> Path:
    """Write a step graph: two streams through a chain of matrices, fed back."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    draws = np.random.default_rng(0)
    shape = (1, TOKENS, WIDE.hidden_size)
    nodes = [helper.make_node("Add", ["z_H", "z_L"], ["h_0"], name="mix")]
    constants = []
    for index in range(4 * MATRICES if quantized else MATRICES):
        values = _values(draws, (WIDE.hidden_size, WIDE.hidden_size))
        weight = f"w_{index}"
        if quantized:
            scale = np.abs(values).max(axis=0) / 127
            integers = np.rint(values / scale).astype(np.int8)
            constants += [numpy_helper.from_array(integers, f"{weight}_q")]
            constants += [numpy_helper.from_array(scale.astype(np.float32), f"{weight}_scale")]
            nodes += [helper.make_node("DequantizeLinear", [f"{weight}_q", f"{weight}_scale"], [weight], axis=1)]
        else:
            constants += [numpy_helper.from_array(values, weight)]
        nodes += [helper.make_node("MatMul", [f"h_{index}", weight], [f"h_{index + 1}"], name=f"matmul_{index}")]
    last = nodes[-1].output[0]
    nodes += [helper.make_node("Add", [last, "z_H"], ["z_H_out"]), helper.make_node("Add", [last, "z_L"], ["z_L_out"])]
    values_of = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("z_H", "z_L")]
    results = [helper.make_tensor_value_info(f"{name}_out", TensorProto.FLOAT, shape) for name in ("z_H", "z_L")]
    graph = helper.make_graph(nodes, "step", values_of, results, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    path = folder / "candidate.onnx"
    path.write_bytes(model.SerializeToString())
    return path


FILES: dict[str, Callable[[Path], Path]] = {
    "INT8 artifact": lambda folder: _artifact(folder, 8, INT8),
    "INT4 artifact": lambda folder: _artifact(folder, 16, INT4),
    "float32 checkpoint": _checkpoint,
    "float32 ONNX": lambda folder: _graph(folder, quantized=False),
    "INT8 ONNX": lambda folder: _graph(folder, quantized=True),
}
