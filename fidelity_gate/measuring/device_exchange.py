"""A session that asks for runs of a graph, and answers with what a device made of them: the recursion notices nothing.

A recursion runs its graph and waits for the outputs. A device runs many entries at once, hours later. So the recursion
is driven more than once: first over its own session, while the feeds of the wanted runs are taken down; then over what
the device gave for them. Layout, heads and the number of probes a run are the recursion's business all the time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fidelity_gate.errors import NotMeasured

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from fidelity_gate.protocols import GraphSession
    from fidelity_gate.records import DeviceInference

    Arrays = Mapping[str, NDArray[Any]]

_MOST_NAMED = 5


class Call(NamedTuple):
    """One run of a graph."""

    group: int  # of probes that a run takes together, from 0
    step: int  # ACT step, from 1
    run: int  # of the step, from 0


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """A run that a device is to make."""

    feeds: Arrays
    own: Arrays  # what the graph gives for them here: what the device gives has to look like it


@dataclass(slots=True, eq=False)
class Exchange:
    """A session (the `GraphSession` protocol) that answers with a device's outputs where it has them.

    Attributes:
        own: the graph's own session.
        wanted: the runs whose feeds are to be taken down.
        asked: what was taken down.
        known: what the device gave.
    """

    own: GraphSession
    wanted: frozenset[Call] = frozenset()
    asked: dict[Call, Asked] = field(default_factory=dict)
    known: dict[Call, Arrays] = field(default_factory=dict)
    _next: Call = field(default_factory=lambda: Call(0, 1, 0))

    def at(self, group: int, step: int) -> None:
        """Say which step of which probes is made next."""
        self._next = Call(group, step, 0)

    def run(self, outputs: Sequence[str], feeds: Arrays) -> list[NDArray[Any]]:
        """Return these outputs of the run that is due."""
        call = self._next
        self._next = call._replace(run=call.run + 1)
        known = self.known.get(call)
        if known is not None:
            return [known[name] for name in outputs]
        found = self.own.run(outputs, feeds)
        if call in self.wanted:
            self.asked[call] = Asked(dict(feeds), dict(zip(outputs, found, strict=True)))
        return found

    def ask(self, wanted: Iterable[Call]) -> None:
        """Take down the feeds of these runs from now on."""
        self.wanted = frozenset(wanted)
        self.asked.clear()

    def entries(self) -> tuple[dict[str, list[NDArray[Any]]], tuple[str, ...]]:
        """Return what a device is to run, input -> array of every entry, and the outputs that are wanted."""
        calls = sorted(self.asked)
        first = self.asked[calls[0]]
        feeds = {name: [self.asked[call].feeds[name] for call in calls] for name in sorted(first.feeds)}
        return feeds, tuple(first.own)

    def take(self, told: DeviceInference) -> None:
        """Take what a device gave for `entries`.

        Raises:
            NotMeasured: an output is missing, or has another number of entries, another shape or type than the graph
                gives here, or values that are not finite.
        """
        calls = sorted(self.asked)
        for name in self.asked[calls[0]].own:
            _refuse_other_number(name, told, len(calls))
        for place, call in enumerate(calls):
            own = self.asked[call].own
            where = f"of entry {place + 1} of {len(calls)}, a run of step {call.step},"
            self.known[call] = {name: _checked(name, told.outputs[name][place], own[name], where) for name in own}
        self.ask(())


def _refuse_other_number(name: str, told: DeviceInference, entries: int) -> None:
    if name not in told.outputs:
        there = ", ".join(sorted(map(str, told.outputs))[:_MOST_NAMED]) or "nothing"
        raise NotMeasured(f"the device did not give the output {name}, it gave {there}")
    found = len(told.outputs[name])
    if found != entries:
        raise NotMeasured(f"the device gave {name} for {found} of {entries} entries")


def _checked(name: str, given: Any, own: NDArray[Any], where: str) -> NDArray[Any]:  # noqa: ANN401  (a device's)
    if not isinstance(given, np.ndarray) or given.shape != own.shape or given.dtype != own.dtype:
        raise NotMeasured(f"{name} {where} is {_kind(given)} from the device, and {_kind(own)} here")
    if given.dtype.kind == "f" and not np.isfinite(given).all():
        raise NotMeasured(f"{name} {where} is not finite on the device")
    return given


def _kind(value: Any) -> str:  # noqa: ANN401
    if not isinstance(value, np.ndarray):
        return f"no array but {type(value).__name__}"
    return f"{value.dtype} {'x'.join(map(str, value.shape)) or 'scalar'}"
