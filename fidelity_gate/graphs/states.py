"""Which output is fed back into which input: told by name, type and shape, or declared."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fidelity_gate.records import StatePair

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fidelity_gate.records import GraphValue

_SUFFIXES = ("_out", "_next", "_new", "n", "N")
_PREFIXES = ("next_", "new_", "out_", "present_")


def pair_states(
    inputs: tuple[GraphValue, ...], outputs: tuple[GraphValue, ...], declared: Mapping[str, str] | None = None
) -> tuple[tuple[StatePair, ...], tuple[str, ...]]:
    """Return the state pairs, and a line for everything that looks like state and was not paired."""
    by_name = {value.name: value for value in outputs}
    pairs, doubts = [], []
    for value in inputs:
        names = [declared[value.name]] if declared and value.name in declared else _likely(value.name)
        found = [by_name[name] for name in names if name in by_name]
        if len(found) == 1:
            pairs.append(StatePair(value.name, found[0].name))
        elif found:
            doubts.append(f"{value.name} could be fed by {' or '.join(other.name for other in found)}")
    return tuple(pairs), tuple(doubts)


def _likely(name: str) -> list[str]:
    """Return the names that an output fed back into `name` usually has."""
    past = [f"present{name.removeprefix('past')}"] if name.startswith("past") else []
    return [name + suffix for suffix in _SUFFIXES] + [prefix + name for prefix in _PREFIXES] + past
