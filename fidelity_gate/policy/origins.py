"""Everything that a policy says, with where each value is from: a file and its line, a default, or what ships.

The values stand in the order of the schema. What is left out and has a default is there too, as "default"; a policy
that wrote all of it out would ask for exactly the same.
"""

from __future__ import annotations

import os.path
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from fidelity_gate import registry
from fidelity_gate.policy.comparing_checks import by_id
from fidelity_gate.policy.energy import FIGURE
from fidelity_gate.policy.fragments import ANY_TARGET
from fidelity_gate.policy.merging import LOCKED
from fidelity_gate.policy.problems import block_at
from fidelity_gate.policy.schema_checks import CheckBlock, DeviceBlock
from fidelity_gate.policy.schema_models import CandidateBlock, TargetBlock
from fidelity_gate.policy.schema_values import ZOO
from fidelity_gate.policy.targets import LIMIT_UNITS, PREFIX, SHIPPED, limit_of
from fidelity_gate.units import format_exact

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fidelity_gate.policy.bounding import Resolved
    from fidelity_gate.policy.differing import Side
    from fidelity_gate.policy.problems import Path
    from fidelity_gate.policy.yaml_reader import Node
    from fidelity_gate.records import Scalar

DEFAULT = "default"
_HIDDEN = ("extends", LOCKED)
_PATHS = {"reference": 1, "candidates": 2}  # below these, a bare text at that depth is a path


@dataclass(frozen=True, slots=True)
class Said:
    """One value of a policy.

    Attributes:
        value: a single value, a mapping or a list.
        origin: `FILE:LINE:COL`, or "default"; of a mapping or list: of its key.
        note: what else a reader wants to know: the limit that `target.sram` is.
        raw: a single value as its author wrote it, "" for a default.
    """

    value: Scalar | Mapping[str, Said] | tuple[Said, ...]
    origin: str
    note: str = ""
    raw: str = ""


Entries: TypeAlias = "dict[str, Said]"


def said_by(side: Side) -> Entries:
    """Return every top-level key of a resolved policy with all that is below it."""
    return _Reader(side, by_id(side.checks)).mapping(side.places.tree, ())


def flat(entries: Mapping[str, Said], path: Path = ()) -> Iterator[tuple[Path, Said]]:
    """Yield every single value with its path."""
    for key, said in entries.items():
        yield from _flat(said, (*path, key))


