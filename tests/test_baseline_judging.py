"""Judging against a baseline: what follows from it is an end like any other; one of another thing is refused."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import FIDELITY, FITS, measured, measurement, policy, sram
from past_made import BASELINE, DROP, HISTORY, OPTIONS, against_baseline, baseline_of, device_run, latency, only, ran

from fidelity_gate import bounds, comparable
from fidelity_gate.errors import ExitCode, PolicyError
from fidelity_gate.judge import judge, missed
from fidelity_gate.matching import requires
from fidelity_gate.records import (
    Against,
    Aggregate,
    Baseline,
    Bound,
    Check,
    CheckResult,
    DeviceJob,
    Direction,
    LintSettings,
    Measurement,
    MeasurementSet,
    MeasureStatus,
    Outcome,
    Past,
    RunSpec,
    Severity,
    Target,
)
from fidelity_gate.regressions import MEND, Held, hold
from fidelity_gate.units import format_together
from fidelity_gate.wording import headline, past_of, requirement

OLD = ran(measurement((0.98, 0.99)))  # mean 0.985
SLOWER = Check("latency", "latency", Bound(max_regression=0.05), OPTIONS, against=Against.BASELINE)


def fidelities(*values: float) -> MeasurementSet:
    return ran(measurement(values))


# ---------------------------------------------------------------- what passes, what fails


@pytest.mark.parametrize(
    ("bound", "value", "end", "met"),
    [
        (Bound(max_drop=0.005), 0.985, 0.98, True),
        (Bound(max_drop=0.005), 0.9801, 0.98, True),
        (Bound(max_drop=0.005), 0.9799, 0.98, False),
        (Bound(max_regression=0.01), 0.976, 0.97515, True),
        (Bound(max_regression=0.01), 0.975, 0.97515, False),
        (Bound(max_drop=0.005, max_regression=0.01), 0.979, 0.98, False),  # the smaller of the two counts
        (Bound(max_drop=0.05, max_regression=0.01), 0.975, 0.97515, False),
        (Bound(minimum=0.983, max_drop=0.005), 0.981, 0.983, False),  # and so does an end of its own
        (Bound(minimum=0.9, max_drop=0.005), 0.979, 0.98, False),
        (Bound(max_drop=0.0), 0.985, 0.985, True),
        (Bound(max_drop=0.0), 0.9849, 0.985, False),
    ],
)
def test_the_tightest_of_what_follows_from_the_baseline_and_the_ends_of_its_own_decides(
    bound: Bound, value: float, end: float, met: bool
) -> None:
    result = against_baseline(replace(DROP, bound=bound), fidelities(value, value), baseline_of(OLD))

    assert result.outcome is (Outcome.PASS if met else Outcome.FAIL)
    assert result.bound.minimum == pytest.approx(end)
    assert result.bound.maximum is None
    assert not result.bound.relative
    assert result.margin == pytest.approx(value - end)
    assert result.compared is not None
    assert result.compared.old == pytest.approx(0.985)
    assert (result.compared.against, result.compared.standing) == (Against.BASELINE, None)
    assert result.compared.when == "2026-07-01T00:00:00+00:00"
    assert result.compared.limit is not None


def test_a_number_may_fail_its_own_end_and_be_no_regression() -> None:
    check = replace(DROP, bound=Bound(minimum=0.99, max_drop=0.005))
    result = against_baseline(check, fidelities(0.985, 0.985), baseline_of(OLD))

    assert result.outcome is Outcome.FAIL
    assert result.compared is not None
    assert result.compared.regressed is False
    worse = against_baseline(check, fidelities(0.9, 0.9), baseline_of(OLD))
    assert worse.compared is not None
    assert worse.compared.regressed is True


@pytest.mark.parametrize(
    ("bound", "value", "end", "met"),
    [
        (Bound(max_regression=0.05), 0.0105, 0.0105, True),
        (Bound(max_regression=0.05), 0.0106, 0.0105, False),
        (Bound(max_drop=0.002), 0.0119, 0.012, True),
        (Bound(max_drop=0.002), 0.0121, 0.012, False),
        (Bound(maximum=0.011, max_drop=0.002), 0.0115, 0.011, False),
        (Bound(maximum=0.030, max_drop=0.002), 0.0125, 0.012, False),
    ],
)
def test_where_lower_is_better_the_baseline_gives_the_upper_end(
    bound: Bound, value: float, end: float, met: bool
) -> None:
    result = against_baseline(replace(SLOWER, bound=bound), ran(latency(value)), baseline_of(ran(latency(0.010))))

    assert result.outcome is (Outcome.PASS if met else Outcome.FAIL)
    assert result.bound.maximum == pytest.approx(end)
    assert result.bound.minimum is None


def test_the_aggregate_of_the_check_is_taken_of_the_old_values_too() -> None:
    worst = replace(DROP, aggregate=Aggregate.WORST)

    assert against_baseline(worst, fidelities(0.976, 1.0), baseline_of(OLD)).outcome is Outcome.PASS
    result = against_baseline(worst, fidelities(0.974, 1.0), baseline_of(OLD))
    assert result.outcome is Outcome.FAIL
    assert result.worst_probe == 0
    assert result.bound.minimum == pytest.approx(0.975)


def test_a_negative_old_number_may_lose_a_share_of_its_size() -> None:
    drop = replace(DROP, bound=Bound(max_regression=0.1))
    old = baseline_of(ran(measurement((-0.5, -0.5))))

    assert against_baseline(drop, fidelities(-0.54, -0.54), old).outcome is Outcome.PASS
    assert against_baseline(drop, fidelities(-0.56, -0.56), old).outcome is Outcome.FAIL


def test_a_regression_fails_with_exit_code_1_and_says_what_it_was_held_against() -> None:
    verdict = judge(policy(DROP, baseline=BASELINE), fidelities(0.97, 0.97), Past(baseline=baseline_of(OLD)))

    assert verdict.exit_code == ExitCode.FAILED
    assert headline(only(verdict)) == (
        "carry-fidelity int8: 0.9700 < 0.9800 (baseline 0.9850 of 2026-07-01, at most 0.005 worse)"
    )


def test_a_baseline_of_a_blocked_run_is_told_as_one() -> None:
    result = against_baseline(DROP, OLD, baseline_of(OLD, passed=False))

    assert result.outcome is Outcome.PASS
    assert result.compared is not None
    assert result.compared.blocked
    assert "of 2026-07-01, whose run was blocked" in past_of(result)
    assert "blocked" not in past_of(against_baseline(DROP, OLD, baseline_of(OLD)))


def test_a_check_that_is_not_relative_does_not_look_at_the_baseline() -> None:
    result = against_baseline(FIDELITY, OLD, baseline_of(fidelities(0.1, 0.1)))

    assert (result.outcome, result.compared) == (Outcome.PASS, None)
    assert result.bound == FIDELITY.bound


def test_where_nothing_is_in_the_way_there_is_no_reason() -> None:
    assert hold(FIDELITY, measurement(), policy(), OLD, None) == Held(FIDELITY.bound)
    assert Held(FIDELITY.bound).reason == ""


# ---------------------------------------------------------------- what is refused


def test_without_a_baseline_nothing_relative_passes() -> None:
    made = policy(DROP, baseline=BASELINE)
    for past in (None, Past()):
        verdict = judge(made, OLD, past)
        assert verdict.exit_code == ExitCode.UNDECIDED
        assert only(verdict).outcome is Outcome.NOT_MEASURED
        assert only(verdict).reason == "nothing of the past was read that it could be held against"
        assert only(verdict).compared is None
        assert only(verdict).bound == DROP.bound


@pytest.mark.parametrize("against", [None, Against.HISTORY])
def test_a_check_that_is_held_against_something_else_does_not_take_the_baseline(against: Against | None) -> None:
    result = against_baseline(replace(DROP, against=against), OLD, baseline_of(OLD))

    assert result.outcome is Outcome.NOT_MEASURED


OTHERS = [
    ({"policy_name": "maze"}, "is of another policy: maze, and this run has sudoku-release"),
    (
        {"inputs_digest": "z" * 64},
        "is of another set of inputs (sha256): zzzzzzzzzzzzzzzzzzzzz..., and this run has iiiiiiiiiiiiiiiiiiiii...;",
    ),
    ({"probes": 3}, "is of another number of probes: 3, and this run has 2"),
    (
        {"reference_depth": replace(OLD.reference.depth, steps=4)},
        "is of another depth of the reference: H=2 L=2 steps=4",
    ),
    ({"run": RunSpec(seed=1)}, "is of another run.seed: 1, and this run has 0"),
    ({"run": RunSpec(batch=1)}, "is of another run.batch: 1, and this run has 32"),
    ({"run": RunSpec(threads=2)}, "is of another run.threads: 2, and this run has 1"),
    ({"run": RunSpec(dtype="bfloat16")}, "is of another run.dtype: 'bfloat16', and this run has 'float32'"),
]


@pytest.mark.parametrize(
    ("fields", "said"), OTHERS, ids=lambda value: "-".join(value) if isinstance(value, dict) else ""
)
def test_a_baseline_of_something_else_is_refused_and_says_how_to_mend_it(fields: dict[str, object], said: str) -> None:
    result = against_baseline(DROP, OLD, baseline_of(OLD, **fields))

    assert result.outcome is Outcome.REFUSED
    assert result.reason.startswith(f"the baseline {said}")
    assert result.reason.endswith(MEND)


def test_a_baseline_of_another_depth_of_the_candidate_is_refused() -> None:
    then = baseline_of(OLD)
    other = replace(then.candidates[0], depth=replace(then.candidates[0].depth, steps=9))
    result = against_baseline(DROP, OLD, replace(then, candidates=(other,)))

    assert result.outcome is Outcome.REFUSED
    assert "is of another depth of int8: H=2 L=2 steps=9, and this run has H=2 L=2 steps=3" in result.reason


def test_thresholds_models_and_names_of_files_may_change() -> None:
    then = baseline_of(OLD, policy_digest="another", reference_digest="another", tool_version="0.0.1", revision="v1")
    model = replace(then.candidates[0], digest="another")

    assert against_baseline(DROP, OLD, replace(then, candidates=(model,))).outcome is Outcome.PASS


@pytest.mark.parametrize(
    ("machine", "said"),
    [
        ((("processor", "A78"), *device_run().machine[1:]), "machine or runtime: processor A78, and this run has A55"),
        ((*device_run().machine, ("vectors", "NEON")), "machine or runtime: vectors NEON, and this run has None"),
        (device_run().machine[:2], "machine or runtime: threads None, and this run has 1"),
    ],
)
def test_a_number_of_a_device_is_compared_with_the_same_machine_only(
    machine: tuple[tuple[str, object], ...], said: str
) -> None:
    then = ran(latency(), run=device_run(machine=machine))
    result = against_baseline(SLOWER, ran(), baseline_of(then))

    assert result.outcome is Outcome.REFUSED
    assert said in result.reason
    both = against_baseline(DROP, ran(measurement()), baseline_of(replace(then, measurements=(measurement(),))))
    assert both.outcome is Outcome.PASS  # what needs no device does not care where the others ran


def test_the_kind_of_device_and_what_its_service_says_are_part_of_the_place() -> None:
    job = DeviceJob("j1", "", "S24", "14", "onnx", "npu", "d", "2026", simulated=False, options="--a")
    now = ran(latency(), run=device_run(job=job))
    assert against_baseline(SLOWER, now, baseline_of(now)).outcome is Outcome.PASS
    assert (
        against_baseline(SLOWER, now, baseline_of(ran(latency(), run=device_run(job=replace(job, id="j2"))))).outcome
        is Outcome.PASS
    )

    for field, value in (
        ("device", "S23"),
        ("os", "13"),
        ("runtime", "tflite"),
        ("compute_unit", "cpu"),
        ("options", ""),
        ("simulated", True),
    ):
        then = baseline_of(ran(latency(), run=device_run(job=replace(job, **{field: value}))))
        result = against_baseline(SLOWER, now, then)
        assert result.outcome is Outcome.REFUSED, field
        assert f"machine or runtime: {field} {value}, and this run has" in result.reason
    plug = against_baseline(SLOWER, ran(), baseline_of(ran(latency(), run=device_run(plug="recorded"))))
    assert "machine or runtime: kind of device recorded, and this run has host-cpu" in plug.reason


def test_of_several_devices_the_one_that_the_check_names_is_compared() -> None:
    run = ran()
    (record,) = run.candidates
    phone = device_run(device="phone", machine=(("processor", "X"),))
    both = replace(run, candidates=(replace(record, device_runs=(phone, device_run())),))

    assert against_baseline(SLOWER, both, baseline_of(both)).outcome is Outcome.PASS
    assert against_baseline(SLOWER, both, baseline_of(run)).outcome is Outcome.PASS
    only_phone = replace(run, candidates=(replace(record, device_runs=(phone,)),))
    assert "has nothing that ran on board" in against_baseline(SLOWER, both, baseline_of(only_phone)).reason


def test_of_several_differences_the_first_by_name_is_told() -> None:
    then = ran(latency(), run=device_run(plug="recorded", machine=(("processor", "A78"), ("abi", "x"))))

    assert "runtime: abi x, and this run has None" in against_baseline(SLOWER, ran(), baseline_of(then)).reason
    then = ran(latency(), run=device_run(plug="recorded", machine=(("processor", "A78"),)))
    assert "runtime: kind of device recorded, and" in against_baseline(SLOWER, ran(), baseline_of(then)).reason


def test_how_old_a_job_is_and_what_it_was_read_from_is_not_where_it_ran() -> None:
    job = DeviceJob("j1", "", "S24", "14", "onnx", "npu", "d", "2026", simulated=False)
    machine = (("processor", "a record (2026-07-01, 1 days old), S24"), ("tools", "qairt 2.40"))
    older = (("processor", "a record (2026-07-01, 9 days old), S24"), ("tools", "qairt 2.40"))
    then = baseline_of(ran(latency(), run=device_run(machine=machine, job=job)))

    assert against_baseline(SLOWER, ran(run=device_run(machine=older, job=job)), then).outcome is Outcome.PASS
    newer = ran(run=device_run(machine=(("tools", "qairt 2.41"),), job=job))
    assert "runtime: tools qairt 2.40, and this run has qairt 2.41" in against_baseline(SLOWER, newer, then).reason
    none = ran(run=device_run(machine=(), job=job))
    assert against_baseline(SLOWER, none, baseline_of(none)).outcome is Outcome.PASS
    assert comparable.place_of(device_run(machine=(), job=job)).where[-1] == ("tools", "")


def test_a_baseline_that_ran_on_no_such_device_is_refused() -> None:
    then = baseline_of(ran())
    result = against_baseline(SLOWER, ran(), replace(then, candidates=(replace(then.candidates[0], places=()),)))

    assert result.outcome is Outcome.REFUSED
    assert "the baseline has nothing that ran on board" in result.reason


def test_findings_are_compared_with_findings_of_the_same_rules_and_targets_only() -> None:
    check = Check("lint", "lint", Bound(max_drop=0.0), (("severity", "error"),), against=Against.BASELINE)
    one = Measurement(
        "lint", check.options, "int8", "", Direction.LOWER, per_probe=False, floored=False,
        status=MeasureStatus.MEASURED, values=(1.0,),
    )  # fmt: skip
    lint = LintSettings(select=("FG2",))
    base = ran(one)
    now = replace(base, provenance=replace(base.provenance, lint=lint))
    made = policy(check, FIDELITY, baseline=BASELINE, lint=lint, targets=())

    def outcome(then: MeasurementSet) -> Outcome:
        return judge(made, now, Past(baseline=baseline_of(then))).results[0].outcome

    assert outcome(now) is Outcome.PASS
    assert outcome(base) is Outcome.REFUSED
    npu = (Target("npu", static_only=True),)
    assert outcome(replace(now, candidates=(replace(now.candidates[0], targets=npu),))) is Outcome.REFUSED
    # Nothing but lint looks at its settings.
    fits = against_baseline(DROP, OLD, baseline_of(OLD, lint=lint))
    assert fits.outcome is Outcome.PASS


def test_what_the_baseline_does_not_hold_is_not_measured() -> None:
    for then in (
        ran(latency()),  # no fidelity
        ran(measurement(options=(("at", 1),))),  # of another step
        ran(measurement(candidate="int4")),
        ran(measurement((), status=MeasureStatus.NOT_MEASURED)),
    ):
        result = against_baseline(DROP, OLD, baseline_of(then))
        assert result.outcome is Outcome.NOT_MEASURED
        assert result.reason == f"the baseline has no carry_fidelity of int8 with these options; {MEND}"
    unknown = baseline_of(OLD, candidates=())
    assert against_baseline(DROP, OLD, unknown).outcome is Outcome.NOT_MEASURED


@pytest.mark.parametrize(
    "fields",
    [
        {"values": (0.9,)},
        {"values": (0.9, math.nan)},
        {"values": (1e308, 1e308)},
        {"status": MeasureStatus.NOT_MEASURED},
        {"unit": "fraction"},
        {"direction": Direction.LOWER},
        {"per_probe": False},
        {"rows": (0, 1)},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_numbers_of_a_baseline_that_cannot_be_compared_are_refused(fields: dict[str, object]) -> None:
    then = baseline_of(OLD)
    odd = replace(then, measurements=(replace(then.measurements[0], **fields),))
    result = against_baseline(DROP, OLD, odd)

    assert result.outcome is Outcome.REFUSED
    assert "carry_fidelity of int8" in result.reason


def test_values_of_some_probes_are_compared_with_values_of_the_same_ones() -> None:
    options = (("device", "board"), ("probes", 2))
    check = replace(DROP, options=options)
    some = ran(measurement((0.98, 0.99), options=options, rows=(1, 4)))
    some = replace(some, provenance=replace(some.provenance, probes=5))
    then = baseline_of(some)

    assert against_baseline(check, some, then).outcome is Outcome.PASS
    others = replace(then, measurements=(replace(then.measurements[0], rows=(1, 3)),))
    assert "in another way, or of other probes" in against_baseline(check, some, others).reason
    cut = replace(then, measurements=(replace(then.measurements[0], values=(0.98,)),))
    assert "has no usable carry_fidelity" in against_baseline(check, some, cut).reason


def test_two_old_numbers_for_one_check_are_refused() -> None:
    then = baseline_of(OLD)
    result = against_baseline(DROP, OLD, replace(then, measurements=then.measurements * 2))

    assert result.reason == f"the baseline has carry_fidelity of int8 more than once; {MEND}"


def test_one_value_in_all_is_one_value_whatever_the_number_of_probes() -> None:
    check = replace(FITS, bound=Bound(max_drop=1.0), against=Against.BASELINE)
    assert against_baseline(check, ran(sram(99.0)), baseline_of(ran(sram(98.0)))).outcome is Outcome.PASS
    assert against_baseline(check, ran(sram(99.5)), baseline_of(ran(sram(98.0)))).outcome is Outcome.FAIL
    both = baseline_of(ran(sram(98.0)))
    odd = replace(both, measurements=(replace(both.measurements[0], values=(98.0, 98.0)),))
    assert against_baseline(check, ran(sram(99.0)), odd).outcome is Outcome.REFUSED


@pytest.mark.parametrize(
    ("bound", "said"),
    [
        (Bound(max_drop=-0.1), "no finite number of 0 or more"),
        (Bound(max_drop=-0.1, max_regression=0.1), "no finite number of 0 or more"),
        (Bound(max_drop=0.1, max_regression=-0.1), "no finite number of 0 or more"),
        (Bound(max_regression=math.nan), "no finite number of 0 or more"),
        (Bound(max_regression=math.inf), "no finite number of 0 or more"),
        (Bound(max_drop=1e308, minimum=math.nan), "the bound is not finite"),
        (Bound(minimum=2.0, maximum=1.0, max_drop=0.1), "the minimum is above the maximum"),
    ],
)
def test_a_relative_bound_that_makes_no_sense_is_refused(bound: Bound, said: str) -> None:
    result = against_baseline(replace(DROP, bound=bound), OLD, baseline_of(OLD))

    assert result.outcome is Outcome.REFUSED
    assert said in result.reason


def test_a_metric_that_can_be_bad_both_ways_has_no_regression() -> None:
    check = Check("norm", "carry_norm_ratio", Bound(max_drop=0.1), aggregate=Aggregate.MEAN, against=Against.BASELINE)
    one = measurement(metric="carry_norm_ratio", direction=Direction.BOTH)
    result = against_baseline(check, ran(one), baseline_of(ran(one)))

    assert result.outcome is Outcome.REFUSED
    assert "no worse direction" in result.reason


def test_a_limit_beyond_any_float_is_refused() -> None:
    check = replace(SLOWER, bound=Bound(max_drop=1.7e308))
    result = against_baseline(check, ran(latency(1.0e308)), baseline_of(ran(latency(1.0e308))))

    assert (result.outcome, result.reason) == (Outcome.REFUSED, "the bound is not finite")


def test_a_relative_bound_is_never_met_before_its_end_is_known() -> None:
    for bound in (Bound(max_drop=1.0), Bound(minimum=0.0, max_regression=0.5)):
        assert not bounds.is_met(1.0, bound, Direction.HIGHER)
        assert bounds.bound_fault(bound, Direction.HIGHER) == "the bound is relative, and nobody looked up to what"
    assert bounds.relative_fault(Bound(max_drop=0.0, max_regression=0.0), Direction.LOWER) == ""


# ---------------------------------------------------------------- what else a run can lack


def test_what_was_not_measured_now_is_told_first() -> None:
    lost = replace(OLD, measurements=(measurement((), status=MeasureStatus.NOT_MEASURED, reason="lost"),))
    assert against_baseline(DROP, lost, baseline_of(OLD)).reason == "lost"
    gone = replace(OLD, measurements=(latency(),))
    assert "was not measured with these options" in against_baseline(DROP, gone, None).reason
    nan = replace(OLD, measurements=(measurement((0.9, math.nan)),))
    assert "not finite" in against_baseline(DROP, nan, None).reason
    misused = against_baseline(replace(DROP, aggregate=None), OLD, None)
    assert (misused.outcome, "names no aggregate" in misused.reason) == (Outcome.REFUSED, True)


def test_too_few_probes_are_inconclusive_whatever_the_baseline() -> None:
    result = against_baseline(DROP, OLD, baseline_of(OLD), minimum_probes=3)

    assert result.outcome is Outcome.INCONCLUSIVE
    assert result.compared is not None
    assert result.compared.regressed is None  # it was not looked at


def test_the_noise_floor_must_not_miss_what_follows_from_the_baseline() -> None:
    now = replace(OLD, measurements=(measurement((0.98, 0.99), floored=True, floor_values=(0.97, 0.97)),))
    result = against_baseline(DROP, now, baseline_of(OLD))

    assert result.outcome is Outcome.INCONCLUSIVE
    assert result.reason == "the reference itself, perturbed, would miss this bound: 0.9700 < 0.9800"


def test_no_regression_stops_a_measurement_early_because_no_baseline_is_read_yet() -> None:
    made = policy(replace(FITS, bound=Bound(maximum=10.0, max_drop=1.0), against=Against.BASELINE), FIDELITY)

    assert missed(made, ran(sram(99.0))) == ()


def test_warnings_warn_and_say_what_kind_of_miss_it_was() -> None:
    made = policy(replace(DROP, severity=Severity.WARN), replace(FIDELITY, id="other"), baseline=BASELINE)

    def warned(now: MeasurementSet, then: Baseline) -> CheckResult:
        return judge(made, now, Past(baseline=then)).results[0]

    assert warned(fidelities(0.9, 0.9), baseline_of(OLD)).outcome is Outcome.WARN
    refused = warned(OLD, baseline_of(OLD, probes=9))
    assert refused.outcome is Outcome.WARN
    assert refused.reason.startswith("refused: the baseline is of another number of probes")


def test_a_check_against_a_baseline_always_requires_something() -> None:
    assert requires(DROP, policy(DROP, history=replace(HISTORY, warn_while_new=True)))
    assert not requires(replace(DROP, severity=Severity.WARN), policy(DROP))


# ---------------------------------------------------------------- texts


def test_ends_that_follow_from_a_measured_number_are_rounded_and_never_contradict_the_verdict() -> None:
    old = baseline_of(fidelities(0.98765432101, 0.98765432101))
    close = math.nextafter(0.98765432101 - 0.005, 0)
    result = against_baseline(DROP, fidelities(close, close), old)
    assert result.outcome is Outcome.FAIL
    left, _, right = headline(result).removeprefix("carry-fidelity int8: ").partition(" (")[0].partition(" < ")
    assert float(left) < float(right)

    far = against_baseline(DROP, fidelities(0.99, 0.99), old)
    assert "0.9900, required >= 0.9827 (baseline 0.9877 of" in headline(far)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=4), st.sampled_from(["", "seconds", "bytes", "fraction"]))
def test_numbers_that_stand_together_compare_as_texts_as_they_do(values: list[float], unit: str) -> None:
    texts = format_together(values, unit)
    shown = [float(text.partition(" ")[0]) for text in texts]
    for one, other in zip(range(len(values)), range(1, len(values)), strict=False):
        assert (shown[one] < shown[other]) == (values[one] < values[other])


def test_a_relative_requirement_is_said_before_it_is_known() -> None:
    bound = Bound(minimum=0.9, max_regression=0.01, max_drop=0.005)
    assert requirement(bound, "") == ">= 0.9 and at most 1 % worse than before and at most 0.005 worse than before"


# ---------------------------------------------------------------- properties

VALUES = st.lists(st.floats(-1.0, 1.0), min_size=2, max_size=2).map(tuple)
LOSS = st.none() | st.floats(0.0, 0.5)
PROFILE = settings(max_examples=80, deadline=None)


@st.composite
def checks(draw: st.DrawFn) -> Check:
    regression, drop = draw(LOSS), draw(LOSS)
    if regression is None and drop is None:
        drop = draw(st.floats(0.0, 0.5))
    minimum = draw(st.none() | st.floats(-1.0, 1.0))
    aggregate = draw(st.sampled_from([Aggregate.MEAN, Aggregate.WORST, Aggregate.MEDIAN]))
    bound = Bound(minimum, None, "", regression, drop)
    return replace(DROP, bound=bound, aggregate=aggregate)


@PROFILE
@given(checks(), VALUES, st.sampled_from([Direction.HIGHER, Direction.LOWER]))
def test_a_run_that_is_its_own_baseline_is_no_regression(
    check: Check, values: tuple[float, ...], direction: Direction
) -> None:
    check = replace(check, bound=replace(check.bound, minimum=None))
    run = ran(measurement(values, direction=direction))

    assert against_baseline(check, run, baseline_of(run)).outcome is Outcome.PASS


@PROFILE
@given(checks(), VALUES, VALUES, st.floats(0, 1), st.floats(0, 1))
def test_tightening_never_turns_a_fail_into_a_pass(
    check: Check, then: tuple[float, ...], now: tuple[float, ...], share: float, drop: float
) -> None:
    bound = check.bound
    tighter = replace(
        bound,
        max_regression=None if bound.max_regression is None else bound.max_regression * share,
        max_drop=drop if bound.max_drop is None else bound.max_drop * drop,
    )
    old = baseline_of(fidelities(*then))
    before = against_baseline(check, fidelities(*now), old).outcome
    after = against_baseline(replace(check, bound=tighter), fidelities(*now), old).outcome

    assert (before, after) != (Outcome.FAIL, Outcome.PASS)


@PROFILE
@given(checks(), VALUES, VALUES)
def test_a_relative_check_passes_only_where_all_of_it_holds(
    check: Check, then: tuple[float, ...], now: tuple[float, ...]
) -> None:
    """A small oracle that shares no code with the judge but the aggregates."""
    (old,) = bounds.observations(then, check.aggregate, Direction.HIGHER)
    (new,) = bounds.observations(now, check.aggregate, Direction.HIGHER)
    bound = check.bound
    holds = [bound.minimum is None or new >= bound.minimum]
    holds += [] if bound.max_drop is None else [new >= old - bound.max_drop]
    holds += [] if bound.max_regression is None else [new >= old - bound.max_regression * abs(old)]
    result = against_baseline(check, fidelities(*now), baseline_of(fidelities(*then)))

    assert (result.outcome is Outcome.PASS) == all(holds)


def test_other_candidates_of_the_baseline_change_nothing() -> None:
    (other,) = measured(candidates=("int4",)).candidates
    other = replace(other, depth=replace(other.depth, steps=9))
    two = replace(
        measured(measurement((0.1, 0.1), candidate="int4"), measurement((0.98, 0.99)), candidates=("int4", "int8")),
        candidates=(other, *OLD.candidates),
    )
    assert against_baseline(DROP, OLD, baseline_of(two)).outcome is Outcome.PASS


def test_a_candidate_of_which_only_a_maybe_is_required_is_a_contradiction() -> None:
    soft = replace(DROP, against=Against.HISTORY)
    with pytest.raises(PolicyError, match="no check of severity error applies"):
        judge(policy(soft, history=replace(HISTORY, warn_while_new=True)), OLD, Past())
