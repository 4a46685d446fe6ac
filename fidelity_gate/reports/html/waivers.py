"""Who answers for what is missed: every waiver of the policy, until when it holds, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from fidelity_gate.records import Outcome
from fidelity_gate.reports.html.figures import count_of
from fidelity_gate.reports.html.links import plain_link
from fidelity_gate.reports.html.outcomes import MARKS, Mark
from fidelity_gate.wording import comparison, requirement, subject

if TYPE_CHECKING:
    from fidelity_gate.records import CheckResult, Report, Waiver

MOST = 60
TEXT = 600
NOT_JUDGED = Mark("unmeasured", "not judged")
# What a waiver is to a check that came out like this; of any other outcome it can say nothing, and the check blocks.
USES = {
    Outcome.WAIVED: Mark("waived", "in use"),
    Outcome.PASS: Mark("pass", "not needed: the check is met"),
    Outcome.FAIL: Mark("fail", "does not reach so far"),
}


@dataclass(frozen=True, slots=True)
class Waived:
    """One waiver."""

    id: str
    mark: Mark
    check: str
    of: str
    missed: str
    floor: str
    owner: str
    ticket: str
    link: str
    reason: str
    since: str
    until: str
    left: str
    digest: str
    place: str


@dataclass(frozen=True, slots=True)
class Waivers:
    """All that are shown, and how many are not."""

    shown: tuple[Waived, ...] = ()
    left_out: int = 0


def waivers(report: Report) -> Waivers:
    """Return the waivers of the policy, those in use first, and among them what expires first."""
    policy = report.policy
    if policy is None:
        return Waivers()
    results = {(one.check.id, one.check.target, one.candidate): one for one in report.verdict.results}
    found = [_waived(one, results.get(_place(one)), report.created[:10]) for one in policy.waivers]
    found.sort(key=lambda one: (one.mark is not USES[Outcome.WAIVED], one.until, one.id))
    return Waivers(tuple(found[:MOST]), max(0, len(found) - MOST))


def _place(waiver: Waiver) -> tuple[str, str, str]:
    return (waiver.check, waiver.target, waiver.candidate)


def _waived(waiver: Waiver, result: CheckResult | None, day: str) -> Waived:
    unit = result.unit if result else ""
    floor = waiver.floor.text if not unit and waiver.floor.text else requirement(waiver.floor, unit)
    missed = ""
    if result is not None and result.observed is not None:
        missed = comparison(result.observed, result.bound, unit, exact=result.compared is None)
    return Waived(
        id=waiver.id,
        mark=NOT_JUDGED if result is None else USES.get(result.outcome, MARKS[result.outcome]),
        check=waiver.check,
        of=subject(waiver.candidate, waiver.target),
        missed=missed,
        floor=floor.replace(">= ", "≥ ").replace("<= ", "≤ "),
        owner=waiver.owner,
        ticket=waiver.ticket,
        link=plain_link(waiver.ticket),
        reason=waiver.reason[:TEXT],
        since=waiver.created,
        until=waiver.expires,
        left=_left(waiver.expires, day),
        digest=waiver.digest,
        place=str(waiver.place),
    )


def _left(expires: str, day: str) -> str:
    """Return how long a waiver still holds after the day of the report, or "" where a date is none."""
    try:
        days = (date.fromisoformat(expires) - date.fromisoformat(day)).days
    except ValueError:
        return ""
    if days < 0:
        return f"expired {count_of(-days, 'day')} before this report"
    return "this is its last day" if days == 0 else f"{count_of(days, 'day')} left"