def _flat(said: Said, path: Path) -> Iterator[tuple[Path, Said]]:
    if isinstance(said.value, tuple):
        for index, item in enumerate(said.value):
            yield from _flat(item, (*path, index))
    elif isinstance(said.value, dict):
        yield from flat(said.value, path)
    else:
        yield path, said


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads one policy."""

    side: Side
    resolved: Mapping[str, Sequence[Resolved]]  # check -> once a target

    def mapping(self, node: Node, path: Path) -> Entries:
        """Return what a mapping says, in the schema's order, completed by defaults."""
        written = {key: one for key, one in (node.entries or {}).items() if path or key not in _HIDDEN}
        defaults = self._defaults(path)
        order = [key for key in defaults if key in written or defaults[key] is not None]
        order += [key for key in written if key not in defaults]
        found: Entries = {}
        for key in order:
            if key in written:
                found[key] = self._said(written[key], (*path, key))
            else:
                found[key] = _default(defaults[key])
        return found

    def _said(self, node: Node, path: Path) -> Said:
        if node.entries is not None:
            return Said(self.mapping(node, path), str(node.key_place))
        if node.items is not None:
            return Said(tuple(self._said(item, (*path, at)) for at, item in enumerate(node.items)), str(node.key_place))
        value = self._moved(node, path)
        raw = node.raw if value == node.scalar else ""
        return Said(value, str(node.place), self._note(node, path), raw)

    def _moved(self, node: Node, path: Path) -> Scalar:
        """Return a path of a base in another folder as it is seen from the policy's own."""
        value, here = node.scalar, os.path.dirname(self.side.policy.path)  # noqa: PTH120
        there = os.path.dirname(node.place.file)  # noqa: PTH120
        if not isinstance(value, str) or there == here or not _is_path(path, value):
            return value
        return os.path.relpath(os.path.join(there, value), here or ".")  # noqa: PTH118

    def _note(self, node: Node, path: Path) -> str:
        text = str(node.scalar)
        if path[0] == "targets" and len(path) == 2 and text in SHIPPED:
            return f"ships with fidelity-gate: {limits_of(text)}"
        if path[-1] in ("min", "max") and text.startswith(PREFIX):
            name = "minimum" if path[-1] == "min" else "maximum"
            known = (one for one in self.resolved.get(str(path[1]), ()) if one.check.target != ANY_TARGET)
            ends = ((one, getattr(one.check.bound, name)) for one in known)
            return "; ".join(
                f"{format_exact(end, one.plug.unit)} for {one.check.target}" for one, end in ends if end is not None
            )
        return ""

    def _defaults(self, path: Path) -> dict[str, Any]:
        """Return the keys that may stand at `path`, with the default of each; None where there is none to show."""
        block = block_at(path)
        if block is None:
            return self._options(str(path[1])) if path[0] == "checks" and path[2:] == ("options",) else {}
        fields = {item.alias or key: item for key, item in block.model_fields.items()}
        found = {key: _plain(item.get_default(call_default_factory=True)) for key, item in fields.items()}
        if block in (TargetBlock, CandidateBlock):
            found = {key: value or None for key, value in found.items()}
        if block is CheckBlock:
            found["options"] = self._options(str(path[1])) or None
        if block is DeviceBlock:
            found |= self._device(str(path[1]))
        return {**found, LOCKED: None} if LOCKED in found else found

    def _options(self, name: str) -> dict[str, Any]:
        """Return the options of a check's metric, with what they are where they are left out."""
        checks = self.resolved.get(name, ())
        return {key: value for key, value in checks[0].check.options if key != FIGURE and value != ""} if checks else {}

    def _device(self, name: str) -> dict[str, Any]:
        """Return the options of a device, as a policy would write them."""
        device = next(one for one in self.side.policy.devices if one.name == name)
        units: Mapping[str, str] = registry.find("devices", device.use).units
        return {
            key: format_exact(float(value), units[key]).partition(" (")[0] if key in units else value
            for key, value in device.options
            if value is not None and value != ""
        }


def _default(value: Any) -> Said:  # noqa: ANN401  (of a pydantic field)
    if isinstance(value, dict):
        return Said({key: _default(one) for key, one in value.items() if one is not None}, DEFAULT)
    return Said(value, DEFAULT)


def _plain(value: Any) -> Any:  # noqa: ANN401
    """Return a field's default as plain values; None for what says nothing."""
    if hasattr(value, "model_dump"):
        return value.model_dump(exclude={"locked"})
    return value if isinstance(value, str | int | float) else None


def _is_path(path: Path, value: str) -> bool:
    bare = _PATHS.get(str(path[0])) == len(path)
    named = path[-1] == "path" or (path[0] == "inputs" and value.endswith(".npy"))
    return (bare or named) and not value.startswith(ZOO) and not os.path.isabs(value)  # noqa: PTH117


def limits_of(name: str) -> str:
    """Return the limits and properties of a shipped target, for people."""
    target = SHIPPED[name]
    limits = [(word, unit, limit_of(target, word)) for word, unit in LIMIT_UNITS.items()]
    said = [f"{word} {format_exact(limit, unit)}" for word, unit, limit in limits if limit is not None]
    said += ["static only"] if target.static_only else []
    said += [f"tile {target.tile}"] if target.tile else []
    said += [f"INT8 from {target.int8_min_tokens} tokens"] if target.int8_min_tokens else []
    return ", ".join(said)
