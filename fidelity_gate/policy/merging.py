"""What two policies come to, one refining the other: mappings merge by key, everything else is replaced.

Every value keeps the place where it is written, so that what is said of it later names the right file.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fidelity_gate.policy.yaml_reader import Node

# What each file says for itself alone.
BASE = "base"
OWN = ("apiVersion", BASE, "extends", "name")
LOCKED = "locked"
# A mapping that names another one of these is another thing: nothing of the old one is kept.
KINDS = ("metric", "use")
# A model may be written as its bare path, which a mapping refines too: the block -> how deep models stand in it.
_MODELS = {"reference": 1, "candidates": 2}


def merged(base: Node, child: Node) -> Node:
    """Return a whole policy, refined by another one."""
    kept = {key: node for key, node in (base.entries or {}).items() if key not in OWN}
    found = _by_key(replace(base, entries=kept), child, ())
    locks = [tree.entries[LOCKED] for tree in (base, child) if tree.entries and LOCKED in tree.entries]
    if len(locks) == 2 and all(node.items is not None for node in locks):
        both = {node.scalar: node for lock in reversed(locks) for node in lock.items or ()}
        return replace(found, entries={**(found.entries or {}), LOCKED: replace(locks[1], items=tuple(both.values()))})
    return found


def _merged(base: Node, child: Node, path: tuple[str, ...]) -> Node:
    if child.entries is not None and _MODELS.get(path[0]) == len(path):
        base = _spelt_out(base)
    if base.entries is None or child.entries is None or _is_another(base, child):
        return child
    return _by_key(base, child, path)


def _by_key(base: Node, child: Node, path: tuple[str, ...]) -> Node:
    old, new = base.entries or {}, child.entries or {}
    entries = {key: _merged(node, new[key], (*path, key)) if key in new else node for key, node in old.items()}
    return replace(child, entries={**entries, **{key: node for key, node in new.items() if key not in old}})


def _spelt_out(model: Node) -> Node:
    """Return a model's bare path as the mapping that it is short for."""
    return replace(model, scalar=None, raw="", entries={"path": model}) if isinstance(model.scalar, str) else model


def _is_another(base: Node, child: Node) -> bool:
    """Return whether two mappings are of different kinds: another metric, another source of probes."""
    old, new = base.entries or {}, child.entries or {}
    return any(key in old and key in new and old[key].scalar != new[key].scalar for key in KINDS)
