"""What a difference between two policies is: where it is, what it was and is, and which of the two asks for more."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from fidelity_gate.records import Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fidelity_gate.policy.bounding import Resolved
    from fidelity_gate.policy.problems import Path, Problems
    from fidelity_gate.records import Place, Policy


class Change(StrEnum):
    """What a policy became where it differs from another one."""

    LOOSER = "looser"  # something passes that did not
    TIGHTER = "tighter"
    ADDED = "added"
    REMOVED = "removed"
    INCOMPARABLE = "incomparable"  # neither asks for all that the other asks for


RANK = {Severity.OFF: 0, Severity.WARN: 1, Severity.ERROR: 2}

# Nobody can say of these that everything that was required still is.
WEAKENING = (Change.LOOSER, Change.REMOVED, Change.INCOMPARABLE)


@dataclass(frozen=True, slots=True)
class Side:
    """One of two policies: resolved, with its metrics at hand, and with the places of everything it says."""

    policy: Policy
    checks: tuple[Resolved, ...]
    places: Problems

    def place(self, path: Path) -> Place:
        """Return where a difference at `path` is written here; targets are named, and listed in the file."""
        if path[:1] == ("targets",) and len(path) > 1:
            names = [target.name for target in self.policy.targets]
            rest = (names.index(str(path[1])), *path[2:]) if path[1] in names else ()
            path = ("targets", *rest)
        return self.places.place(path)


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that differs.

    Attributes:
        path: ("checks", "carry-fidelity", "require", "min"); a target stands under its name.
        change: from the first policy to the second.
        before: the first one's value, for people; "" where it has none.
        after: the second one's.
    """

    path: Path
    change: Change
    before: str = ""
    after: str = ""

    @property
    def subject(self) -> Path:
        """Return what differs as a whole: a check, a candidate, a target, a block."""
        named = self.path[0] in ("checks", "candidates", "targets", "devices", "energy_models", "waivers")
        named = named or self.path[:2] == ("inputs", "calibration")
        return self.path[: 2 if named else 1]


def ranked(path: Path, before: float | None, after: float | None, shown: tuple[str, str], *, up: bool) -> Difference:
    """Return the difference of two numbers of which one asks for more; None asks for nothing.

    Args:
        path: of the value.
        before: in the first policy.
        after: in the second one.
        shown: both for people.
        up: whether a higher number asks for more.
    """
    tighter = before is None if before is None or after is None else (after > before) == up
    return Difference(path, Change.TIGHTER if tighter else Change.LOOSER, *shown)


def narrowed(path: Path, old: tuple[str, ...], new: tuple[str, ...]) -> Iterator[Difference]:
    """Yield the difference of two lists of names that a check is narrowed to; an empty one is everything."""
    shown = tuple(f"only {', '.join(names)}" if names else "all" for names in (old, new))
    if old and (not new or set(new) - set(old)):
        yield Difference(path, Change.TIGHTER, shown[0], shown[1])
    if new and (not old or set(old) - set(new)):
        yield Difference(path, Change.LOOSER, shown[0], shown[1])


def by_subject(differences: Iterable[Difference]) -> dict[Path, tuple[Change, tuple[Difference, ...]]]:
    """Return the differences of each check and block, and what they come to together."""
    found: dict[Path, list[Difference]] = {}
    for difference in differences:
        found.setdefault(difference.subject, []).append(difference)
    return {subject: (_whole(subject, several), tuple(several)) for subject, several in found.items()}


def _whole(subject: Path, differences: list[Difference]) -> Change:
    """Return what several differences of one subject come to; parts that come and go are changes of it."""
    changes = {_of(one, whole=one.path == subject) for one in differences}
    return changes.pop() if len(changes) == 1 else Change.INCOMPARABLE


def _of(difference: Difference, *, whole: bool) -> Change:
    came_or_went = difference.change in (Change.ADDED, Change.REMOVED)
    return Change.INCOMPARABLE if came_or_went and not whole else difference.change
