"""Two saved runs -> what changed between them: pure, and deciding nothing.

A check got worse when its outcome did (a pass that became anything else, a warning that became a failure), or when it
was met and is gone or switched off. It is mended when it passes again, under the same bound. A number that moved within
the same outcome is told, and is no regression: whether it matters is what bounds are for. Numbers are compared raw;
equal means equal to the last bit.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fidelity_gate.bounds import mean
from fidelity_gate.comparing.runs import differences, model_changes
from fidelity_gate.matching import key_of
from fidelity_gate.records import (
    Change,
    CheckChange,
    Comparison,
    Direction,
    FigureChange,
    MeasureStatus,
    Outcome,
    Paired,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from fidelity_gate.comparing.runs import Run
    from fidelity_gate.matching import Key
    from fidelity_gate.records import (
        CheckResult,
        Measurement,
        MeasurementSet,
    )

# From good to bad; an outcome further down is worse.
GOOD_FIRST = (
    Outcome.PASS,
    Outcome.WAIVED,
    Outcome.WARN,
    Outcome.INCONCLUSIVE,
    Outcome.NOT_MEASURED,
    Outcome.FAIL,
    Outcome.REFUSED,
    Outcome.INTERNAL,
)
ORDER = tuple(Change)


def compare(before: Run, after: Run) -> Comparison:
    """Return what changed from one run to the other."""
    both = before.measured is not None and after.measured is not None
    unlike = tuple(differences(before, after)) if both else ()
    checks = _checks(before, after)
    judged = {key_of(one.result.check.metric, one.result.check.options, one.result.candidate) for one in checks}
    return Comparison(
        before=before.file,
        after=after.file,
        differences=tuple(sorted(unlike, key=lambda difference: difference.comparable)),
        models=tuple(model_changes(before, after)) if both else (),
        checks=tuple(sorted(checks, key=lambda one: ORDER.index(one.change))),
        figures=tuple(sorted(_figures(before, after, judged), key=lambda one: ORDER.index(one.change))),
    )


# ---------------------------------------------------------------- checks


def _checks(before: Run, after: Run) -> list[CheckChange]:
    old, new = _results(before), _results(after)
    if not (before.verdict and after.verdict):
        return []
    then, now = _by_key(before.measured), _by_key(after.measured)
    found = []
    for key in (*new, *(key for key in old if key not in new)):
        was, became = old.get(key), new.get(key)
        change = _check_change(was, became)
        found.append(
            CheckChange(change, was, became, _paired_of(was, became, (then, now), _same_probes(before, after)))
        )
    return found


def _results(run: Run) -> dict[tuple[str, str, str], CheckResult]:
    results = run.verdict.results if run.verdict else ()
    return {(result.check.id, result.check.target, result.candidate): result for result in results}


def _check_change(before: CheckResult | None, after: CheckResult | None) -> Change:
    """Return what became of a check; one that was switched off is gone, and one under another bound is not mended."""
    was, became = (None if each is None or each.outcome is Outcome.OFF else each for each in (before, after))
    if was is None or became is None:
        if was is became:
            return Change.SAME
        was_met = was is not None and was.outcome is Outcome.PASS
        return Change.REGRESSION if was_met else Change.REMOVED if became is None else Change.ADDED
    if was.outcome is not became.outcome:
        return _outcome_change(was, became)
    return _margin_change(was, became)


def _outcome_change(was: CheckResult, became: CheckResult) -> Change:
    if GOOD_FIRST.index(became.outcome) > GOOD_FIRST.index(was.outcome):
        return Change.REGRESSION
    as_strict = was.bound == became.bound and was.check.severity is became.check.severity
    return Change.MENDED if became.outcome is Outcome.PASS and as_strict else Change.DIFFERENT


def _margin_change(was: CheckResult, became: CheckResult) -> Change:
    if was.observed == became.observed and was.bound == became.bound:
        return Change.SAME
    if was.margin is None or became.margin is None or was.bound != became.bound or was.margin == became.margin:
        return Change.DIFFERENT
    return Change.BETTER if became.margin > was.margin else Change.WORSE


def _paired_of(
    before: CheckResult | None,
    after: CheckResult | None,
    found: tuple[Mapping[Key, Measurement], Mapping[Key, Measurement]],
    comparable: bool,
) -> Paired | None:
    if before is None or after is None or not comparable:
        return None
    keys = (key_of(each.check.metric, each.check.options, each.candidate) for each in (before, after))
    old, new = (index.get(key) for index, key in zip(found, keys, strict=True))
    return _paired(old, new)


# ---------------------------------------------------------------- numbers without a check


def _figures(before: Run, after: Run, judged: set[Key]) -> Iterator[FigureChange]:
    old, new = _by_key(before.measured), _by_key(after.measured)
    same = _same_probes(before, after)
    for key in (*new, *(key for key in old if key not in new)):
        if key not in judged:
            was, became = old.get(key), new.get(key)
            one = became or was
            if one is None:
                continue
            figures = (_figure(was), _figure(became))
            yield FigureChange(
                change=_figure_change(*figures, one.direction),
                metric=one.metric,
                options=one.options,
                candidate=one.candidate,
                unit=one.unit,
                direction=one.direction,
                aggregate="mean" if one.per_probe else "",
                before=figures[0],
                after=figures[1],
                paired=_paired(was, became) if same else None,
            )


def _by_key(measured: MeasurementSet | None) -> dict[Key, Measurement]:
    found = measured.measurements if measured else ()
    return {key_of(one.metric, one.options, one.candidate): one for one in found}


def _figure(one: Measurement | None) -> float | None:
    if one is None or one.status is not MeasureStatus.MEASURED:
        return None
    figure = mean(one.values) if one.per_probe else next(iter(one.values), math.nan)
    return figure if math.isfinite(figure) else None


def _figure_change(before: float | None, after: float | None, direction: Direction) -> Change:
    if before is None or after is None:
        return Change.SAME if before is after else Change.REMOVED if after is None else Change.ADDED
    if before == after:
        return Change.SAME
    gain = _gain(before, after, direction)
    return Change.BETTER if gain > 0 else Change.WORSE if gain < 0 else Change.DIFFERENT


def _gain(before: float, after: float, direction: Direction) -> float:
    if direction is Direction.BOTH:
        return abs(before - 1) - abs(after - 1)
    return after - before if direction is Direction.HIGHER else before - after


def _paired(before: Measurement | None, after: Measurement | None) -> Paired | None:
    """Return how single probes moved, where both runs have a value for the same ones."""
    if before is None or after is None or not (before.per_probe and after.per_probe):
        return None
    if len(before.values) != len(after.values) or not before.values or before.direction is not after.direction:
        return None
    gains = [_gain(a, b, after.direction) for a, b in zip(before.values, after.values, strict=True)]
    return Paired(sum(gain < 0 for gain in gains), sum(gain > 0 for gain in gains), len(gains))


def _same_probes(before: Run, after: Run) -> bool:
    if before.measured is None or after.measured is None:
        return False
    one, other = before.measured, after.measured
    same_reference = one.reference.facts.digest == other.reference.facts.digest
    return same_reference and one.provenance.inputs_digest == other.provenance.inputs_digest
