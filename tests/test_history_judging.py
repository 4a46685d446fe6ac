"""Judging against the runs before: only runs of the same thing count, noise is no regression, and new is not fine."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import FIDELITY, measurement, policy
from past_made import (
    HISTORY,
    LARGER,
    OPTIONS,
    SLOWER,
    against_history,
    device_run,
    latency,
    memory,
    only,
    past_run,
    ran,
    runs_of,
    with_figure,
)

from fidelity_gate import bounds
from fidelity_gate.errors import ExitCode
from fidelity_gate.judge import judge
from fidelity_gate.matching import requires
from fidelity_gate.records import (
    Against,
    Aggregate,
    Bound,
    CheckResult,
    Direction,
    Outcome,
    Past,
    PastRun,
    Severity,
    Standing,
)
from fidelity_gate.regressions import standing
from fidelity_gate.wording import headline

MIB = 2**20
EXACT = replace(HISTORY, floor_seconds=0.0, floor_bytes=0.0, spreads=0.0)
EASY = replace(HISTORY, warn_while_new=True)
STEADY = runs_of(0.010, 0.010, 0.010)


def judged(seconds: float, runs: tuple[PastRun, ...] = STEADY, **fields: object) -> CheckResult:
    spec = fields.pop("spec", EXACT)
    return against_history(SLOWER, ran(latency(seconds)), runs, spec, **fields)  # type: ignore[arg-type]


# ---------------------------------------------------------------- what passes, what fails


@pytest.mark.parametrize(
    ("values", "last", "old"),
    [
        ((0.010, 0.011, 0.012), 5, 0.011),
        ((0.012, 0.010, 0.011), 5, 0.011),
        ((0.010, 0.011, 0.012, 0.013), 5, 0.0115),
        ((0.001, 0.001, 0.001, 0.010, 0.010, 0.012), 3, 0.010),
        ((0.010, 0.010, 0.010, 0.010, 0.020), 5, 0.010),
    ],
)
def test_the_median_of_the_last_runs_is_what_a_number_is_held_against(
    values: tuple[float, ...], last: int, old: float
) -> None:
    result = judged(old * 1.04, runs_of(*values), spec=replace(EXACT, last=last))

    assert result.outcome is Outcome.PASS
    assert result.compared is not None
    assert result.compared.old == pytest.approx(old)
    assert result.bound.maximum == pytest.approx(old * 1.05)
    assert result.compared.runs == min(last, len(values))
    assert judged(old * 1.06, runs_of(*values), spec=replace(EXACT, last=last)).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("value", "outcome"),
    [(-1.7e308, Outcome.FAIL), (1.79e308, Outcome.REFUSED), (1.0, Outcome.PASS)],
)
def test_a_history_beyond_any_measure_hides_behind_no_end_of_the_checks_own(value: float, outcome: Outcome) -> None:
    check = replace(SLOWER, bound=Bound(maximum=1.0, max_regression=0.05))
    assert against_history(check, ran(latency(0.010)), runs_of(value, value, value), EXACT).outcome is outcome


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_an_end_that_is_not_finite_hides_behind_no_other(broken: float) -> None:
    own, past = Bound(minimum=1.0, maximum=2.0), Bound(minimum=broken, maximum=broken)
    for bound in (bounds.tightest(own, past), bounds.tightest(past, own)):
        assert not bounds.is_met(1.5, bound, Direction.HIGHER)
        assert not any(math.isfinite(end) for end in (bound.minimum, bound.maximum) if end is not None)


def test_a_noise_beyond_any_float_lets_nothing_through() -> None:
    check = replace(SLOWER, bound=Bound(maximum=1.0, max_regression=0.05))
    wild = tuple(with_figure(run, spread=1.7e308) for run in STEADY)
    result = against_history(check, ran(latency(0.010)), wild, replace(EXACT, spreads=3.0))
    assert (result.outcome, result.reason) == (Outcome.REFUSED, "the bound is not finite")


def test_a_regression_fails_and_is_told_with_what_it_was_held_against() -> None:
    verdict = judge(policy(SLOWER, history=HISTORY), ran(latency(0.0125)), Past(runs=STEADY))

    assert verdict.exit_code == ExitCode.FAILED
    assert headline(only(verdict)) == (
        "latency int8 on board: 12.5 ms > 11 ms (median of 3 runs 10 ms, at most 5 % worse, up to 1 ms is noise, new)"
    )


def test_an_end_of_its_own_counts_beside_the_history() -> None:
    check = replace(SLOWER, bound=Bound(maximum=0.0101, max_regression=0.05))
    result = against_history(check, ran(latency(0.0103)), STEADY, EXACT)

    assert result.outcome is Outcome.FAIL
    assert result.bound.maximum == 0.0101
    assert result.compared is not None
    assert result.compared.regressed is False


# ---------------------------------------------------------------- noise


@pytest.mark.parametrize(
    ("floor", "spreads", "spread", "limit"),
    [
        (0.001, 0.0, 0.0, 0.011),  # 5 % are 0.5 ms: the floor is more
        (0.0001, 0.0, 0.0, 0.0105),  # the share is more than the floor
        (0.001, 3.0, 0.001, 0.013),  # three spreads are more
        (0.001, 3.0, 0.0001, 0.011),
        (0.0, 1.0, 0.002, 0.012),
    ],
)
def test_a_difference_up_to_the_floor_or_so_many_spreads_is_no_regression(
    floor: float, spreads: float, spread: float, limit: float
) -> None:
    spec = replace(HISTORY, floor_seconds=floor, spreads=spreads)
    runs = runs_of(0.010, 0.010, 0.010, spread=spread)

    result = judged(limit - 1e-9, runs, spec=spec)
    assert result.outcome is Outcome.PASS
    assert result.bound.maximum == pytest.approx(limit)
    assert result.compared is not None
    assert result.compared.noise == pytest.approx(max(floor, spreads * spread))
    assert judged(limit + 1e-6, runs, spec=spec).outcome is Outcome.FAIL


def test_the_spread_is_the_median_of_those_of_the_runs_that_count() -> None:
    spec = replace(EXACT, spreads=1.0, last=3)
    spreads = (9.0, 0.001, 0.002, 0.004)
    runs = tuple(with_figure(past_run(0.010, day), spread=spread) for day, spread in enumerate(spreads))
    result = judged(0.010, runs, spec=spec)

    assert result.compared is not None
    assert result.compared.noise == pytest.approx(0.002)


def test_where_a_run_has_one_value_the_spread_is_that_of_the_runs() -> None:
    """Of 10, 11 and 13 MiB the median is 11, and the distances from it are 1, 0 and 2: their median is 1."""
    values = [10.0 * MIB, 11.0 * MIB, 13.0 * MIB]
    figure = {"metric": "peak_memory", "options": OPTIONS[:1], "unit": "bytes", "spread": None}
    runs = tuple(with_figure(past_run(0, day), value=value, **figure) for day, value in enumerate(values))
    spec = replace(HISTORY, floor_bytes=0.5 * MIB, spreads=2.0)
    result = against_history(LARGER, ran(memory(12.9 * MIB)), runs, spec)

    assert result.outcome is Outcome.PASS
    assert result.compared is not None
    assert result.compared.noise == pytest.approx(2.0 * MIB)
    assert against_history(LARGER, ran(memory(13.1 * MIB)), runs, spec).outcome is Outcome.FAIL
    floor = against_history(LARGER, ran(memory(14.0 * MIB)), runs, replace(spec, floor_bytes=4.0 * MIB))
    assert floor.outcome is Outcome.PASS


def test_one_run_without_a_spread_makes_the_runs_themselves_the_measure() -> None:
    runs = (*runs_of(0.010, 0.010, spread=9.0), with_figure(past_run(0.011, 2), spread=None))
    result = judged(0.010, runs, spec=replace(EXACT, spreads=3.0))

    assert result.compared is not None
    assert result.compared.noise == 0.0


def test_units_without_a_floor_of_their_own_have_none() -> None:
    share = latency(0.9, metric="npu_share", options=OPTIONS[:1], unit="fraction", direction=Direction.HIGHER)
    check = replace(SLOWER, metric="npu_share", options=OPTIONS[:1], bound=Bound(max_drop=0.0))
    runs = tuple(
        with_figure(past_run(0, day), metric="npu_share", options=OPTIONS[:1], unit="fraction",
                    direction=Direction.HIGHER, value=0.9, spread=None)
        for day in range(3)
    )  # fmt: skip

    assert against_history(check, ran(share), runs).outcome is Outcome.PASS
    assert against_history(check, ran(replace(share, values=(0.899,))), runs).outcome is Outcome.FAIL


@pytest.mark.parametrize(
    ("values", "center", "apart"),
    [
        ((), math.nan, math.nan),
        ((3.0,), 3.0, 0.0),
        ((4.0, 1.0), 2.5, 1.5),
        ((1.0, 9.0, 2.0), 2.0, 1.0),
        ((1.7e308, 1.5e308), 1.6e308, 0.1e308),
        ((1.7e308, 1.7e308), 1.7e308, 0.0),
        ((5e-324,), 5e-324, 0.0),
    ],
)
def test_the_median_and_the_median_deviation(values: tuple[float, ...], center: float, apart: float) -> None:
    assert bounds.middle(values) == pytest.approx(center, nan_ok=True, abs=0.0)
    assert bounds.deviation(values) == pytest.approx(apart, nan_ok=True)


# ---------------------------------------------------------------- what counts


OTHERS = [
    {"policy_name": "maze"},
    {"candidate": "int4"},
    {"depth": replace(past_run().depth, steps=9)},
    {"device": "phone"},
    {"use": "recorded"},
    {"where": (("processor", "A78"), *past_run().where[1:])},
]
OTHER_FIGURES = [
    {"metric": "first_load_time"},
    {"options": (*OPTIONS[:2], ("statistic", "p90"))},
    {"aggregate": Aggregate.MEAN},
    {"unit": "bytes"},
    {"direction": Direction.HIGHER},
]


@pytest.mark.parametrize("fields", OTHERS, ids=lambda fields: next(iter(fields)))
def test_runs_of_something_else_do_not_count(fields: dict[str, object]) -> None:
    others = tuple(replace(run, **fields) for run in runs_of(1.0, 1.0, 1.0))

    assert judged(0.010, others).outcome is Outcome.INCONCLUSIVE
    result = judged(0.010, (*others, *STEADY))
    assert result.outcome is Outcome.PASS
    assert result.compared is not None
    assert len(result.compared.series) == 3


@pytest.mark.parametrize("fields", OTHER_FIGURES, ids=lambda fields: next(iter(fields)))
def test_figures_of_something_else_do_not_count(fields: dict[str, object]) -> None:
    others = tuple(with_figure(run, **fields) for run in runs_of(1.0, 1.0, 1.0))

    assert judged(0.010, others).outcome is Outcome.INCONCLUSIVE
    assert judged(0.011, (*others, *STEADY)).outcome is Outcome.FAIL


def test_other_inputs_count_unless_the_number_is_one_of_every_probe() -> None:
    runs = tuple(replace(run, inputs_digest="z" * 64, probes=9) for run in STEADY)
    assert judged(0.010, runs).outcome is Outcome.PASS

    options = (("device", "board"),)
    check = replace(FIDELITY, options=options, bound=Bound(max_drop=0.01), against=Against.HISTORY)
    one = measurement(options=options)  # 0.985
    figures = {"metric": "carry_fidelity", "options": options, "aggregate": Aggregate.MEAN, "unit": "",
               "direction": Direction.HIGHER, "value": 0.985, "spread": None}  # fmt: skip
    same = tuple(with_figure(run, **figures) for run in STEADY)
    assert against_history(check, ran(one), same).outcome is Outcome.PASS
    for field in ({"inputs_digest": "z" * 64}, {"probes": 9}):
        other = tuple(replace(run, **field) for run in same)
        assert against_history(check, ran(one), other).outcome is Outcome.INCONCLUSIVE


def test_runs_that_were_regressions_do_not_count_however_many_they_are() -> None:
    slow = tuple(with_figure(run, regressed=True) for run in runs_of(*[0.020] * 12))
    result = judged(0.020, (*STEADY, *(replace(run, date=f"2027-{run.date[5:]}") for run in slow)))

    assert result.outcome is Outcome.FAIL
    assert result.compared is not None
    assert (result.compared.old, result.compared.runs) == (0.010, 3)
    assert result.compared.standing is Standing.SUSTAINED
    assert len(result.compared.series) == 15


def test_a_series_is_handed_on_for_pictures() -> None:
    runs = (*STEADY[:2], with_figure(past_run(0.02, 2), regressed=True), past_run(0.01, 3))
    result = judged(0.010, runs)

    assert result.compared is not None
    points = [(one.value, one.revision, one.regressed) for one in result.compared.series]
    assert points == [(0.01, "r0", None), (0.01, "r1", None), (0.02, "r2", True), (0.01, "r3", None)]
    assert result.compared.series[0].date == "2026-07-01T00:00:00+00:00"


def test_a_metric_that_needs_no_device_has_no_history() -> None:
    check = replace(FIDELITY, bound=Bound(max_drop=0.1), against=Against.HISTORY)
    result = against_history(check, ran(measurement()), STEADY)

    assert result.outcome is Outcome.REFUSED
    assert result.reason == "a history holds numbers of devices only, and carry_fidelity needs none"


def test_without_a_history_nothing_relative_passes() -> None:
    for made, past in (
        (policy(SLOWER, history=HISTORY), None),
        (policy(SLOWER), Past(runs=STEADY)),
        (policy(replace(SLOWER, against=Against.BASELINE), history=HISTORY), Past(runs=STEADY)),
        (policy(replace(SLOWER, against=None), history=HISTORY), Past(runs=STEADY)),
    ):
        result = only(judge(made, ran(latency()), past))
        assert result.outcome is Outcome.NOT_MEASURED
        assert result.reason == "nothing of the past was read that it could be held against"


def test_a_number_that_ran_on_no_device_of_that_name_has_no_history() -> None:
    result = against_history(SLOWER, ran(latency(), run=device_run(device="phone")), STEADY)

    assert result.outcome is Outcome.INCONCLUSIVE


# ---------------------------------------------------------------- while it is new


@pytest.mark.parametrize("count", [0, 1, 2])
def test_too_short_a_history_is_inconclusive(count: int) -> None:
    verdict = judge(policy(SLOWER, history=EXACT), ran(latency()), Past(runs=STEADY[:count]))
    result = only(verdict)

    assert verdict.exit_code == ExitCode.UNDECIDED
    assert result.outcome is Outcome.INCONCLUSIVE
    runs = "1 run" if count == 1 else f"{count} runs"
    assert result.reason == f"the history has {runs} of it on this device, machine and runtime, and 3 are needed"
    assert (result.observed, result.margin) == (0.010, None)
    assert result.bound == SLOWER.bound
    assert result.compared is not None
    assert (result.compared.old, result.compared.limit, result.compared.standing) == (None, None, None)
    assert result.compared.runs == count
    assert result.check.severity is Severity.ERROR


def test_the_minimum_is_enough() -> None:
    assert judged(0.010, STEADY[:1], spec=replace(EXACT, minimum=1)).outcome is Outcome.PASS
    assert judged(0.010, STEADY, spec=replace(EXACT, minimum=4)).outcome is Outcome.INCONCLUSIVE


def test_a_new_history_may_warn_where_the_policy_says_so_and_something_else_is_required() -> None:
    fidelity = replace(FIDELITY, id="fidelity")
    both = ran(latency(), measurement())
    verdict = judge(policy(SLOWER, fidelity, history=EASY), both, Past(runs=STEADY[:1]))

    result = verdict.results[0]
    assert (verdict.passed, verdict.required, verdict.met) == (True, 1, 1)
    assert result.outcome is Outcome.WARN
    assert result.check.severity is Severity.WARN
    assert result.reason.startswith("inconclusive: the history has 1 run of it")
    grown = judge(policy(SLOWER, fidelity, history=EASY), ran(latency(0.02), measurement()), Past(runs=STEADY))
    assert grown.exit_code == ExitCode.FAILED
    assert grown.results[0].check.severity is Severity.ERROR


def test_while_it_is_new_an_end_of_its_own_decides_alone() -> None:
    check = replace(SLOWER, bound=Bound(maximum=0.010, max_regression=0.05))
    for seconds, outcome in ((0.010, Outcome.PASS), (0.011, Outcome.FAIL)):
        result = against_history(check, ran(latency(seconds)), (), EASY)
        assert result.outcome is outcome
        assert result.check.severity is Severity.ERROR
        assert result.compared is not None
        assert (result.compared.regressed, result.compared.standing) == (None, None)
    fine = against_history(check, ran(latency()), (), EASY)
    assert "(not compared: the history is too short)" in headline(fine)
    assert "too short" not in headline(against_history(check, ran(latency(0.011)), (), EASY))
    assert against_history(check, ran(latency()), (), HISTORY).outcome is Outcome.INCONCLUSIVE


def test_after_a_regression_a_history_is_not_new_any_more() -> None:
    """Else the runs that a regression takes away would open the gate for it."""
    check = replace(SLOWER, bound=Bound(maximum=1.0, max_regression=0.05))
    runs = (*STEADY[:2], with_figure(past_run(0.02, 2), regressed=True))

    assert against_history(check, ran(latency(0.02)), runs, EASY).outcome is Outcome.INCONCLUSIVE
    fidelity = replace(FIDELITY, id="fidelity")
    verdict = judge(policy(SLOWER, fidelity, history=EASY), ran(latency(0.02), measurement()), Past(runs=runs))
    assert (verdict.passed, verdict.results[0].outcome) == (False, Outcome.INCONCLUSIVE)


def test_a_check_that_may_only_warn_at_first_requires_nothing() -> None:
    easy, hard = policy(SLOWER, history=EASY), policy(SLOWER, history=HISTORY)
    assert not requires(SLOWER, easy)
    assert requires(SLOWER, hard)
    assert requires(SLOWER, policy(SLOWER))
    assert requires(replace(SLOWER, bound=Bound(maximum=1.0, max_drop=0.1)), easy)
    assert requires(replace(SLOWER, against=Against.BASELINE), easy)
    assert not requires(replace(SLOWER, severity=Severity.WARN), hard)


# ---------------------------------------------------------------- how it stands


@pytest.mark.parametrize(
    ("before", "regressed", "expected"),
    [
        ("", False, Standing.STEADY),
        ("...", False, Standing.STEADY),
        ("x..", False, Standing.STEADY),
        ("..x", False, Standing.RECOVERED),
        (".xx", False, Standing.RECOVERED),
        ("xxx", False, Standing.RECOVERED),
        ("x.x", False, Standing.FLAKY),
        ("x.x.", False, Standing.FLAKY),
        ("", True, Standing.NEW),
        ("...", True, Standing.NEW),
        ("..x", True, Standing.SUSTAINED),
        ("x.x", True, Standing.SUSTAINED),
        ("x..", True, Standing.FLAKY),
        (".x.", True, Standing.FLAKY),
    ],
)
def test_a_number_stands_as_the_runs_before_it_and_its_own_say(
    before: str, regressed: bool, expected: Standing
) -> None:
    assert standing([mark == "x" for mark in before], regressed=regressed) is expected


def test_only_the_last_runs_say_how_a_number_stands() -> None:
    runs = tuple(with_figure(past_run(0.010, day), regressed=day == 0) for day in range(4))
    assert judged(0.020, runs, spec=replace(EXACT, last=3)).compared.standing is Standing.NEW
    assert judged(0.020, runs, spec=replace(EXACT, last=4)).compared.standing is Standing.FLAKY
    assert judged(0.010, runs).compared.standing is Standing.STEADY


# ---------------------------------------------------------------- properties

SECONDS = st.floats(1e-4, 1e-1)
PROFILE = settings(max_examples=60, deadline=None)


@PROFILE
@given(SECONDS, st.lists(SECONDS, min_size=3, max_size=8), st.randoms(use_true_random=False))
def test_lines_of_other_devices_change_nothing_however_they_are_mixed_in(
    seconds: float, values: list[float], mix: random.Random
) -> None:
    own = runs_of(*values)
    others = [replace(run, **mix.choice(OTHERS)) for run in runs_of(*values, *values)]
    mixed: list[PastRun] = list(own)
    for other in [*others, *others]:
        mixed.insert(mix.randint(0, len(mixed)), other)

    assert judged(seconds, tuple(mixed), spec=HISTORY) == judged(seconds, own, spec=HISTORY)


@PROFILE
@given(SECONDS, st.lists(SECONDS, min_size=3, max_size=8), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_tightening_never_turns_a_fail_into_a_pass(
    seconds: float, values: list[float], share: float, floor: float, spreads: float
) -> None:
    runs = runs_of(*values, spread=0.001)
    tighter = replace(HISTORY, floor_seconds=HISTORY.floor_seconds * floor, spreads=HISTORY.spreads * spreads)
    check = replace(SLOWER, bound=Bound(max_regression=0.05 * share))
    before = judged(seconds, runs, spec=HISTORY).outcome
    after = against_history(check, ran(latency(seconds)), runs, tighter).outcome

    assert (before, after) != (Outcome.FAIL, Outcome.PASS)


@PROFILE
@given(SECONDS, st.integers(3, 8))
def test_a_run_like_all_before_it_is_steady(seconds: float, count: int) -> None:
    result = judged(seconds, runs_of(*[seconds] * count))

    assert result.outcome is Outcome.PASS
    assert result.compared is not None
    assert result.compared.standing is Standing.STEADY
