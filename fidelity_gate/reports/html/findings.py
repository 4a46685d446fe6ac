"""What lint found, candidate by candidate, the worst first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fidelity_gate.records import Severity
from fidelity_gate.reports.html.figures import count_of
from fidelity_gate.wording import findings_count

if TYPE_CHECKING:
    from fidelity_gate.records import Finding, Linted, MeasurementSet

MOST_GROUPS = 60  # kinds of findings on one page
MOST_PLACES = 12  # of one kind
MOST_REASONS = 12
MOST_CODES = 60
TEXT = 400


@dataclass(frozen=True, slots=True)
class Kind:
    """All findings of one rule in one candidate."""

    code: str
    rule: str
    error: bool
    count: str
    places: tuple[tuple[str, str], ...]  # where, what
    left_out: int
    why: str
    fix: str


@dataclass(frozen=True, slots=True)
class Looked:
    """What was found in one candidate, and what could be looked at."""

    candidate: str
    summary: str
    skipped: tuple[tuple[str, str], ...]  # why rules could not look, and which
    kinds: tuple[Kind, ...]


@dataclass(frozen=True, slots=True)
class Findings:
    """All that is shown of what lint found."""

    looked: tuple[Looked, ...] = ()
    left_out: int = 0


def findings(measured: MeasurementSet | None) -> Findings:
    """Return what lint found in every candidate that it looked at."""
    room = MOST_GROUPS
    looked: list[Looked] = []
    left_out = 0
    for record in measured.candidates if measured else ():
        if record.linted is None:
            continue
        groups: dict[tuple[bool, str], list[Finding]] = {}
        for one in record.linted.findings:
            groups.setdefault((one.severity is not Severity.ERROR, one.code), []).append(one)
        kinds = [_kind(groups[key]) for key in sorted(groups)]
        left_out += max(0, len(kinds) - room)
        ran, skipped = len(record.linted.checked), len(record.linted.skipped)
        counts = findings_count(record.linted.findings) if record.linted.findings else "nothing found"
        told = f"{counts}; {count_of(ran, 'rule')} looked" + (f", {skipped} could not" if skipped else "")
        looked.append(Looked(record.name, told, _skipped(record.linted), tuple(kinds[:room])))
        room -= len(looked[-1].kinds)
    return Findings(tuple(sorted(looked, key=lambda one: not one.kinds)), left_out)


def _skipped(linted: Linted) -> tuple[tuple[str, str], ...]:
    """Return why rules could not look, the reason of most rules first, and which rules those are."""
    reasons: dict[str, list[str]] = {}
    for code, reason in linted.skipped:
        reasons.setdefault(str(reason), []).append(code)
    found = sorted(reasons.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    return tuple((reason[:TEXT], ", ".join(codes[:MOST_CODES])) for reason, codes in found[:MOST_REASONS])


def _kind(found: list[Finding]) -> Kind:
    first = found[0]
    places = tuple((one.location.name[:TEXT] or one.model[:TEXT], one.message[:TEXT]) for one in found[:MOST_PLACES])
    return Kind(
        code=first.code,
        rule=first.rule,
        error=first.severity is Severity.ERROR,
        count=count_of(len(found), "place"),
        places=places,
        left_out=len(found) - len(places),
        why=first.why[:TEXT],
        fix=first.fix[:TEXT],
    )
