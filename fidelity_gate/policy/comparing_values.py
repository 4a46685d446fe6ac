"""Values that have no order: where two of them differ, and how they are shown."""

from __future__ import annotations

import os.path
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

from fidelity_gate.policy.differing import Change, Difference
from fidelity_gate.policy.schema_values import ZOO
from fidelity_gate.records import Place
from fidelity_gate.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fidelity_gate.policy.differing import Side
    from fidelity_gate.policy.problems import Path


def unordered_each(path: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    """Yield the differences of two mappings whose values have no order."""
    for name in {**old, **new}:
        if name not in new:
            yield Difference((*path, name), Change.REMOVED, shown_value(old[name]))
        elif name not in old:
            yield Difference((*path, name), Change.ADDED, "", shown_value(new[name]))
        else:
            yield from unordered((*path, name), old[name], new[name])


def unordered(path: Path, old: Any, new: Any) -> Iterator[Difference]:  # noqa: ANN401
    """Yield the differences of two values, or of those in them, that have no order."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in {**old, **new}:
            yield from unordered((*path, key), old.get(key, ""), new.get(key, ""))
    elif _typed(old) != _typed(new):
        yield Difference(path, Change.INCOMPARABLE, shown_value(old), shown_value(new))


def by_name(records: Sequence[Any]) -> dict[str, Any]:
    """Return records by their names."""
    return {record.name: record for record in records}


def _typed(value: Any) -> Any:  # noqa: ANN401  (1, 1.0 and true are equal in Python)
    return (type(value).__name__, value) if isinstance(value, bool | int | float) else value


def plain_record(value: Any, side: Side, path: Path) -> Any:  # noqa: ANN401  (records)
    """Return a record without places, its paths against the policy's folder: what the same text says elsewhere too."""
    if is_dataclass(value) and not isinstance(value, type):
        named = {item.name: getattr(value, item.name) for item in fields(value)}
        plain = {
            key: _told_path(key, one, side, path) if key in ("path", "base") else plain_record(one, side, (*path, key))
            for key, one in named.items()
            if not isinstance(one, Place) and key != "name"
        }
        return plain | dict(plain.pop("options", ()))  # the options of a plug are written beside what it is
    return value


def _told_path(key: str, resolved: Any, side: Side, path: Path) -> Any:  # noqa: ANN401  (a path, where it is text)
    """Return a path against the policy's folder, as far as it was written against a folder."""
    node, _ = side.places.tree.at((*path, key))
    there = resolved if key == "base" else node.scalar
    if not isinstance(there, str) or os.path.isabs(str(node.scalar)) or there.startswith(ZOO):  # noqa: PTH117
        return resolved
    if key == "path":
        there = os.path.join(os.path.dirname(node.place.file), there)  # noqa: PTH118, PTH120
    return os.path.relpath(there or ".", os.path.dirname(side.policy.path) or ".")  # noqa: PTH120


def shown_value(value: Any) -> str:  # noqa: ANN401
    """Return a value for people, in one line."""
    if value is None:
        return "none"
    if isinstance(value, dict):
        said = [f"{key}={shown_value(one)}" for key, one in value.items() if one not in (None, "", ".", (), False)]
        return printable(" ".join(said), 120)
    if isinstance(value, tuple):
        pairs = [f"{one[0]}={one[1]}" if isinstance(one, tuple) and len(one) == 2 else str(one) for one in value]
        return printable(",".join(pairs), 120)
    if isinstance(value, bool):
        return str(value).lower()
    return printable(f"{value:g}" if isinstance(value, float) else str(value), 120)
