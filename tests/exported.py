"""Step graphs of the zoo, exported once and kept for every test, worker and session that runs the same code.

    path = exported("trm-attention-sudoku")                     # one H-cycle, batch 1, tokens in
    path = exported("hrm-sudoku", unit="act-step", batch=None)  # one ACT step, any batch

An export takes seconds, so the files are kept in the user's cache folder under a digest of everything that can change
them: the weights, the code that exports, and the versions of what it exports with.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
import platformdirs
from filelock import FileLock

import fidelity_gate
from fidelity_gate.exporting.plan import DEFAULT_OPSET, Embed, ExportPlan
from fidelity_gate.exporting.step import ExportedStep, export_step
from fidelity_gate.files import write_atomically
from fidelity_gate.graphs.step_metadata import Unit, step_metadata
from fidelity_gate.models.opening import open_model
from fidelity_gate.records import ModelSpec
from fidelity_gate.zoo.catalog import entry

if TYPE_CHECKING:
    from collections.abc import Iterator

MODELS = ("hrm-sudoku", "trm-addition", "trm-attention-sudoku", "trm-mlp-sudoku")
CODE = ("exporting", "models/families", "graphs/step_metadata.py", "__init__.py")
LIBRARIES = ("numpy", "onnx", "onnx-ir", "onnxscript", "torch")
KEPT = 64  # files; older ones are of code that has changed since


def exported(
    name: str,
    unit: str = "h-cycle",
    *,
    batch: int | None = 1,
    embed: str = "inside",
    opset: int = DEFAULT_OPSET,
) -> Path:
    """Return the step graph of a zoo model; with embed="outside", the embedding's graph is `embedding_of(path)`."""
    plan = ExportPlan(Unit(unit), batch, opset, Embed(embed))
    return kept(str(entry(name).weights), plan, label=name)


def embedding_of(path: Path) -> Path:
    """Return the graph that makes `x` of tokens for a step graph that was exported with embed="outside"."""
    return path.with_suffix(".embed.onnx")


def loaded(path: Path) -> ExportedStep:
    """Return an export as `export_step` gives it."""
    data, beside = path.read_bytes(), embedding_of(path)
    model = onnx.load_from_string(data)
    metadata = step_metadata({item.key: item.value for item in model.metadata_props})
    assert metadata is not None
    embedding = beside.read_bytes() if beside.exists() else b""
    names = tuple(value.name for value in model.graph.input), tuple(value.name for value in model.graph.output)
    return ExportedStep(data, metadata, model.opset_import[0].version, len(model.graph.node), *names, embedding)


def kept(model: str, plan: ExportPlan, *, label: str) -> Path:
    """Return the step graph of any model file, exported only where no session before has done so."""
    key = hashlib.sha256(f"{_code()} {plan} {hashlib.sha256(Path(model).read_bytes()).hexdigest()}".encode())
    path = _folder() / f"{label}-{key.hexdigest()[:24]}.onnx"
    with FileLock(f"{path}.lock"):
        if not path.exists():
            _write(path, export_step(open_model(ModelSpec("reference", model)), plan))
            _forget_oldest()
    return path


def _write(path: Path, made: ExportedStep) -> None:
    if made.embedding:
        write_atomically(embedding_of(path), made.embedding)
    write_atomically(path, made.data)


def _folder() -> Path:
    chosen = os.environ.get("FIDELITY_GATE_TEST_CACHE")
    folder = Path(chosen) if chosen else Path(platformdirs.user_cache_dir("fidelity-gate-tests", appauthor=False))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _forget_oldest() -> None:
    steps = [path for path in _folder().glob("*.onnx") if not path.name.endswith(".embed.onnx")]
    for path in sorted(steps, key=lambda path: path.stat().st_mtime)[:-KEPT]:
        for each in (path, embedding_of(path)):  # its lock stays: somebody may hold it
            each.unlink(missing_ok=True)


@functools.cache
def _code() -> str:
    digest = hashlib.sha256()
    for path in _sources():
        digest.update(path.read_bytes())
    digest.update(" ".join(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES).encode())
    return digest.hexdigest()


def _sources() -> Iterator[Path]:
    home = Path(fidelity_gate.__file__).parent
    for name in CODE:
        path = home / name
        yield from sorted(path.glob("*.py")) if path.is_dir() else (path,)
