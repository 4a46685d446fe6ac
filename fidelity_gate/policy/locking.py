"""`locked:` in a base -> whoever extends it may only tighten: a looser value is refused, with the places of both.

A lock holds from the file that says it: what the policy comes to has to ask for at least all that its files up to
there, and up to every later one, ask for. A locked check is compared as it was meant there: with the targets, devices
and energy models of those files where they have any. Nothing unlocks.
"""

from __future__ import annotations

import os.path
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fidelity_gate.errors import UsageError
from fidelity_gate.policy.comparing import differences
from fidelity_gate.policy.differing import WEAKENING, Change
from fidelity_gate.policy.energy import METRIC as ENERGY
from fidelity_gate.policy.energy import NAME as MODEL
from fidelity_gate.policy.extending import SHIPPED
from fidelity_gate.policy.meaning import NAMED, as_meant, completed, with_plain_history
from fidelity_gate.policy.merging import LOCKED
from fidelity_gate.policy.waivers import KEY, RULES
from fidelity_gate.records import Against, Evidence
from fidelity_gate.wording import LINT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from fidelity_gate.policy.bounding import Resolved
    from fidelity_gate.policy.differing import Difference, Side
    from fidelity_gate.policy.extending import Chain
    from fidelity_gate.policy.naming import Overrides
    from fidelity_gate.policy.problems import Path, Problems
    from fidelity_gate.policy.yaml_reader import Node
    from fidelity_gate.records import Place, Policy

    Resolve = Callable[[Node], Side | None]

DEPTH, HISTORY = "recursion", "history"


@dataclass(frozen=True, slots=True)
class Lock:
    """One check or block that was locked."""

    path: Path  # ("checks", "carry-fidelity"), ("noise_floor",)
    place: Place
    level: int  # of the file that locks it: 0 is the furthest base


def locks_of(chain: Chain, levels: Iterable[int] | None = None) -> tuple[Lock, ...]:
    """Return every lock of some files, or of all where none are named, each where it was set first."""
    found: dict[Path, Lock] = {}
    for level in range(len(chain.links)) if levels is None else levels:
        for path, node in _said(chain.links[level].tree):
            if node.scalar is not False:
                found.setdefault(path, Lock(path, node.place, level))
    return tuple(found.values())


def check_locks(chain: Chain, final: Side, problems: Problems, resolve: Resolve) -> None:
    """Add every value that is looser than a lock allows to the problems.

    Args:
        chain: the policy's files.
        final: what they come to.
        problems: of the policy.
        resolve: makes a side of another tree of the same policy; None after adding what is wrong with it.
    """
    locks = locks_of(chain)
    _refuse_unlocking(chain, locks, problems)
    _refuse_idle(chain, locks, problems)
    _refuse_own_rules(chain, locks, final, problems)
    _refuse_own_depths(chain, locks, final, problems)
    told: set[Path] = set()
    for tree, held in _bases(chain, problems.tree):
        names = [lock.path[1] for lock in held if lock.path[0] == "checks"]
        meant = with_plain_history(as_meant(tree, problems.tree, names), tree)
        base = resolve(meant) if held else None
        if base is None:
            continue
        for lock, difference in _broken(base, final, held):
            if difference.path not in told:
                told.add(difference.path)
                _refuse(lock, difference, base, final, problems)


def _bases(chain: Chain, policy: Node) -> Iterator[tuple[Node, tuple[Lock, ...]]]:
    """Yield everything that the policy is held to, the last file first, with the locks that hold there.

    That is what all files up to one come to, and what each one means by itself: a file that is extended before it says
    nothing in its name, or it could say beforehand what a lock leaves at its default.
    """
    for level in reversed(range(len(chain.links) - 1)):
        reach = chain.links[level].reach
        yield chain.tree(level + 1), locks_of(chain, range(level + 1))
        if len(reach) <= level:
            yield completed(chain.tree_of(level), policy, ()), locks_of(chain, reach)


def _refuse_own_rules(chain: Chain, locks: tuple[Lock, ...], final: Side, problems: Problems) -> None:
    """Refuse a waiver of a locked check by rules that are not of the file that locks it, or of its bases."""
    held = {lock.path: lock for lock in locks}
    for waiver in final.policy.waivers:
        lock = held.get(("checks", waiver.check))
        if lock is not None and RULES not in (chain.tree_of(lock.level).entries or {}):
            what = f"waives {waiver.check}, locked at {_from(waiver.place, lock.place)}, by rules of another file"
            problems.add_at(waiver.place, (KEY, waiver.id), what, f"{RULES}: where it is locked")


def _refuse_own_depths(chain: Chain, locks: tuple[Lock, ...], final: Side, problems: Problems) -> None:
    """Refuse a candidate of a later file at a depth of its own where the recursion is locked."""
    lock = next((lock for lock in locks if lock.path == (DEPTH,)), None)
    if lock is None:
        return
    base = chain.tree_of(lock.level)
    for spec in final.policy.candidates:
        path: Path = ("candidates", spec.name, DEPTH)
        if spec.recursion is not None and len(base.at(path[:2])[1]) < 2:
            here = final.place(path)
            what = f"is a depth of its own, and {DEPTH} is locked at {_from(here, lock.place)}"
            problems.add_at(here, path, what, "remove the key")


def refuse_replaced(chain: Chain, overrides: Overrides) -> None:
    """Raise UsageError where the command line would replace what the policy locks."""
    given = {"reference": overrides.reference, "inputs": overrides.inputs}
    for lock in locks_of(chain):
        key = str(lock.path[0])
        if given.get(key) is not None:
            what = f"{key} is locked, and the command line cannot replace it"
            raise UsageError(what, where=str(lock.place), field=f"--{key}", hint="leave out the option")


