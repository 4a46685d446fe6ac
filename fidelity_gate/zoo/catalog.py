"""What the package ships: every model's weights, rows and card, found without torch."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fidelity_gate.errors import Internal, UsageError
from fidelity_gate.records import Depth
from fidelity_gate.registry import unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

HOME = Path(__file__).parent
SUFFIX = ".json"


@dataclass(frozen=True, slots=True)
class Card:
    """What is known of a zoo model; the numbers were measured when it was released, and tests measure them again.

    Attributes:
        name: of the model.
        summary: one sentence.
        family: of its recursion.
        parameters: weight values.
        exact: share of the evaluation rows solved exactly, in float32 at full depth.
        rows: evaluation rows.
        digest: sha256 of the weights file.
        evaluation_digest: of the evaluation rows (`Probes.digest`).
        calibration_digest: of the calibration rows.
        recipe: every option of the training run.
        libraries: versions that trained it.
        notes: what a user should know.
    """

    name: str
    summary: str
    family: str
    parameters: int
    exact: float
    rows: int
    digest: str
    evaluation_digest: str
    calibration_digest: str
    recipe: Mapping[str, str | int | float]
    libraries: Mapping[str, str]
    notes: tuple[str, ...] = ()

    @property
    def depth(self) -> Depth:
        """Return the depth it was trained for."""
        told = self.recipe
        return Depth(int(told["h_cycles"]), int(told["l_cycles"]), int(told["supervision"]))


@dataclass(frozen=True, slots=True)
class ZooEntry:
    """One shipped model: where its files are."""

    name: str
    weights: Path  # our own format, float32
    evaluation: Path  # 500 labelled rows
    calibration: Path  # 128 other rows
    depth: Depth
    card: Card


def names() -> tuple[str, ...]:
    """Return the names of all shipped models, sorted."""
    return tuple(sorted(path.name.removesuffix(SUFFIX) for path in (HOME / "cards").glob(f"*{SUFFIX}")))


def entry(name: str) -> ZooEntry:
    """Return one shipped model.

    Raises:
        UsageError: no model has this name; the message names the nearest ones.
    """
    if name not in names():
        raise unknown(name, names(), what="no zoo model is named", kind=UsageError)
    card = read_card(HOME / "cards" / f"{name}{SUFFIX}")
    return ZooEntry(
        name=name,
        weights=HOME / "weights" / f"{name}.safetensors",
        evaluation=HOME / "data" / f"{name}.evaluation.npz",
        calibration=HOME / "data" / f"{name}.calibration.npz",
        depth=card.depth,
        card=card,
    )


def read_card(path: Path) -> Card:
    """Return the card in a file of the package.

    Raises:
        Internal: the installation is damaged.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        return Card(**{**told, "notes": tuple(told.get("notes", ()))})
    except (OSError, ValueError, TypeError) as error:
        raise Internal(f"a model card cannot be read: {error}", where=path, hint="install the package again") from error
