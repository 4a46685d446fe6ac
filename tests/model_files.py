"""Model files made on the fly, and a stand-in for the child process that reads them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fidelity_gate.models import checkpoint_worker
from fidelity_gate.models.families.trm import Trm
from fidelity_gate.records import ModelSpec, Probes
from fidelity_gate.sandbox import Answer, Job

if TYPE_CHECKING:
    from collections.abc import Mapping

MLP = Trm(hidden_size=8, vocab_size=5, mixer="mlp", layers=1, seq_len=6, positions="none")
ATTENTION = Trm(
    hidden_size=8,
    vocab_size=5,
    num_heads=2,
    layers=1,
    seq_len=6,
    puzzle_emb_ndim=8,
    puzzle_emb_len=1,
    num_puzzle_identifiers=3,
)


def weights_of(family, seed=0):
    """Return random float32 arrays under the family's official keys."""
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=shape).astype(np.float32) * 0.3 for name, (shape, _) in family.tensors().items()}


def tensors_of(family, seed=0, prefix=""):
    """Return the same as torch tensors, behind a prefix."""
    import torch

    return {prefix + name: torch.from_numpy(array) for name, array in weights_of(family, seed).items()}


def saved(content, path: Path) -> Path:
    """Write what a training program would."""
    import torch

    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return path


def spec(path: Path | str, **options) -> ModelSpec:
    """Return a reference named so."""
    use = options.pop("use", "")
    return ModelSpec("reference", str(path), tuple(sorted(options.items())), use=use)


def probes(rows=3, tokens=6, vocab=5) -> Probes:
    """Return a few random probes."""
    inputs = np.random.default_rng(1).integers(0, vocab, size=(rows, tokens)).astype(np.int32)
    return Probes(inputs, None, np.zeros(rows, np.int32), "digest", "made here")


class InProcess:
    """Runs the worker's function here: the same contract as `run_limited`, without two seconds of importing torch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.calls = 0

    def __call__(self, entry: str, request, *, limits, files: Mapping[str, bytes], where: str = "") -> Answer:
        """Return what the child would."""
        assert entry == "fidelity_gate.models.checkpoint_worker:read"
        assert limits.memory_bytes > 1 << 30
        self.calls += 1
        shutil.rmtree(self.folder, ignore_errors=True)
        job = Job(request, self.folder / "in", self.folder / "out")
        job.inputs.mkdir(parents=True)
        job.outputs.mkdir()
        for name, data in files.items():
            (job.inputs / name).write_bytes(data)
        reply = checkpoint_worker.read(job)
        return Answer(reply, {entry.name: entry.read_bytes() for entry in job.outputs.iterdir()})
