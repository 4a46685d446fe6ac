"""Which output is fed back into which input: declared, or told by name, type and shape together.

A wrong pair is worse than a missing one: it would call the head a part of the recursive block. So what is not clear is
not paired, and said.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fidelity_gate import registry
from fidelity_gate.errors import ModelRefused
from fidelity_gate.records import StatePair

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fidelity_gate.records import GraphValue

NO_STATE = "none"  # what a policy, which has no null here, says of an input that is no state
# What people put around a state's name, and how little it says: the weak ones are one character long.
_STRONG, _WEAK = 1, 3
_INPUT_ENDS = dict.fromkeys(("_in", "_prev", "_previous", "_old", "_initial"), _STRONG) | {"0": _WEAK, "_0": _WEAK}
_INPUT_STARTS = ("in_", "prev_", "previous_", "past_", "old_", "initial_", "init_", "past_key_values.", "past.")
_OUTPUT_ENDS = dict.fromkeys(("_out", "_next", "_new", "_updated", ".1"), _STRONG) | dict.fromkeys(
    ("n", "N", "_n", "1", "_1"), _WEAK
)
_OUTPUT_STARTS = ("out_", "next_", "new_", "updated_", "present_", "present.")
_MOST_TOLD = 8
_NEVER_STATES = ("logit", "halt", "prob", "loss", "score", "answer")


def pair_states(
    inputs: tuple[GraphValue, ...],
    outputs: tuple[GraphValue, ...],
    declared: Mapping[str, str | None] | None = None,
    where: str = "",
) -> tuple[tuple[StatePair, ...], tuple[str, ...]]:
    """Return the state pairs in the order of the inputs, and a line for whatever about them is not certain.

    Declared pairs hold, even where they cannot be fed back. Others need names of one stem, one type and one shape, and
    no rival. Where no name tells anything, one float input and one float output of exactly one shape are a pair if no
    other input or output looks like them.

    Args:
        inputs: of the graph.
        outputs: of the graph.
        declared: state input -> state output; None says that an input is no state.
        where: the file, for errors.

    Raises:
        ModelRefused: a declared pair names an input or an output that is not there, or an output twice.
    """
    pairing = _Pairing(list(inputs), list(outputs))
    _take_declared(pairing, declared or {}, where)
    levels = sorted({cost for cost, _, _ in pairing.named()})
    for level in levels:
        _take_level(pairing, level)
    if not pairing.pairs and not pairing.doubts:
        _take_lookalikes(pairing)
    order = {value.name: index for index, value in enumerate(inputs)}
    pairs = sorted(pairing.pairs, key=lambda pair: order[pair.input])
    return tuple(pairs), (*pairing.doubts, *_unpaired(pairing))


@dataclass(slots=True)
class _Pairing:
    """What is left to pair, and what was found so far."""

    inputs: list[GraphValue]
    outputs: list[GraphValue]
    pairs: list[StatePair] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    def named(self) -> list[tuple[int, GraphValue, GraphValue]]:
        """Return what names alone would pair, each with how far its two names are apart."""
        stems = [(value, _stems(value.name, _INPUT_STARTS, _INPUT_ENDS)) for value in self.inputs]
        ends = [(value, _stems(value.name, _OUTPUT_STARTS, _OUTPUT_ENDS)) for value in self.outputs]
        found = []
        for value, ours in stems:
            for other, theirs in ends:
                common = ours.keys() & theirs.keys()
                if common:
                    found.append((min(ours[stem] + theirs[stem] for stem in common), value, other))
        return found

    def take(self, value: GraphValue, other: GraphValue) -> None:
        self.pairs.append(StatePair(value.name, other.name))
        self.drop([value], [other])

    def drop(self, inputs: Iterable[GraphValue], outputs: Iterable[GraphValue]) -> None:
        gone, unwanted = {value.name for value in inputs}, {value.name for value in outputs}
        self.inputs = [value for value in self.inputs if value.name not in gone]
        self.outputs = [value for value in self.outputs if value.name not in unwanted]


def _take_declared(pairing: _Pairing, declared: Mapping[str, str | None], where: str) -> None:
    inputs = {value.name: value for value in pairing.inputs}
    outputs = {value.name: value for value in pairing.outputs}
    for name, target in sorted(declared.items()):
        place = f"state.{name}"
        if name not in inputs:
            raise registry.unknown(name, inputs, what="has no input", where=where, field=place, kind=ModelRefused)
        if target is None or (target == NO_STATE and target not in outputs):
            pairing.drop([inputs[name]], [])
            continue
        if target not in outputs:
            raise registry.unknown(target, outputs, what="has no output", where=where, field=place, kind=ModelRefused)
        if any(pair.output == target for pair in pairing.pairs):
            raise ModelRefused(f"'{target}' is declared for two inputs", where=where, field=place)
        if not _alike(inputs[name], outputs[target]):
            found = f"{_shown(inputs[name])} and {_shown(outputs[target])}"
            pairing.doubts.append(f"declared as one state, and cannot be fed back: {found}")
        pairing.take(inputs[name], outputs[target])


def _take_level(pairing: _Pairing, level: int) -> None:
    """Pair names that are this far apart; what has a rival is left out for good."""
    close = [(value, other) for cost, value, other in pairing.named() if cost == level]
    fitting = [(value, other) for value, other in close if _alike(value, other)]
    for value, other in close:
        if level < _WEAK and not _alike(value, other):
            pairing.doubts.append(f"named as one state, and cannot be fed back: {_shown(value)} and {_shown(other)}")
            pairing.drop([value], [other])
    rivals = []
    for value, other in fitting:
        if sum(value is one or other is two for one, two in fitting) == 1:
            pairing.take(value, other)
        else:
            rivals.append((value, other))
    if rivals:
        names = ", ".join(f"{value.name} and {other.name}" for value, other in rivals[:_MOST_TOLD])
        pairing.doubts.append(f"could be states in more than one way: {names}")
        pairing.drop([value for value, _ in rivals], [other for _, other in rivals])


def _take_lookalikes(pairing: _Pairing) -> None:
    close = _lookalikes(pairing)
    if len(close) == 1:
        value, other = close[0]
        pairing.doubts.append(f"{value.name} is taken to be fed by {other.name}, by type and shape alone")
        pairing.take(value, other)


def _lookalikes(pairing: _Pairing) -> list[tuple[GraphValue, GraphValue]]:
    """Return the float inputs and outputs of one type and exactly one shape, names aside."""
    return [
        (value, other)
        for value in pairing.inputs
        for other in pairing.outputs
        if "float" in value.dtype
        and value.shape == other.shape
        and _alike(value, other)
        and len(value.shape or ()) >= 2
        and not any(word in other.name.lower() for word in _NEVER_STATES)
    ]


def _unpaired(pairing: _Pairing) -> list[str]:
    """Return a line for whatever is left and looks like state."""
    close = _lookalikes(pairing)
    lines = [
        f"{value.name} and {other.name} look alike, and neither their names nor the policy pair them"
        for value, other in close[:_MOST_TOLD]
    ]
    return [*lines, f"{len(close) - _MOST_TOLD} more look alike"] if len(close) > _MOST_TOLD else lines


def _stems(name: str, starts: tuple[str, ...], ends: Mapping[str, int]) -> dict[str, int]:
    """Return what a name may be short for -> how much was taken off it."""
    found = {name: 0}
    for start in starts:
        if name.startswith(start) and len(name) > len(start):
            found.setdefault(name.removeprefix(start), _STRONG)
    for end, cost in ends.items():
        if name.endswith(end) and len(name) > len(end):
            found.setdefault(name.removesuffix(end), cost)
    return found


def _alike(value: GraphValue, other: GraphValue) -> bool:
    """Return whether one can be fed back as the other, as far as the file says."""
    if value.dtype != other.dtype or value.shape is None or other.shape is None:
        return False
    if len(value.shape) != len(other.shape):
        return False
    return all(
        left == right or not (isinstance(left, int) and isinstance(right, int))
        for left, right in zip(value.shape, other.shape, strict=True)
    )


def _shown(value: GraphValue) -> str:
    shape = "of unknown shape" if value.shape is None else "x".join(str(size or "?") for size in value.shape)
    return f"{value.name} {value.dtype or 'of unknown type'} {shape}".strip()
