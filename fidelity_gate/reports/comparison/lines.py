"""A comparison as rows of texts: what the terminal and the page both show, said once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fidelity_gate.records import Change, Outcome
from fidelity_gate.text import printable
from fidelity_gate.units import format_value
from fidelity_gate.wording import figure, requirement, subject

if TYPE_CHECKING:
    from fidelity_gate.records import CheckChange, CheckResult, Comparison, FigureChange, Paired, SavedRun

NAME_LIMIT = 60
VALUE_LIMIT = 100
DIGEST = 12  # characters of a digest, where only a difference is told
NOTHING = "-"


@dataclass(frozen=True, slots=True)
class Row:
    """One check or one number in both runs."""

    change: Change
    name: str
    subject: str
    before: str
    after: str
    required: str
    delta: str
    probes: str  # how many got better and how many worse

    @property
    def cells(self) -> tuple[str, ...]:
        """Return the columns of a table, after that of the change."""
        return (self.name, self.subject, self.before, self.after, self.required, self.delta, self.probes)


def check_row(one: CheckChange) -> Row:
    """Return a check's row."""
    result = one.result
    return Row(
        change=one.change,
        name=printable(result.check.id, NAME_LIMIT),
        subject=printable(subject(result.candidate, result.check.target), NAME_LIMIT),
        before=_seen(one.before),
        after=_seen(one.after),
        required=_required(one),
        delta=_delta(_observed(one.before), _observed(one.after), result.unit),
        probes=_probes(one.paired),
    )


def figure_row(one: FigureChange) -> Row:
    """Return a number's row."""
    options = ", ".join(f"{name} {value}" for name, value in one.options)
    said = f"{one.aggregate} of {one.metric}" if one.aggregate else one.metric
    return Row(
        change=one.change,
        name=printable(f"{said} ({options})" if options else said, NAME_LIMIT),
        subject=printable(one.candidate, NAME_LIMIT),
        before=NOTHING if one.before is None else _short(format_value(one.before, one.unit)),
        after=NOTHING if one.after is None else _short(format_value(one.after, one.unit)),
        required="",
        delta=_delta(one.before, one.after, one.unit),
        probes=_probes(one.paired),
    )


def shortened(text: str) -> str:
    """Return a value that may hold digests, each cut to its first characters."""
    words = printable(text, 400).split(" ")
    is_digest = (len(word) >= 32 and all(letter in "0123456789abcdef" for letter in word) for word in words)
    cut = (f"{word[:DIGEST]}..." if digest else word for word, digest in zip(words, is_digest, strict=True))
    return printable(" ".join(cut), VALUE_LIMIT)


def verdict_of(run: SavedRun) -> str:
    """Return `PASSED`, `BLOCKED (exit 1)`, or that the file decides nothing, or was not read."""
    if not run.kind:
        return "not read"
    if run.passed is None:
        return "measurements, not judged"
    return "PASSED" if run.passed else f"BLOCKED (exit {run.exit_code})"


def summary(comparison: Comparison) -> str:
    """Return the sentence that a comparison comes to."""
    if comparison.error:
        return f"NOT COMPARED: {printable(comparison.error, 200)}"
    told = [*(one.change for one in comparison.checks), *(one.change for one in comparison.figures)]
    counts = [(change, told.count(change)) for change in Change]
    said = ", ".join(f"{count} {_plural(change, count)}" for change, count in counts if count) or "nothing to compare"
    return said if comparison.comparable else f"NOT COMPARABLE: {said}"


def _plural(change: Change, count: int) -> str:
    return "regressions" if change is Change.REGRESSION and count != 1 else change.value


def _seen(result: CheckResult | None) -> str:
    """Return what was observed, and the outcome where that is not a pass."""
    if result is None:
        return NOTHING
    outcome = result.outcome.value.replace("-", " ")
    if result.observed is None:
        return outcome
    seen = _short(figure(result.observed, result.bound, result.unit))
    return seen if result.outcome is Outcome.PASS else f"{seen} {outcome}"


def _observed(result: CheckResult | None) -> float | None:
    return result.observed if result is not None else None


def _required(one: CheckChange) -> str:
    """Return the bound, or both where it is not the same."""
    said = [_short(requirement(each.bound, each.unit)) for each in (one.before, one.after) if each is not None]
    return said[0] if len(set(said)) == 1 else " -> ".join(said)


def _delta(before: float | None, after: float | None, unit: str) -> str:
    if before is None or after is None:
        return ""
    if before == after:
        return "="
    return ("+" if after > before else "-") + _short(format_value(abs(after - before), unit))


def _probes(paired: Paired | None) -> str:
    if paired is None or not (paired.worse or paired.better):
        return ""
    return f"+{paired.better} -{paired.worse}"


def _short(text: str) -> str:
    return " and ".join(part.partition(" (")[0] for part in text.split(" and "))
