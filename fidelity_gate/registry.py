"""Name -> "module:Class" -> plug: how rooms find and build their plugs, lazily and with did-you-mean."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import importlib
import inspect
import sys
import types
import typing
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from fidelity_gate.errors import GateError, Internal, PolicyError
from fidelity_gate.options import NO_MATCH, converted, described, shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ENTRY_POINT_PREFIX = "fidelity_gate"


# What people call a plug of a room, where that is another word than the room's.
_CALLED = {
    "analysis.rules": "rule",
    "compress": "recipe",
    "devices": "kind of device",
    "inputs": "source of inputs",
    "metrics": "metric",
    "models": "model format",
    "models.families": "family",
    "reports": "kind of report",
    "reports.comparison": "kind of report",
    "reports.lint": "kind of report",
}


def table_of(room: str) -> dict[str, str]:
    """Return every plug of `room`, sorted: the room's own table, then installed entry points.

    Args:
        room: a package of fidelity_gate that has a `TABLE` ("metrics", "models.families", ...).

    Returns:
        Plug name -> "module:attribute". A foreign plug can never replace one of ours.
    """
    table: Mapping[str, str] = importlib.import_module(f"fidelity_gate.{room}").TABLE
    return dict(sorted({**dict(_installed(room)), **table}.items()))


@functools.cache
def _installed(room: str) -> tuple[tuple[str, str], ...]:
    """Return what installed packages add to a room; looking through all of them takes 30 ms, so once."""
    return tuple((point.name, point.value) for point in entry_points(group=f"{ENTRY_POINT_PREFIX}.{room}"))


def find(room: str, name: str, *, where: str = "", field: str = "", kind: type[GateError] = PolicyError) -> Any:  # noqa: ANN401  (a plug's class)
    """Import and return the plug `name` of `room`.

    Raises:
        kind: no such plug; the message names the nearest ones.
    """
    table = table_of(room)
    if name not in table:
        what = f"no {_CALLED.get(room, f'{room} plug')} is named"
        raise unknown(name, table, what=what, where=where, field=field, kind=kind)
    module, _, attribute = table[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def unknown(  # noqa: PLR0913  (two of these only say where an error is)
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
    longer = [known for known in names if name and known.startswith(name)]  # int4 -> int4-naive, rather than int8
    near = longer[:3] or difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}"
    return kind(f"{what} '{name}'", where=where, field=field, hint=hint)


def build(  # noqa: PLR0913  (three of these only say where an error is)
    room: str,
    name: str,
    options: Iterable[tuple[str, object]],
    *,
    where: str = "",
    field: str = "",
    kind: type[GateError] = PolicyError,
    from_text: bool = False,
) -> Any:  # noqa: ANN401  (a plug)
    """Return the plug `name` of `room` with these options as its fields.

    Args:
        room: "metrics", "inputs", "compress", ...
        name: of the plug.
        options: (field name, value) pairs.
        where: the file, or `FILE:LINE:COL`, for errors.
        field: the policy key the options stand under, for errors (`checks.a.options`).
        kind: the error to raise.
        from_text: values may be text that has to be parsed (command line, recipe strings).

    Raises:
        kind: no such plug; an option it does not have (with the nearest ones), given twice, missing, of the wrong
            type or not finite; or a value that the plug itself refuses.
    """
    plug = find(room, name, where=where, field=field, kind=kind)
    types_of = option_types(plug)
    values: dict[str, object] = {}
    for key, value in options:
        at = f"{field}.{key}" if field else key
        if key not in types_of:
            raise unknown(key, types_of, what=f"{name} has no option", where=where, field=field, kind=kind)
        if key in values:
            raise kind("given twice", where=where, field=at)
        values[key] = converted(value, types_of[key], from_text=from_text)
        if values[key] is NO_MATCH:
            allowed = f"must be {described(types_of[key])}"
            if isinstance(value, int | float) and converted(str(value), types_of[key], from_text=False) is not NO_MATCH:
                allowed += f', in quotes: "{shown(value)}"'
            raise kind(f"{shown(value)} is not a value {name} takes here", where=where, field=at, hint=allowed)
    missing = [key for key in _required(plug) if key not in values]
    if missing:
        raise kind(f"{name} needs {' and '.join(missing)}", where=where, field=field)
    return _constructed(plug, values, where=where, field=field, kind=kind)


def option_types(plug: Any) -> dict[str, Any]:  # noqa: ANN401  (a plug's class)
    """Return the plug's options, field name -> resolved type, in the order of its fields."""
    return {item.name: _resolved(plug, item.name) for item in _fields(plug)}


def _fields(plug: Any) -> list[dataclasses.Field[Any]]:  # noqa: ANN401
    return [item for item in dataclasses.fields(plug) if item.init] if dataclasses.is_dataclass(plug) else []


def _required(plug: Any) -> list[str]:  # noqa: ANN401
    no_default = dataclasses.MISSING
    return [item.name for item in _fields(plug) if item.default is no_default and item.default_factory is no_default]


def _resolved(plug: Any, name: str) -> Any:  # noqa: ANN401
    """Return one field's type; the annotations beside it (class variables) may name things imported for types only."""
    owner = next(kind for kind in plug.__mro__ if name in inspect.get_annotations(kind))
    alone = types.SimpleNamespace(__annotations__={name: inspect.get_annotations(owner)[name]})
    try:
        return typing.get_type_hints(alone, globalns=vars(sys.modules[owner.__module__]))[name]
    except NameError as error:
        raise Internal(f"{plug.__name__}.{name}: its type must be importable at run time ({error})") from error


def _constructed(
    plug: Any,  # noqa: ANN401
    values: dict[str, object],
    *,
    where: str,
    field: str,
    kind: type[GateError],
) -> Any:  # noqa: ANN401
    try:
        return plug(**values)
    except GateError as error:
        at = ".".join(part for part in (field, error.field) if part)
        raise kind(error.what, where=error.where or where, field=at, hint=error.hint) from error
    except ValueError as error:
        raise kind(str(error) or f"{plug.__name__} refuses these options", where=where, field=field) from error
