"""An architecture from a configuration alone: what a model will cost can be said before it is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fidelity_gate import registry
from fidelity_gate.errors import ModelRefused
from fidelity_gate.models.choosing import ROOM
from fidelity_gate.models.sidecars import sources_in

if TYPE_CHECKING:
    from fidelity_gate.protocols import Family
    from fidelity_gate.records import Options, Scalar


def open_architecture(path: str, said: Options = ()) -> Family:
    """Return the architecture that a configuration describes.

    Args:
        path: an official `all_config.yaml` (with `dataset.json` beside it), or a `.model.yaml` that names its `family`.
        said: facts that the file lacks; they count before the file's.

    Raises:
        ModelRefused: the file cannot be read, names no family, or lacks a fact.
    """
    merged: dict[str, Scalar] = {}
    for source in reversed(sources_in(path)):
        merged |= dict(source.hints)
    merged |= dict(said)
    if "family" not in merged:
        known = ", ".join(registry.table_of(ROOM))
        raise ModelRefused("is not said", where=path, field="family", hint=f"one of: {known}")
    name = str(merged.pop("family"))
    fields = registry.option_types(registry.find(ROOM, name, where=path, field="family", kind=ModelRefused))
    options = tuple(sorted((key, value) for key, value in merged.items() if key in fields))
    family: Family = registry.build(ROOM, name, options, where=path, kind=ModelRefused)
    return family
