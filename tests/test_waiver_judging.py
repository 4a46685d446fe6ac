"""Waivers: one missed check of one file, for a while, down to a floor; everything else about them blocks."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import FIDELITY, FITS, measured, measurement, policy, sram

from fidelity_gate.errors import ExitCode, PolicyError
from fidelity_gate.judge import judge, missed
from fidelity_gate.records import (
    Bound,
    Check,
    MeasurementSet,
    MeasureStatus,
    Outcome,
    Place,
    Policy,
    Report,
    Severity,
    Waiver,
    WaiverRules,
)
from fidelity_gate.reports.junit import JUnit
from fidelity_gate.reports.markdown import Markdown
from fidelity_gate.reports.terminal import Terminal
from fidelity_gate.waiving import refuse_stale

DAY = "2026-01-15"
RULES = WaiverRules(30, place=Place("base.yaml", 3, 1))
WAIVER = Waiver(
    id="w1",
    check="carry-fidelity",
    candidate="int8",
    digest="digest of int8",
    floor=Bound(minimum=0.9),
    reason="a retry hides it",
    ticket="ML-1",
    owner="ada",
    created="2026-01-01",
    expires="2026-01-31",
    place=Place("release.gate.yaml", 20, 3),
)
OTHER = replace(FITS, target="")
MISSED = measured(measurement((0.93, 0.95)), sram(99.0))


def waiving(
    *waivers: Waiver, rules: WaiverRules | None = RULES, checks: tuple[Check, ...] = (FIDELITY, OTHER)
) -> Policy:
    return policy(*checks, waiver_rules=rules, waivers=waivers or (WAIVER,))


def outcomes(made: Policy, data: MeasurementSet = MISSED, day: str = DAY) -> list[Outcome]:
    return [result.outcome for result in judge(made, data, day=day).results]


# ---------------------------------------------------------------- what one does


def test_a_miss_above_the_floor_is_waived_and_the_rest_has_to_be_met() -> None:
    verdict = judge(waiving(), MISSED, day=DAY)
    assert [result.outcome for result in verdict.results] == [Outcome.WAIVED, Outcome.PASS]
    assert (verdict.passed, verdict.exit_code, verdict.met, verdict.waived, verdict.required) == (True, 0, 1, 1, 2)
    assert verdict.results[0].reason == ("waived until 2026-01-31 by ada: ML-1 (0.9400 < 0.97; a retry hides it)")
    assert verdict.reason.startswith("1 of 2 required checks are met, and 1 waived; carry-fidelity int8: waived until")


def test_without_the_waiver_it_blocks() -> None:
    verdict = judge(policy(FIDELITY, OTHER), MISSED, day=DAY)
    assert (verdict.passed, verdict.exit_code, verdict.waived) == (False, 1, 0)


@pytest.mark.parametrize(("floor", "outcome"), [(0.9400001, Outcome.FAIL), (0.94, Outcome.WAIVED)])
def test_the_floor_is_inclusive_and_whatever_is_below_blocks(floor: float, outcome: Outcome) -> None:
    made = waiving(replace(WAIVER, floor=Bound(minimum=floor)))
    verdict = judge(made, measured(measurement((0.94, 0.94)), sram(99.0)), day=DAY)
    assert verdict.results[0].outcome is outcome
    assert verdict.passed is (outcome is Outcome.WAIVED)
    if outcome is Outcome.FAIL:
        assert verdict.exit_code == 1
        assert "the waiver w1 does not reach so far: 0.94" in verdict.results[0].reason


def test_a_check_that_is_met_needs_no_waiver_and_says_so() -> None:
    verdict = judge(waiving(), measured(measurement(), sram(99.0)), day=DAY)
    assert (verdict.results[0].outcome, verdict.met, verdict.waived) == (Outcome.PASS, 2, 0)
    assert verdict.results[0].reason == "met; the waiver w1 is not needed"


def test_everything_waived_is_nothing_met() -> None:
    verdict = judge(waiving(checks=(FIDELITY,)), measured(measurement((0.93, 0.95))), day=DAY)
    assert (verdict.passed, verdict.exit_code, verdict.met, verdict.waived) == (False, 2, 0, 1)
    assert verdict.reason.startswith("every required check is waived, and at least one has to be met")


def test_another_check_that_is_missed_still_blocks() -> None:
    verdict = judge(waiving(), measured(measurement((0.93, 0.95)), sram(101.0)), day=DAY)
    assert (verdict.passed, verdict.exit_code, verdict.met, verdict.waived) == (False, 1, 0, 1)


def test_a_waiver_is_for_one_candidate_alone() -> None:
    names = ("int8", "int4")
    made = policy(FIDELITY, OTHER, candidates=names, waiver_rules=RULES, waivers=(WAIVER,))
    rows = [measurement((0.93, 0.95), candidate=name) for name in names] + [
        sram(99.0, candidate=name) for name in names
    ]
    verdict = judge(made, measured(*rows, candidates=names), day=DAY)
    became = {(one.check.id, one.candidate): one.outcome for one in verdict.results}
    assert became["carry-fidelity", "int8"] is Outcome.WAIVED
    assert became["carry-fidelity", "int4"] is Outcome.FAIL


def test_a_waiver_is_for_one_target_alone() -> None:
    checks = (FIDELITY, FITS, replace(FITS, target="mcu"))
    waiver = replace(WAIVER, check="fits", target="soc-8mb", floor=Bound(maximum=150.0))
    made = waiving(waiver, checks=checks)
    data = measured(measurement(), sram(120.0))
    assert outcomes(made, data) == [Outcome.PASS, Outcome.WAIVED, Outcome.FAIL]


UNDECIDED = {
    "not measured": {"status": MeasureStatus.NOT_MEASURED, "values": (), "reason": "no"},
    "not finite": {"values": (float("nan"), 0.95)},
    "too few values": {"values": (0.95,)},
    "a floor of the noise that misses": {"floored": True, "floor_values": (0.5, 0.5)},
}


@pytest.mark.parametrize("kind", UNDECIDED)
def test_what_is_not_decided_cannot_be_waived(kind: str) -> None:
    data = measured(replace(measurement((0.93, 0.95)), **UNDECIDED[kind]), sram(99.0))
    verdict = judge(waiving(), data, day=DAY)
    assert verdict.results[0].outcome in (Outcome.NOT_MEASURED, Outcome.INCONCLUSIVE)
    assert verdict.exit_code == 3


def test_models_are_not_run_for_what_a_waiver_does_not_cover_and_are_for_what_it_does() -> None:
    made = waiving(replace(WAIVER, check="fits", floor=Bound(maximum=150.0)))
    assert missed(made, measured(sram(120.0))) == ()
    assert [one.check.id for one in missed(made, measured(sram(151.0)))] == ["fits"]


def test_reports_say_waived_in_their_own_words() -> None:
    made = waiving()
    report = Report(judge(made, MISSED, day=DAY), made, MISSED, created=f"{DAY}T00:00:00+00:00")
    assert "waived         carry-fidelity" in " ".join(Terminal().render(report).split("\n"))
    assert "<skipped" in JUnit().render(report)
    assert 'failures="0"' in JUnit().render(report)
    assert "**waived**" in Markdown().render(report)


# ---------------------------------------------------------------- what none may be

DAYS = {
    "on its last day": ("2026-01-31", ""),
    "on its first day": ("2026-01-01", ""),
    "the day after": ("2026-02-01", "expired on 2026-01-31, and it is 2026-02-01"),
    "the day before": ("2025-12-31", "is made on 2026-01-01, and it is 2025-12-31"),
    "a year later": ("2027-01-15", "expired on 2026-01-31"),
    "on no day": ("", "nobody said which it is"),
}


@pytest.mark.parametrize("when", DAYS)
@pytest.mark.parametrize("data", [MISSED, measured(measurement(), sram(99.0))], ids=["missed", "met"])
def test_a_waiver_holds_from_its_first_day_to_its_last_whatever_the_check_says(when: str, data: MeasurementSet) -> None:
    day, said = DAYS[when]
    if not said:
        assert judge(waiving(), data, day=day).passed
        return
    with pytest.raises(PolicyError, match=said) as caught:
        judge(waiving(), data, day=day)
    assert (caught.value.where, caught.value.field) == ("release.gate.yaml:20:3", "waivers.w1")
    assert caught.value.exit_code is ExitCode.REFUSED


REFUSED = {
    "no rules": (waiving(rules=None), "has no waiver_rules"),
    "too long": (waiving(rules=WaiverRules(29)), "holds for 30 days, and the rules bear 29"),
    "never waived": (waiving(rules=WaiverRules(30, ("carry-fidelity",))), "which is never waived"),
    "backwards": (waiving(replace(WAIVER, expires="2025-12-31")), "before it is made"),
    "another file": (waiving(replace(WAIVER, digest="x" * 64)), "is for another file"),
    "no such check": (waiving(replace(WAIVER, check="lint")), "matches no check that blocks"),
    "no such target": (waiving(replace(WAIVER, target="mcu")), "matches no check that blocks"),
    "no such candidate": (waiving(replace(WAIVER, candidate="int2")), "matches no check that blocks"),
    "a warning": (
        waiving(checks=(OTHER, replace(FIDELITY, severity=Severity.WARN))),
        "matches no check that blocks",
    ),
    "two for one": (waiving(WAIVER, replace(WAIVER, id="w2", floor=Bound(minimum=0.1))), "is the second one"),
}


@pytest.mark.parametrize("kind", REFUSED)
@pytest.mark.parametrize("data", [MISSED, measured(measurement(), sram(99.0))], ids=["missed", "met"])
def test_a_waiver_that_cannot_hold_is_refused_and_never_passed_over(kind: str, data: MeasurementSet) -> None:
    made, said = REFUSED[kind]
    with pytest.raises(PolicyError, match=said):
        judge(made, data, day=DAY)


@pytest.mark.parametrize("kind", ["no such check", "no such target", "no such candidate", "a warning", "two for one"])
def test_what_needs_no_file_is_refused_before_one_is_opened(kind: str) -> None:
    made, said = REFUSED[kind]
    with pytest.raises(PolicyError, match=said):
        refuse_stale(made, DAY)


def test_a_waiver_may_end_on_the_day_it_is_made() -> None:
    made = waiving(replace(WAIVER, expires=WAIVER.created))
    assert judge(made, MISSED, day=WAIVER.created).passed


def test_a_file_is_named_by_twelve_digits() -> None:
    made, _ = REFUSED["another file"]
    digest = MISSED.candidates[0].facts.digest
    with pytest.raises(PolicyError, match=rf"int8 is {digest[:12]}\.\.\. now"):
        judge(made, MISSED, day=DAY)


def test_a_waiver_of_another_file_is_refused_while_others_are_still_measured() -> None:
    made, said = REFUSED["another file"]
    with pytest.raises(PolicyError, match=said):
        missed(made, measured(sram(99.0)))


def test_a_policy_whose_candidates_come_later_is_not_told_that_its_waivers_match_none() -> None:
    refuse_stale(replace(waiving(), candidates=()), DAY)
    with pytest.raises(PolicyError, match="is the second one"):
        refuse_stale(replace(REFUSED["two for one"][0], candidates=()), DAY)


@settings(deadline=None, max_examples=200)
@given(
    value=st.floats(0, 1),
    bound=st.floats(0.01, 1),
    floor=st.floats(0.01, 1),
    size=st.sampled_from([99.0, 101.0]),
)
def test_it_passes_only_where_everything_is_met_or_above_its_floor_and_something_is_met(
    value: float, bound: float, floor: float, size: float
) -> None:
    made = waiving(replace(WAIVER, floor=Bound(minimum=floor)), checks=(replace(FIDELITY, bound=Bound(bound)), OTHER))
    verdict = judge(made, measured(measurement((value, value)), sram(size)), day=DAY)
    assert verdict.passed == (value >= min(bound, floor) and size <= 100)


def test_without_being_told_the_day_no_waiver_holds() -> None:
    with pytest.raises(PolicyError, match="nobody said which it is"):
        judge(waiving(), MISSED)
