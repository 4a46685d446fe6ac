"""What a base means by itself: its own words, completed by what it leaves to the policies that extend it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fidelity_gate.policy.baselines import HISTORY
from fidelity_gate.policy.fragments import any_checks
from fidelity_gate.policy.merging import LOCKED, merged
from fidelity_gate.policy.problems import block_at
from fidelity_gate.policy.schema_checks import CheckBlock
from fidelity_gate.policy.waivers import KEY
from fidelity_gate.wording import LINT

if TYPE_CHECKING:
    from collections.abc import Collection

    from fidelity_gate.policy.problems import Path
    from fidelity_gate.policy.yaml_reader import Node

# Mappings of names in which a base and the policy may each have their own.
NAMED = ("candidates", "devices", "energy_models")
TARGETS = "targets"


def completed(base: Node, policy: Node, path: Path) -> Node:
    """Return a base with what has to be said and it does not say, as the policy says it; what has a default stays so.

    Args:
        base: one file with its own bases.
        policy: what all files come to.
        path: of both; () at the top.
    """
    if base.entries is None or policy.entries is None:
        return base
    said = {
        key: completed(node, policy.entries[key], (*path, key)) if key in policy.entries else node
        for key, node in base.entries.items()
    }
    needed = {key: policy.entries[key] for key in _needed(path) if key in policy.entries}
    return replace(base, entries={**needed, **said})


def _needed(path: Path) -> list[str]:
    """Return the keys of a block that have no default."""
    block = block_at(path)
    fields = block.model_fields if block is not None else {}
    needed = [item.alias or key for key, item in fields.items() if item.is_required()]
    return [*needed, "aggregate"] if block is CheckBlock else needed


def as_meant(base: Node, policy: Node, names: Collection[str | int]) -> Node:
    """Return the tree of some checks of a base in their own setting, completed by what only the policy says."""
    old, new = base.entries or {}, policy.entries or {}
    entries = {**new, **old}
    for key in NAMED:
        if key in old and key in new and old[key].entries is not None:
            entries[key] = replace(old[key], entries={**(new[key].entries or {}), **(old[key].entries or {})})
    if TARGETS in old and TARGETS in new:
        entries[TARGETS] = _all_targets(old[TARGETS], new[TARGETS])
    checks = {str(name): node for name, node in (old["checks"].entries or {}).items() if name in names} if names else {}
    entries["checks"] = replace(old["checks"], entries=checks) if checks else any_checks()
    # Waivers are of the policy's own checks, and what a base does not say of lint means every rule as it ships.
    for key in (LOCKED, KEY, *([] if LINT in old else [LINT])):
        entries.pop(key, None)
    return replace(merged(base, policy), entries=entries)


def with_plain_history(meant: Node, base: Node) -> Node:
    """Return what a base means where it says nothing of a history: the policy's place of it, and every default."""
    said = meant.entries or {}
    if HISTORY not in said or HISTORY in (base.entries or {}):
        return meant
    place = {key: node for key, node in (said[HISTORY].entries or {}).items() if key == "path"}
    return replace(meant, entries={**said, HISTORY: replace(said[HISTORY], entries=place)})


def _all_targets(old: Node, new: Node) -> Node:
    """Return the targets of a base, and those that only the policy has."""
    known = {_name_of(item) for item in old.items or ()}
    return replace(old, items=(*(old.items or ()), *(one for one in new.items or () if _name_of(one) not in known)))


def _name_of(target: Node) -> object:
    named = (target.entries or {}).get("name")
    return target.scalar if named is None else named.scalar
