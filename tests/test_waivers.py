"""Waivers: one missed check of one file, for a while, down to a floor; everything else about them blocks."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import FIDELITY, FITS, measured, measurement, policy, sram

from fidelity_gate.cli import answer
from fidelity_gate.errors import ExitCode, PolicyError
from fidelity_gate.judge import judge, missed
from fidelity_gate.policy.comparing import differences
from fidelity_gate.policy.differing import Change
from fidelity_gate.policy.loading import examine
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


# ---------------------------------------------------------------- policies that extend others

HEAD = "apiVersion: fidelity-gate/v1\n"
BASE = f"""{HEAD}name: base
recursion: {{h_cycles: 1, l_cycles: 1, steps: 2}}
checks:
  fidelity: {{metric: carry_fidelity, aggregate: mean, require: {{min: 0.9}}, locked: true}}
  size: {{metric: model_size, require: {{max: 8 MiB}}}}
"""
CHILD = f"{HEAD}name: child\nextends: base.yaml\ncandidates: {{int8: int8.safetensors}}\n"
STUB = f"""waivers:
  w1:
    check: fidelity
    candidate: int8
    digest: {"a" * 64}
    floor: {{min: 0.8}}
    reason: a retry hides it
    ticket: ML-1
    owner: ada
    created: 2026-01-01
    expires: 2026-01-31
"""
MONTH = "waiver_rules: {max_days: 31, never: [size]}\n"


def problems(tmp_path, base: str, child: str) -> list[str]:
    (tmp_path / "base.yaml").write_text(base)
    path = tmp_path / "child.yaml"
    path.write_text(child)
    return [str(problem) for problem in examine(path.read_bytes(), str(path)).problems]


def test_a_locked_check_is_waived_by_the_rules_of_the_file_that_locks_it(tmp_path) -> None:
    assert problems(tmp_path, BASE + MONTH, CHILD + STUB) == []


def test_a_locked_check_is_not_waived_by_rules_of_ones_own(tmp_path) -> None:
    (said,) = problems(tmp_path, BASE, CHILD + MONTH + STUB)
    assert "waives fidelity, locked at" in said
    assert "by rules of a later file" in said


def test_a_check_that_is_not_locked_may_be_waived_by_ones_own_rules(tmp_path) -> None:
    own = STUB.replace("check: fidelity", "check: size").replace("{min: 0.8}", "{max: 9 MiB}")
    assert problems(tmp_path, BASE, CHILD + "waiver_rules: {max_days: 31}\n" + own) == []


LOOSER = ("waiver_rules: {max_days: 32, never: [size]}\n", "waiver_rules: {max_days: 31, never: [fidelity]}\n")
TIGHTER = ("waiver_rules: {max_days: 1}\n", "waiver_rules: {max_days: 31, never: [size, fidelity]}\n")


@pytest.mark.parametrize("own", LOOSER)
def test_the_rules_of_a_base_are_not_loosened(tmp_path, own: str) -> None:
    (said,) = problems(tmp_path, BASE + MONTH, CHILD + own)
    assert "is looser than" in said


@pytest.mark.parametrize("own", TIGHTER)
def test_the_rules_of_a_base_may_be_tightened(tmp_path, own: str) -> None:
    assert problems(tmp_path, BASE + MONTH, CHILD + own) == []


def test_a_difference_of_policies_tells_waivers_as_looser(tmp_path) -> None:
    sides = []
    for name, text in (("a", MONTH), ("b", MONTH + STUB)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "base.yaml").write_text(BASE + text.partition("waivers:")[0])
        (folder / "child.yaml").write_text(CHILD + "".join(text.partition("waivers:")[1:]))
        sides.append(examine((folder / "child.yaml").read_bytes(), str(folder / "child.yaml")).side)
    told = {difference.path: difference.change for difference in differences(*sides)}
    assert told == {("waivers", "w1"): Change.LOOSER}
    back = {difference.path: difference.change for difference in differences(*reversed(sides))}
    assert back == {("waivers", "w1"): Change.TIGHTER}


# ---------------------------------------------------------------- the command

RELEASE = """\
apiVersion: fidelity-gate/v1
name: release
reference: zoo:trm-addition
inputs: zoo:trm-addition
recursion: {h_cycles: 1, l_cycles: 2, steps: 2}
waiver_rules: {max_days: 14, never: [compressed]}
checks:
  small: {metric: model_size, require: {max: 1 kB}}
  compressed: {metric: compressed_share, require: {min: 90 %}}
"""
WHO = ("--owner", "ada", "--ticket", "ML-1", "--reason", 'the "next" board: bigger')


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """A policy that a candidate on disk misses, and the verdict that says so."""
    folder = tmp_path_factory.mktemp("waivers")
    artifact = folder / "int8.safetensors"
    assert answer(["compress", "zoo:trm-addition", "--recipe", "int8", "-o", str(artifact)]) == 0
    path = folder / "release.yaml"
    path.write_text(RELEASE)
    code = answer(["run", str(path), "--candidate", f"int8={artifact}", "--report", f"json:{folder / 'verdict.json'}"])
    assert code == 1
    return folder


def test_the_stub_that_is_written_is_borne_by_the_policy_it_is_for(release, tmp_path, capsys) -> None:
    assert answer(["waive", str(release / "verdict.json"), "--check", "small", *WHO]) == 0
    stub = capsys.readouterr().out
    path = release / "waived.yaml"
    path.write_text((release / "release.yaml").read_text() + stub)
    out = tmp_path / "verdict.json"
    order = ["run", str(path), "--candidate", f"int8={release / 'int8.safetensors'}"]
    assert answer([*order, "--report", f"json:{out}"]) == 0
    verdict = json.loads(out.read_text())["verdict"]
    assert (verdict["met"], verdict["waived"], verdict["required"]) == (1, 1, 2)
    assert answer(["report", str(out), "--report", f"junit:{tmp_path / 'gate.xml'}"]) == 0


def test_a_stale_waiver_is_refused_before_anything_runs(release, capsys) -> None:
    answer(["waive", str(release / "verdict.json"), "--check", "small", *WHO])
    stub = capsys.readouterr().out
    old = re.sub(r"created: .*", "created: 2020-01-01", re.sub(r"expires: .*", "expires: 2020-01-10", stub))
    path = release / "stale.yaml"
    path.write_text((release / "release.yaml").read_text() + old)
    assert answer(["run", str(path), "--candidate", "int8=nowhere.safetensors"]) == 2
    assert "expired on 2020-01-10" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--check", "compressed"], "--check"),
        (["--check", "fidelity"], "no such check"),
        (["--check", "small", "--candidate", "int2"], "no such check"),
        (["--check", "small", "--days", "15"], "the policy bears 14"),
        (["--check", "small", "--days", "0"], "--days"),
    ],
)
def test_a_stub_that_would_not_be_borne_is_not_written(release, given: list[str], said: str, capsys) -> None:
    assert answer(["waive", str(release / "verdict.json"), *given, *WHO]) == 2
    told = capsys.readouterr()
    assert said in told.err
    assert told.out == ""
