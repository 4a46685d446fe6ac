"""A finished training run -> the files that the package ships: weights, rows and card."""

from __future__ import annotations

import importlib.metadata
import io
import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from fidelity_gate.files import sha256_hex, write_atomically
from fidelity_gate.inputs.making import make_probes
from fidelity_gate.records import Artifact
from fidelity_gate.storage.artifact import encode
from fidelity_gate.storage.quantized import dense_tensor
from fidelity_gate.zoo.catalog import Card
from fidelity_gate.zoo.evaluation import exact_rows

if TYPE_CHECKING:
    from pathlib import Path

    from fidelity_gate.zoo.tasks import Rows
    from fidelity_gate.zoo.trainer import Trainer

LIBRARIES = ("numpy", "torch")


def release(trainer: Trainer, name: str, summary: str, folder: Path) -> Card:
    """Write `NAME.safetensors` (averaged weights), its two sets of rows and its card; return the card.

    Raises:
        ReportNotWritten: a file could not be written whole.
    """
    model, recipe, sets = trainer.model, trainer.recipe, trainer.task.sets
    weights = artifact_of(trainer)
    write_atomically(folder / f"{name}.safetensors", weights)
    digests = {}
    for part in ("evaluation", "calibration"):
        rows: Rows = getattr(sets, part)
        write_atomically(folder / f"{name}.{part}.npz", packed_rows(rows))
        digests[part] = make_probes(*rows, source=part).digest
    exact = exact_rows(model, trainer.averaged, sets.evaluation, recipe.depth)
    card = Card(
        name=name,
        summary=summary,
        family=model.name,
        parameters=sum(weight.numel() for weight in trainer.averaged.values()),
        exact=float(exact.mean()),
        rows=len(exact),
        digest=sha256_hex(weights),
        evaluation_digest=digests["evaluation"],
        calibration_digest=digests["calibration"],
        recipe=asdict(recipe),
        libraries={library: importlib.metadata.version(library) for library in LIBRARIES},
    )
    write_atomically(folder / f"{name}.json", json.dumps(asdict(card), indent=2, sort_keys=True) + "\n")
    return card


def artifact_of(trainer: Trainer) -> bytes:
    """Return the averaged weights in our own format."""
    roles = {name: role for name, (_, role) in trainer.model.tensors().items()}
    tensors = tuple(
        dense_tensor(name, roles[name], weight.numpy()) for name, weight in sorted(trainer.averaged.items())
    )
    model = trainer.model
    return encode(Artifact(model.name, model.architecture(), model.declared_depth(), tensors))


def packed_rows(rows: Rows) -> bytes:
    """Return a compressed `.npz` with `inputs`, `labels` and `identifiers`; equal rows give equal bytes."""
    inputs, labels = rows
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        inputs=inputs.astype(np.uint8),
        labels=labels.astype(np.uint8) if labels.min() >= 0 else labels,
        identifiers=np.zeros(len(inputs), np.int32),
    )
    return buffer.getvalue()
