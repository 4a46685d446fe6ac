"""`REFERENCE... -o STEP.onnx|FOLDER` of `export` -> which model is written where; what may not be written over."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fidelity_gate.errors import UsageError
from fidelity_gate.exporting.plan import Embed, is_export
from fidelity_gate.files import head
from fidelity_gate.verbs.given_model import given_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fidelity_gate.records import ModelSpec

SUFFIX = ".onnx"
_FIELD = "--output"
_WEIGHTS = (".safetensors", ".pth", ".pt", ".ckpt", ".bin", SUFFIX)


@dataclass(frozen=True, slots=True)
class Order:
    """One model to export: as it was named, what is opened, and the files that are written of it."""

    reference: str
    spec: ModelSpec
    targets: tuple[str, ...]


def orders(
    references: Sequence[str], output: str, pairs: tuple[str, ...], embed: Embed, inputs: str | None
) -> list[Order]:
    """Return what is exported, in order.

    Args:
        references: the models, as given.
        output: a file, or a folder for files that are named after the models.
        pairs: `KEY=VALUE` facts, of all of them.
        embed: with the embedding outside, a second graph is written beside the first.
        inputs: what the verification reads, if anything.

    Raises:
        UsageError: a target is not one, would replace something else, or belongs to two models.
    """
    into = Path(output).is_dir() or output.endswith(os.sep)
    if len(references) > 1 and not into:
        hint = f"{len(references)} models: name a folder, and files are named after the models"
        raise UsageError("is no folder", where=output, field=_FIELD, hint=hint)
    found: list[Order] = []
    for reference in references:
        graph = str(Path(output) / f"{_name(reference)}{SUFFIX}") if into else output
        targets = (graph,) if embed is Embed.INSIDE else (graph, embedding_path(graph))
        found.append(Order(reference, given_model(reference, pairs), targets))
    read = [order.spec.path for order in found] + ([inputs] if inputs else [])
    for order in found:
        _refuse(order, read, {target for other in found if other is not order for target in other.targets})
    return found


def embedding_path(output: str) -> str:
    """Return where the graph that makes `x` of tokens goes: `STEP.embed.onnx` beside `STEP.onnx`."""
    return f"{output.removesuffix(SUFFIX)}.embed{SUFFIX}"


def _name(reference: str) -> str:
    """Return what the graph of a model is called: `runs/step_5000` is step_5000, `zoo:trm-addition` trm-addition."""
    name = Path(reference.removeprefix("zoo:")).name
    return next((name.removesuffix(suffix) for suffix in _WEIGHTS if name.endswith(suffix)), name)


def _refuse(order: Order, read: Sequence[str], others: set[str]) -> None:
    """Refuse to write over anything but an older export; links count as what they point to."""
    for target in order.targets:
        if Path(target).suffix != SUFFIX:
            raise UsageError(f"must end in {SUFFIX}", where=target, field=_FIELD)
        if target in others:
            raise UsageError("is the file of two models", where=target, field=_FIELD, hint="export them one by one")
        if any(os.path.realpath(path) == os.path.realpath(target) for path in read):
            raise UsageError("is read by this command", where=target, field=_FIELD, hint="name another file")
        if not Path(target).parent.is_dir():
            raise UsageError("its folder does not exist", where=target, field=_FIELD, hint="make it first")
        if Path(target).exists() and not is_export(head(target, kind=UsageError)):
            hint = "name another file"
            raise UsageError("exists, and is no export of ours", where=target, field=_FIELD, hint=hint)
