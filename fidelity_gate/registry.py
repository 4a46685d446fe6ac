"""Name -> "module:Class": how rooms find their plugs, lazily and with did-you-mean."""

from __future__ import annotations

import difflib
import importlib
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from fidelity_gate.errors import GateError, PolicyError

if TYPE_CHECKING:
    from collections.abc import Mapping

ENTRY_POINT_PREFIX = "fidelity_gate"


def table_of(room: str) -> dict[str, str]:
    """Return every plug of `room`, sorted: the room's own table, then installed entry points.

    Args:
        room: a package of fidelity_gate that has a `TABLE` ("metrics", "models.families", ...).

    Returns:
        Plug name -> "module:attribute". A foreign plug can never replace one of ours.
    """
    table: Mapping[str, str] = importlib.import_module(f"fidelity_gate.{room}").TABLE
    foreign = {point.name: point.value for point in entry_points(group=f"{ENTRY_POINT_PREFIX}.{room}")}
    return dict(sorted({**foreign, **table}.items()))


def find(room: str, name: str, *, where: str = "", field: str = "") -> Any:  # noqa: ANN401  (a plug's class)
    """Import and return the plug `name` of `room`.

    Raises:
        PolicyError: no such plug; the message names the nearest ones.
    """
    table = table_of(room)
    if name not in table:
        raise unknown(name, table, what=f"no {room.rpartition('.')[2]} plug is named", where=where, field=field)
    module, _, attribute = table[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def unknown(
    name: str,
    allowed: Mapping[str, object] | tuple[str, ...],
    *,
    what: str,
    where: str = "",
    field: str = "",
    kind: type[GateError] = PolicyError,
) -> GateError:
    """Return the error for a name that nobody knows, with the nearest known names as its hint."""
    names = sorted(allowed)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}"
    return kind(f"{what} '{name}'", where=where, field=field, hint=hint)
