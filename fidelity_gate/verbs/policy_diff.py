"""`fidelity-gate policy diff`: which checks of a policy got looser, tighter, added or removed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from fidelity_gate.errors import ExitCode
from fidelity_gate.text import printable, quiet_json
from fidelity_gate.verbs.columns import columns
from fidelity_gate.verbs.policy_files import counted, sound
from fidelity_gate.verbs.stdout import write_stdout

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fidelity_gate.policy.differing import Change, Difference, Side
    from fidelity_gate.policy.problems import Path

    Subjects = Mapping[Path, tuple[Change, tuple[Difference, ...]]]

LOOSER, ANY = "looser", "any"
SCHEMA = "fidelity-gate/policy-diff-v1"
INCOMPARABLE = "incomparable: neither asks for all that the other asks for\n"

EPILOG = """\b
Examples:
  fidelity-gate policy diff release.gate.yaml stricter.gate.yaml
  git show main:gates/release.gate.yaml > before.gate.yaml
  fidelity-gate policy diff before.gate.yaml gates/release.gate.yaml --fail-on looser

Both are resolved through their bases first. What is only written in other words is no difference. A policy that extends
others needs them where it names them: for revisions, use `git worktree`.

Exit codes: 0, or with --fail-on 1 where there is such a difference; 2 where one of them is no sound policy.
"""


@click.command(epilog=EPILOG)
@click.argument("before", metavar="BEFORE")
@click.argument("after", metavar="AFTER")
@click.option(
    "--fail-on",
    type=click.Choice([LOOSER, ANY]),
    help="Exit 1 where something got looser, was removed or cannot be compared; or for any difference.",
)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def diff(*, before: str, after: str, fail_on: str | None, as_json: bool) -> int:
    """Say where the policy AFTER asks for less than BEFORE, for more, or for something else."""
    from fidelity_gate.policy.comparing import differences
    from fidelity_gate.policy.differing import WEAKENING, by_subject

    old, new = (sound(path, as_base=True)[0] for path in (before, after))
    found = differences(old, new)
    subjects = by_subject(found)
    write_stdout(_as_json(old, new, subjects) if as_json else _as_table(old, new, subjects))
    changes = [change for change, _ in subjects.values()]
    failed = bool(changes) if fail_on == ANY else fail_on == LOOSER and any(one in WEAKENING for one in changes)
    return int(ExitCode.FAILED if failed else ExitCode.PASSED)


def _as_table(old: Side, new: Side, subjects: Subjects) -> str:
    if not subjects:
        return "no difference: both ask for the same\n"
    rows: list[tuple[str, ...]] = [("change", "what", "before", "after", "written at")]
    for change, found in subjects.values():
        rows += [_row(change if at == 0 else "", one, old, new) for at, one in enumerate(found)]
    counts: dict[str, int] = {}
    for change, _ in subjects.values():
        counts[change] = counts.get(change, 0) + 1
    said = ", ".join(f"{count} {change}" for change, count in sorted(counts.items()))
    legend = INCOMPARABLE if any(change == "incomparable" for change, _ in subjects.values()) else ""
    return f"{columns(rows)}\n\n{counted(len(subjects), 'difference')}: {said}\n{legend}"


def _row(change: str, one: Difference, old: Side, new: Side) -> tuple[str, ...]:
    side = new if one.after else old
    path = ".".join(map(str, one.path))
    cells = change, path, one.before or "-", one.after or "-", str(side.place(one.path))
    return tuple(printable(cell, 120) for cell in cells)


def _as_json(old: Side, new: Side, subjects: Subjects) -> str:
    plain = {
        "schema": SCHEMA,
        "before": {"path": old.policy.path, "digest": old.policy.digest},
        "after": {"path": new.policy.path, "digest": new.policy.digest},
        "differences": list(_plain(old, new, subjects)),
    }
    return quiet_json(json.dumps(plain, indent=2, allow_nan=False)) + "\n"


def _plain(old: Side, new: Side, subjects: Subjects) -> Iterator[dict[str, object]]:
    for subject, (change, found) in subjects.items():
        values = [
            {
                "path": ".".join(map(str, one.path)),
                "change": one.change,
                "before": one.before,
                "after": one.after,
                "before_at": str(old.place(one.path)) if one.before else "",
                "after_at": str(new.place(one.path)) if one.after else "",
            }
            for one in found
        ]
        yield {"subject": ".".join(map(str, subject)), "change": change, "values": values}
