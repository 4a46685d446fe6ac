"""A weakness of a policy, and what the rules that find weaknesses look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fidelity_gate.policy.bounding import Resolved
    from fidelity_gate.policy.problems import Problems
    from fidelity_gate.records import Place, Policy


@dataclass(frozen=True, slots=True)
class Advice:
    """One weakness."""

    rule: str
    place: Place
    what: str
    hint: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What the rules look at."""

    policy: Policy
    checks: Sequence[Resolved]  # those that are not off
    places: Problems

    @property
    def first(self) -> Place:
        """Where a whole block is meant: the key `checks`."""
        return self.places.place(("checks",), key=True)

    def of(self, metric: str) -> list[Resolved]:
        """Return the checks of one metric."""
        return [resolved for resolved in self.checks if resolved.check.metric == metric]

    @property
    def traced(self) -> bool:
        """Return whether anything compares what the models do."""
        return any(resolved.plug.evidence.traced for resolved in self.checks)


def in_order(advice: Iterable[Advice]) -> tuple[Advice, ...]:
    """Return weaknesses in the order of their files and lines."""
    return tuple(sorted(advice, key=lambda one: (one.place.file, one.place.line, one.place.column, one.rule)))
