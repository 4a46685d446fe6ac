"""What one check of a policy means: on what, which way, how much in every unit, how finely, and what would fail it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, TypeAlias

from fidelity_gate.policy.comparing_waivers import floor_told
from fidelity_gate.policy.origins import flat, said_by
from fidelity_gate.policy.resolution import looked_at, lost_at_most, right_or_wrong, unseen, whole_numbers
from fidelity_gate.records import Aggregate, Direction, Evidence, Severity
from fidelity_gate.units import UNITS_OF, format_exact
from fidelity_gate.wording import requirement
from fidelity_gate.wording import subject as about_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fidelity_gate.policy.bounding import Resolved
    from fidelity_gate.policy.differing import Side
    from fidelity_gate.records import Check

Fact: TypeAlias = tuple[str, str]

_EVIDENCE = {
    Evidence.FREE: "both models running on their own carry, on every probe",
    Evidence.FORCED: "one step of the candidate from the reference's own carry, on every probe",
    Evidence.FILE: "the files alone; nothing runs",
    Evidence.DEVICE: "the candidate running alone on the device '{device}'",
}
_BETTER = {
    Direction.HIGHER: "higher is better",
    Direction.LOWER: "lower is better",
    Direction.BOTH: "near 1 is better; it can be bad both ways",
}
_SEVERITY = {
    Severity.ERROR: "error: a miss blocks (exit 1)",
    Severity.WARN: "warn: a miss is told and blocks nothing",
    Severity.OFF: "off: nothing looks at it",
}
_AGGREGATES = {
    Aggregate.MEAN: "the mean over the probes",
    Aggregate.WORST: "the worst probe",
    Aggregate.MEDIAN: "the median over the probes",
    Aggregate.P01: "the 1st percentile over the probes",
    Aggregate.P05: "the 5th percentile over the probes",
    Aggregate.P95: "the 95th percentile over the probes",
}
_MOST_SHOWN = Decimal(10) ** 7  # of a unit: nobody reads 8388608000 us
_LEAST_SHOWN = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Subject:
    """One check, once for each target it is about."""

    side: Side
    resolved: Sequence[Resolved]
    probes: int

    @property
    def check(self) -> Check:
        """Return the check; its bound is the one of its first target."""
        return self.resolved[0].check

    @property
    def number(self) -> str:
        """Return what is compared: `the mean over the probes`, `the number`."""
        return _AGGREGATES[self.check.aggregate] if self.check.aggregate else "the number"


def facts(subject: Subject) -> Iterator[Fact]:
    """Yield everything about a check that its policy and its metric settle, as (label, text)."""
    check, plug = subject.check, subject.resolved[0].plug
    evidence = _EVIDENCE[plug.evidence].format(device=getattr(plug, "device", ""))
    yield "measured on", evidence
    yield "candidates", ", ".join(check.candidates) or "all"
    yield "direction", ", ".join([_BETTER[plug.direction], *_span(subject.resolved[0])])
    yield from _requirements(subject)
    for text in _resolution(subject):
        yield "resolution", text
    yield from _failures(subject)
    yield "severity", _SEVERITY[check.severity]
    yield from _waivers(subject)
    for path, origin in _origins(subject):
        yield "from", f"{path}: {origin}"


def in_all_units(value: float, unit: str) -> str:
    """Return a threshold in every unit in which a person may think of it: `8 MiB = 8192 KiB = 8.38861 MB`."""
    table = UNITS_OF.get(unit)
    if not table:
        return format_exact(value, unit)
    if unit == "fraction":
        return f"{format_exact(value, unit)} = {value:.6g}"
    first = format_exact(value, unit).partition(" (")[0]
    scaled = {name: Decimal(repr(value)) / size for name, size in table.items()}
    others = [
        f"{float(number):.7g} {name}"
        for name, number in scaled.items()
        if _LEAST_SHOWN <= abs(number) < _MOST_SHOWN and name != first.rpartition(" ")[2]
    ]
    return " = ".join([first, *others])


def _span(resolved: Resolved) -> Iterator[str]:
    lowest, highest = getattr(resolved.plug, "limits", (None, None))
    if lowest is not None and highest is not None:
        yield f"from {format_exact(lowest, resolved.plug.unit)} to {format_exact(highest, resolved.plug.unit)}"
    elif lowest is not None:
        yield f"at least {format_exact(lowest, resolved.plug.unit)}"


def _requirements(subject: Subject) -> Iterator[Fact]:
    for one in subject.resolved:
        bound, unit = one.check.bound, one.plug.unit
        at = f" for {one.check.target}" if one.check.target else ""
        ends = [(">=", bound.minimum), ("<=", bound.maximum)]
        said = [f"{sign} {in_all_units(end, unit)}" for sign, end in ends if end is not None]
        if bound.max_regression is not None:
            said.append(f"at most {format_exact(bound.max_regression, 'fraction')} worse than the {one.check.against}")
        if bound.max_drop is not None:
            said.append(f"at most {in_all_units(bound.max_drop, unit)} worse than the {one.check.against}")
        yield "requires", f"{subject.number}{at}: {' and '.join(said)}"


def _resolution(subject: Subject) -> Iterator[str]:
    """Yield how finely the check can tell with so many probes."""
    one, aggregate = subject.resolved[0], subject.check.aggregate
    probes = looked_at(one, subject.probes)
    if aggregate is None:
        yield "one number a candidate" + (", always a whole one" if whole_numbers(one) else "") + ", compared unrounded"
        return
    lost = lost_at_most(one, probes)
    if aggregate is Aggregate.MEAN:
        if right_or_wrong(one):
            yield f"with {probes} probes it moves in steps of {format_exact(1 / probes, 'fraction')}: one probe"
        if lost is not None:
            what = (
                "wrong" if right_or_wrong(one) else "lost altogether (from perfect to 0) while the others are perfect"
            )
            yield f"up to {lost} of {probes} probes may be {what}"
    elif aggregate is Aggregate.WORST:
        yield f"every one of {probes} probes decides"
    else:
        yield f"the worst {unseen(aggregate, probes)} of {probes} probes are not looked at"
        if right_or_wrong(one):
            yield "a probe is right or wrong, so any bound between asks for the same"


def _failures(subject: Subject) -> Iterator[Fact]:
    check, plug, policy = subject.check, subject.resolved[0].plug, subject.side.policy
    if check.severity is Severity.OFF:
        return
    for one in subject.resolved:
        at = f" ({one.check.target})" if one.check.target else ""
        if one.check.bound.minimum is not None or one.check.bound.maximum is not None:
            yield "fails", f"where {subject.number} is not {requirement(one.check.bound, plug.unit)}{at}"
    if check.bound.relative:
        yield "fails", f"where {subject.number} is worse than the {check.against} allows"
    if check.aggregate is not None:
        fewest = looked_at(subject.resolved[0], policy.minimum_probes)
        yield "undecided", f"with fewer than {fewest} probes (exit 3)"
    if plug.floored:
        floor = policy.noise_floor
        yield (
            "undecided",
            f"where the reference, perturbed by {floor.perturbation:g}, keeps a mean fidelity under {floor.limit!r} to "
            "itself, or would miss this bound itself (exit 3)",
        )
    yield "undecided", "where it was not measured, for whatever reason (exit 3)"


def _waivers(subject: Subject) -> Iterator[Fact]:
    policy, name = subject.side.policy, subject.check.id
    if policy.waiver_rules is not None and name in policy.waiver_rules.never:
        yield "waived", f"never ({policy.waiver_rules.place})"
    for waiver in policy.waivers:
        if waiver.check == name:
            about = about_of(waiver.candidate, waiver.target)
            floor = floor_told(waiver, subject.resolved[0].plug.unit)
            who = f"until {waiver.expires} by {waiver.owner}: {waiver.ticket}"
            yield "waived", f"for {about} ({waiver.digest[:12]}...) down to {floor} {who}"


def _origins(subject: Subject) -> Iterator[tuple[str, str]]:
    entries = said_by(subject.side)["checks"].value
    said = entries[subject.check.id].value if isinstance(entries, dict) else None
    for path, one in flat(said) if isinstance(said, dict) else ():
        note = f" ({one.note})" if one.note else ""
        yield f"{'.'.join(map(str, path))} {one.raw or one.value}", f"{one.origin}{note}"