def refuse_other_history(chain: Chain, policy: Policy) -> None:
    """Raise UsageError where the command line would replace a history that is locked, or that a locked check rests on.

    Args:
        chain: the policy's files.
        policy: what they come to.
    """
    resting = {("checks", check.id) for check in policy.checks if check.against is Against.HISTORY}
    for lock in locks_of(chain):
        if lock.path == (HISTORY,) or (lock.path in resting and _has_history(chain, lock)):
            what = f"{'.'.join(map(str, lock.path))} is locked, and the command line cannot replace the history"
            raise UsageError(what, where=str(lock.place), field="--history", hint="leave out the option")


def _has_history(chain: Chain, lock: Lock) -> bool:
    return HISTORY in (chain.tree(lock.level + 1).entries or {})


def _said(tree: Node) -> Iterator[tuple[Path, Node]]:
    """Yield everything that one file locks or unlocks, with the value that says so."""
    entries = tree.entries or {}
    for item in entries[LOCKED].items or () if LOCKED in entries else ():
        yield (str(item.scalar),), item
    if RULES in entries:  # what may be waived is for the furthest base to say, and only to be tightened
        yield (RULES,), entries[RULES]
    for key, block in entries.items():
        below = block.entries or {}
        if LOCKED in below and key not in ("checks", *NAMED):
            yield (key,), below[LOCKED]
    for name, check in (entries["checks"].entries or {}).items() if "checks" in entries else ():
        if check.entries is not None and LOCKED in check.entries:
            yield ("checks", name), check.entries[LOCKED]


def _refuse_unlocking(chain: Chain, locks: tuple[Lock, ...], problems: Problems) -> None:
    places = {lock.path: lock for lock in locks}
    for level, link in enumerate(chain.links):
        for path, node in _said(link.tree):
            lock = places.get(path)
            if node.scalar is False and lock is not None and lock.level <= level:
                what = f"is locked at {_from(node.place, lock.place)}, and a lock cannot be taken off"
                problems.add_at(node.place, (*path, LOCKED), what, "remove the key")


def _refuse_idle(chain: Chain, locks: tuple[Lock, ...], problems: Problems) -> None:
    """Refuse to lock a block that nothing is said of yet: its defaults are not written anywhere."""
    for lock in locks:
        if lock.path[0] not in (chain.tree_of(lock.level).entries or {}):
            what = f"locks {lock.path[0]}, which this policy says nothing of"
            problems.add_at(lock.place, (LOCKED,), what, f"write {lock.path[0]}: beside it")


def _broken(base: Side, final: Side, locks: Iterable[Lock]) -> Iterator[tuple[Lock, Difference]]:
    """Yield every difference that a lock does not allow."""
    held = {path: lock for lock in locks for path in _held(lock, base)}
    for difference in differences(base, final):
        lock = next((held[path] for path in _beginnings(difference.path) if path in held), None)
        another_file = difference.path[0] == "candidates" and difference.path[2:] in (("path",), ("use",))
        if lock is not None and difference.change in WEAKENING and not another_file:
            yield lock, difference


def _held(lock: Lock, base: Side) -> Iterator[Path]:
    """Yield all that a lock holds: itself, and what a locked check rests on."""
    yield lock.path
    if lock.path == (DEPTH,):
        yield from (("candidates", spec.name, DEPTH) for spec in base.policy.candidates)
    for resolved in base.checks:
        if lock.path == ("checks", resolved.check.id):
            yield from _rests_on(resolved, base)


def _rests_on(resolved: Resolved, base: Side) -> Iterator[Path]:
    """Yield what could make a check easier from elsewhere: lint's settings, its device, its past, its candidates."""
    check = resolved.check
    if check.metric == LINT:
        yield ("lint",)
    if check.metric == ENERGY:
        yield ("energy_models", str(dict(check.options)[MODEL]))
    if resolved.plug.evidence is Evidence.DEVICE:
        yield ("devices", resolved.plug.device)
    if check.against is not None:
        yield (str(check.against),)
    for spec in base.policy.candidates:
        if spec.name in (check.candidates or (spec.name,)):
            yield "candidates", spec.name


def _beginnings(path: Path) -> Iterator[Path]:
    for length in range(len(path), 0, -1):
        yield path[:length]


def _refuse(lock: Lock, difference: Difference, base: Side, final: Side, problems: Problems) -> None:
    words = "is looser than" if difference.change is Change.LOOSER else "is not comparable with"
    said = f"{difference.after} {words}" if difference.after else "leaves out"
    here, path = final.place(difference.path), difference.path
    there = base.place(path)
    if path[0] not in (base.places.tree.entries or {}) or there.file == here.file:  # what the base left at a default
        there = lock.place
    what = f"{said} {difference.before or 'none'}, locked at {_from(here, there)}"
    hint = "only tighten it" if difference.change is Change.LOOSER else "keep it as it is there"
    problems.add_at(here, difference.path, what, hint)


def _from(here: Place, there: Place) -> str:
    """Return a place as it is reached from another one's folder, where that is shorter: an error is one short line."""
    if there.file.startswith(SHIPPED):
        return str(there)
    near = os.path.relpath(there.file, os.path.dirname(here.file) or ".")  # noqa: PTH120
    return str(replace(there, file=min(there.file, near, key=len)))
