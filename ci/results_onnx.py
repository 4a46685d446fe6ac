"""The step graphs of docs/results.md: every zoo model exported, and compressed by the recipes for ONNX."""

from __future__ import annotations

import contextlib
import io
import sys
from typing import TYPE_CHECKING

from fidelity_gate import cli

if TYPE_CHECKING:
    from pathlib import Path

    from fidelity_gate.zoo.catalog import ZooEntry

FLOAT_GRAPH = "step.onnx"
# What the paper compares: activations and carry in INT8, the carry kept in float, scales chosen at run time, and
# weights alone. "+cal" rungs are given the model's calibration puzzles.
LADDER = (
    "onnx-fp16",
    "onnx-int8",
    "onnx-dynamic-int8",
    "onnx-static-int8,exclude=carry+cal",
    "onnx-static-int8+cal",
    "onnx-int4",
)


def step_graphs(found: ZooEntry, folder: Path) -> tuple[dict[str, Path], list[str]]:
    """Export a model, and write every rung; return the file of each recipe, and what could not be made.

    The commands are those of a user. Rows are free, so that a batch of puzzles is one run.
    """
    made: dict[str, Path] = {}
    refused = []
    step = folder / FLOAT_GRAPH
    fault = _ran("export", f"zoo:{found.name}", "--batch", "dynamic", "-o", str(step))
    if fault:
        return made, [f"could not be exported: {fault}"]
    for rung in LADDER:
        recipe, plus, _ = rung.partition("+")
        path = folder / f"step-{len(made)}.onnx"
        calibration = ("--calibration", str(found.calibration)) if plus else ()
        fault = _ran("compress", str(step), "--recipe", recipe, *calibration, "-o", str(path))
        if fault:
            refused.append(f"`{recipe}` could not be made here: {fault}")
        else:
            made[recipe] = path
    return made, refused


def _ran(*command: str) -> str:
    """Run a command line in this process; return what it complained of, or nothing."""
    told = io.StringIO()
    with contextlib.redirect_stdout(sys.stderr), contextlib.redirect_stderr(told):
        code = cli.answer(list(command))
    return (
        told.getvalue().strip().splitlines()[-1] if code and told.getvalue().strip() else "" if not code else "failed"
    )
