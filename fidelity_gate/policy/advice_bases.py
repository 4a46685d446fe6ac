"""Warnings about bases: what a policy takes back of them, what it does not use, and what a base's locks leave open."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fidelity_gate.policy.comparing import differences
from fidelity_gate.policy.comparing_checks import by_id
from fidelity_gate.policy.differing import Change
from fidelity_gate.policy.extending import SHIPPED
from fidelity_gate.policy.fragments import is_base
from fidelity_gate.policy.locking import locks_of
from fidelity_gate.policy.merging import BASE, OWN
from fidelity_gate.policy.waivers import KEY as WAIVERS
from fidelity_gate.policy.weaknesses import Advice
from fidelity_gate.records import Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.policy.differing import Difference, Side
    from fidelity_gate.policy.extending import Chain
    from fidelity_gate.policy.yaml_reader import Node


def advise_bases(chain: Chain, side: Side, base: Side | None) -> tuple[Advice, ...]:
    """Return every weakness that has to do with bases.

    Args:
        chain: the policy's files.
        side: what they come to.
        base: what the bases alone come to, completed by what only the policy says; None where there are none.
    """
    found = [*_idle_bases(chain, side), *_locks(chain, side), *_never_waived(chain, side)]
    if base is not None:
        for difference in differences(base, side):
            found += _taken_back(difference, base, side)
    return tuple(found)


def _taken_back(difference: Difference, base: Side, side: Side) -> Iterator[Advice]:
    """Yield the warning of a value that is looser than the base's; one that ships is a place to start.

    A waiver is no such value: the base's rules say which ones it bears.
    """
    was = base.place(difference.path)
    if difference.change is not Change.LOOSER or was.file.startswith(SHIPPED) or difference.path[0] == WAIVERS:
        return
    here = side.place(difference.path)
    name = ".".join(map(str, difference.path))
    if difference.path[-1] == "severity" and difference.after == Severity.OFF:
        what = f"{difference.path[1]} of the base is off ({was})"
        yield Advice("base-check-off", here, what, "nothing looks at it; lock it in the base if it must count")
    else:
        change = f"{difference.before} -> {difference.after or 'none'}"
        yield Advice("looser-than-base", here, f"{name} is looser than the base: {change}", f"the base's is at {was}")


def _idle_bases(chain: Chain, side: Side) -> Iterator[Advice]:
    """Yield the warning of a base of which nothing is left."""
    used = set(_files(side.places.tree))
    for link in chain.links[:-1]:
        if link.name not in used:
            place = side.places.place(("extends",))
            yield Advice("idle-base", place, f"nothing that {link.name} says counts here", "extend it no more")


def _files(node: Node) -> Iterator[str]:
    below = [*((one for key, one in (node.entries or {}).items() if key not in OWN)), *(node.items or ())]
    if not below:
        yield node.place.file
    for one in below:
        yield from _files(one)


def _never_waived(chain: Chain, side: Side) -> Iterator[Advice]:
    """Yield the warning of a base's check that nobody may waive, and everybody may loosen."""
    rules = side.policy.waiver_rules
    if rules is None or not is_base(chain.links[-1].tree):
        return
    held = {lock.path for lock in locks_of(chain)}
    for name in rules.never:
        if ("checks", name) not in held:
            what = f"{name} is never waived, and whoever extends this may loosen it or switch it off"
            yield Advice("never-unlocked", rules.place, what, "locked: true in the check")


def _locks(chain: Chain, side: Side) -> Iterator[Advice]:
    """Yield the warnings of locks that leave a way round them, and of a base that has none."""
    locks = locks_of(chain)
    held = {lock.path for lock in locks}
    if not locks and is_base(chain.links[-1].tree):
        place = side.places.place((BASE,), key=True)
        yield Advice("unlocked-base", place, "whoever extends it may loosen everything", "locked: true in a check")
    floored = {name for name, checks in by_id(side.checks).items() if checks[0].plug.floored}
    open_ = [key for key in ("minimum_probes", "noise_floor") if (key,) not in held]
    first = next((lock for lock in locks if lock.path[0] == "checks" and lock.path[1] in floored), None)
    if first is not None and open_:
        what = f"is locked, and {' and '.join(open_)} are not: they settle when it is decided at all"
        if len(open_) == 1:
            what = f"is locked, and {open_[0]} is not: it settles when it is decided at all"
        yield Advice("half-locked", first.place, f"{first.path[1]} {what}", f"locked: [{', '.join(open_)}]")
