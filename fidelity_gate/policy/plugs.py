"""A plug of another room, built from a block's options so that a mistake is told at its own line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fidelity_gate import registry
from fidelity_gate.errors import GateError
from fidelity_gate.policy.problems import near_or_known

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fidelity_gate.policy.problems import Path, Problems
    from fidelity_gate.records import Options, Scalar


def option_values(plug: Any, names: Iterable[str]) -> Options:  # noqa: ANN401  (a plug)
    """Return the plug's options of these names, sorted, as plain values."""
    return tuple((name, _as_scalar(getattr(plug, name))) for name in sorted(names))


def _as_scalar(value: Any) -> Scalar:  # noqa: ANN401  (an option)
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    plain: Scalar = getattr(value, "value", value)
    return plain


def built(room: str, name: str, options: Mapping[str, object], path: Path, problems: Problems) -> Any:  # noqa: ANN401
    """Return the plug, or None after adding problems.

    Args:
        room: "metrics", "inputs".
        name: of the plug; known to be in the room's table.
        options: as the policy writes them.
        path: of the block that holds the options.
        problems: what is wrong goes here.
    """
    types = registry.option_types(registry.find(room, name))
    strange = [key for key in options if key not in types]
    for key in strange:
        hint = near_or_known(key, types) if types else "remove it"
        problems.add((*path, key), f"{name} has no option '{key}'", hint, key=True)
    if strange:
        return None
    try:
        return registry.build(room, name, options.items(), field=".".join(map(str, path)))
    except GateError as error:
        named = error.field.rpartition(".")[2]
        problems.take(error, (*path, named) if named in options else path)
        return None
