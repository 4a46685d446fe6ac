"""`base: true`: a file that is only there to be extended, looked at by itself all the same.

What it leaves to the policies that extend it (a depth, targets, checks) is filled in with something that stands for
any, so that everything it does say can be checked: `policy lint` and `policy diff` do. Nothing is ever judged by it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fidelity_gate.policy.merging import BASE
from fidelity_gate.policy.targets import PREFIX
from fidelity_gate.policy.yaml_reader import read_tree

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fidelity_gate.policy.yaml_reader import Node

ANY_TARGET = "any-target"
# The deepest recursion there can be: no step that a base names may be beyond it.
_FILLING = f"""\
recursion: {{h_cycles: 1000, l_cycles: 1000, steps: 10000}}
targets: [{{name: {ANY_TARGET}, sram: 1 GiB, flash: 1 GiB, latency: 1 s}}]
checks:
  any-check: {{metric: model_size, require: {{max: 1 GiB}}}}
""".encode()
LEFT_OPEN = "what extends it"  # where the values are from that stand for any


def is_base(tree: Node) -> bool:
    """Return whether a file says that it is only there to be extended."""
    said = (tree.entries or {}).get(BASE)
    return said is not None and said.scalar is not False


def filled(tree: Node) -> Node:
    """Return a base, completed by what stands for the policies that extend it."""
    said, filling = dict(tree.entries or {}), _filling()
    for key in ("recursion", "checks"):
        said.setdefault(key, filling[key])
    if _names_limits(tree):
        said.setdefault("targets", filling["targets"])
    return replace(tree, entries=said)


def any_checks() -> Node:
    """Return `checks:` that ask for hardly anything, where some have to be."""
    return _filling()["checks"]


def _filling() -> Mapping[str, Node]:
    return read_tree(_FILLING, LEFT_OPEN).entries or {}


def _names_limits(node: Node) -> bool:
    """Return whether anything is bounded by a limit of a target."""
    below = [*(node.entries or {}).values(), *(node.items or ())]
    return (isinstance(node.scalar, str) and node.scalar.startswith(PREFIX)) or any(map(_names_limits, below))
