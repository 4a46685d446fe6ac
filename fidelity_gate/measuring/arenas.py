"""The activation arena of every compared step graph: in its record, or why it is not known."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fidelity_gate.analysis.arena import arena_of
from fidelity_gate.errors import NotMeasured

if TYPE_CHECKING:
    from fidelity_gate.protocols import OpenedModel
    from fidelity_gate.records import ModelRecord


def planned(opened: tuple[OpenedModel, ...], records: tuple[ModelRecord, ...]) -> tuple[ModelRecord, ...]:
    """Return the records with the arena of every model that is a step graph.

    Args:
        opened: the models, the reference first.
        records: theirs, in the same order.
    """
    return tuple(_planned(record, model) for record, model in zip(records, opened, strict=True))


def _planned(record: ModelRecord, model: OpenedModel) -> ModelRecord:
    try:
        return replace(record, arena=arena_of(model))
    except NotMeasured as error:
        hint = f" ({error.hint})" if error.hint else ""
        return replace(record, arena_gap=f"{error.field} {error.what}{hint}")
