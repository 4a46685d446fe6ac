"""The judge: shut by default, right about every outcome, and never talked into a pass."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from made import DEPTH, FIDELITY, FITS, measured, measurement, policy, sram

from fidelity_gate import bounds
from fidelity_gate.errors import ExitCode, GateError, PolicyError, Refused
from fidelity_gate.judge import conclude, judge, missed
from fidelity_gate.matching import asked, lint_of, pairs, targets_of
from fidelity_gate.records import (
    Aggregate,
    Bound,
    Check,
    CheckResult,
    CurvePoint,
    Depth,
    DeviceRecord,
    DeviceSpec,
    Direction,
    InputsSpec,
    LintSettings,
    Measurement,
    MeasurementSet,
    MeasureStatus,
    ModelSpec,
    NoiseFloor,
    NoiseFloorSpec,
    Outcome,
    Place,
    Policy,
    Provenance,
    RunSpec,
    Severity,
    Target,
    Verdict,
)


def only(verdict: Verdict) -> CheckResult:
    (result,) = verdict.results
    return result


def judged(check: Check = FIDELITY, one: Measurement | None = None, **fields: object) -> CheckResult:
    one = one or measurement()
    return only(judge(policy(check), measured(one, probes=max(len(one.values), 1), **fields)))


# ---------------------------------------------------------------- what passes, what fails


def test_a_check_that_is_measured_and_met_passes() -> None:
    verdict = judge(policy(), measured())

    assert (verdict.passed, verdict.exit_code, verdict.met, verdict.required) == (True, 0, 1, 1)
    assert verdict.reason == "the one required check is met"
    assert (verdict.policy_name, verdict.policy_digest) == ("sudoku-release", "p" * 64)
    result = only(verdict)
    assert result.outcome is Outcome.PASS
    assert result.observed == pytest.approx(0.985)
    assert result.margin == pytest.approx(0.015)
    assert result.worst_probe == 0
    assert (result.candidate, result.reason) == ("int8", "")


def test_a_missed_check_fails_with_exit_code_1_and_is_named() -> None:
    verdict = judge(policy(FIDELITY, replace(FIDELITY, id="other")), measured(measurement((0.5, 0.9))))

    assert (verdict.passed, verdict.exit_code, verdict.met, verdict.required) == (False, 1, 0, 2)
    assert verdict.reason == "0 of 2 required checks are met; carry-fidelity int8: 0.7000 < 0.97"
    assert verdict.results[0].margin == pytest.approx(-0.27)
    assert verdict.results[0].unit == ""


def test_several_met_checks_are_counted() -> None:
    verdict = judge(policy(FIDELITY, FITS), measured(measurement(), sram()))

    assert verdict.reason == "all 2 required checks are met"
    assert [result.unit for result in verdict.results] == ["", "bytes"]
    assert verdict.results[1].worst_probe is None
    assert verdict.results[1].margin == 1.0


@pytest.mark.parametrize(
    ("value", "bound", "direction", "met"),
    [
        (0.97, Bound(minimum=0.97), Direction.HIGHER, True),
        (math.nextafter(0.97, 0), Bound(minimum=0.97), Direction.HIGHER, False),
        (100.0, Bound(maximum=100.0), Direction.LOWER, True),
        (math.nextafter(100.0, 200), Bound(maximum=100.0), Direction.LOWER, False),
        (0.9, Bound(minimum=0.9, maximum=1.1), Direction.BOTH, True),
        (1.1, Bound(minimum=0.9, maximum=1.1), Direction.BOTH, True),
        (1.2, Bound(minimum=0.9, maximum=1.1), Direction.BOTH, False),
        (0.8, Bound(minimum=0.9, maximum=1.1), Direction.BOTH, False),
        (1.0, Bound(minimum=1.0, maximum=1.0), Direction.BOTH, True),
        (1.2, Bound(minimum=0.9, maximum=1.1), Direction.HIGHER, False),
        (0.8, Bound(minimum=0.9, maximum=1.1), Direction.LOWER, False),
        (1.0, Bound(), Direction.BOTH, False),
        (1.0, Bound(maximum=2.0), Direction.HIGHER, False),
        (1.0, Bound(minimum=0.0), Direction.LOWER, False),
        (1.0, Bound(minimum=2.0, maximum=0.0), Direction.BOTH, False),
        (math.nan, Bound(minimum=0.0), Direction.HIGHER, False),
        (math.inf, Bound(minimum=0.0), Direction.HIGHER, False),
        (-math.inf, Bound(maximum=0.0), Direction.LOWER, False),
        (1.0, Bound(minimum=math.nan), Direction.HIGHER, False),
        (1.0, Bound(minimum=-math.inf), Direction.HIGHER, False),
        (1.0, Bound(maximum=math.inf), Direction.LOWER, False),
        (1.0, Bound(minimum=0.0, maximum=math.inf), Direction.BOTH, False),
    ],
)
def test_the_one_comparison_is_inclusive_finite_and_faces_the_right_way(
    value: float, bound: Bound, direction: Direction, met: bool
) -> None:
    assert bounds.is_met(value, bound, direction) is met


@pytest.mark.parametrize(
    ("bound", "direction", "said"),
    [
        (Bound(), Direction.BOTH, "the check has no bound"),
        (Bound(minimum=math.nan), Direction.HIGHER, "the bound is not finite"),
        (Bound(minimum=2.0, maximum=1.0), Direction.BOTH, "the minimum is above the maximum"),
        (Bound(maximum=1.0), Direction.HIGHER, "no minimum, and higher is better"),
        (Bound(minimum=1.0), Direction.LOWER, "no maximum, and lower is better"),
    ],
)
def test_an_unusable_bound_is_refused_whatever_was_measured(bound: Bound, direction: Direction, said: str) -> None:
    verdict = judge(policy(replace(FIDELITY, bound=bound)), measured(measurement(direction=direction)))

    assert verdict.exit_code == ExitCode.REFUSED
    assert only(verdict).outcome is Outcome.REFUSED
    assert said in only(verdict).reason


def test_a_usable_bound_has_no_fault() -> None:
    assert bounds.bound_fault(Bound(minimum=0.5), Direction.HIGHER) == ""


def test_no_observation_is_never_met() -> None:
    assert not bounds.all_met((), Bound(minimum=0.0), Direction.HIGHER)


# ---------------------------------------------------------------- aggregates


HUNDRED = tuple(float(value) for value in range(100))


@pytest.mark.parametrize(
    ("aggregate", "direction", "expected"),
    [
        (Aggregate.MEAN, Direction.HIGHER, (49.5,)),
        (Aggregate.WORST, Direction.HIGHER, (0.0,)),
        (Aggregate.WORST, Direction.LOWER, (99.0,)),
        (Aggregate.WORST, Direction.BOTH, (0.0, 99.0)),
        (Aggregate.MEDIAN, Direction.HIGHER, (49.0,)),
        (Aggregate.MEDIAN, Direction.LOWER, (50.0,)),
        (Aggregate.MEDIAN, Direction.BOTH, (49.0, 50.0)),
        (Aggregate.P01, Direction.HIGHER, (0.0,)),
        (Aggregate.P05, Direction.HIGHER, (4.0,)),
        (Aggregate.P05, Direction.LOWER, (4.0,)),
        (Aggregate.P95, Direction.LOWER, (95.0,)),
        (Aggregate.P95, Direction.HIGHER, (95.0,)),
    ],
)
def test_aggregates_are_conservative_observations(
    aggregate: Aggregate, direction: Direction, expected: tuple[float, ...]
) -> None:
    assert bounds.observations(HUNDRED, aggregate, direction) == expected
    assert bounds.observations(HUNDRED[::-1], aggregate, direction) == expected


@pytest.mark.parametrize("count", [20, 21, 40, 41, 100, 101, 200, 201, 333])
def test_percentiles_are_the_neighbours_that_numpy_calls_lower_and_higher(count: int) -> None:
    numpy = pytest.importorskip("numpy")
    values = tuple(float(value) for value in numpy.random.default_rng(count).permutation(count))

    for aggregate, percent, method in (
        (Aggregate.P01, 1, "lower"),
        (Aggregate.P05, 5, "lower"),
        (Aggregate.P95, 95, "higher"),
    ):
        expected = numpy.percentile(values, percent, method=method)
        assert bounds.observations(values, aggregate, Direction.HIGHER)[0] == pytest.approx(expected)


def test_where_both_directions_are_bad_the_extreme_nearest_to_the_bound_is_reported_and_both_count() -> None:
    check = Check("norm", "carry_norm_ratio", Bound(minimum=0.9, maximum=1.1), aggregate=Aggregate.WORST)
    one = measurement((0.95, 1.0, 1.3), metric="carry_norm_ratio", direction=Direction.BOTH)

    result = judged(check, one)

    assert (result.outcome, result.observed, result.worst_probe) == (Outcome.FAIL, 1.3, 2)
    low = judged(check, replace(one, values=(1.0, 0.2, 1.05)))
    assert (low.outcome, low.observed, low.worst_probe) == (Outcome.FAIL, 0.2, 1)


def test_a_mean_beyond_any_float_is_not_measured() -> None:
    result = judged(one=measurement((1.7e308, 1.7e308)))

    assert result.outcome is Outcome.NOT_MEASURED
    assert result.reason == "the values are too large to be averaged"


def test_a_margin_beyond_any_float_is_left_out() -> None:
    result = judged(replace(FIDELITY, bound=Bound(minimum=-1.7e308)), measurement((1.0e308,)))

    assert (result.outcome, result.margin) == (Outcome.PASS, None)


@pytest.mark.parametrize(
    ("aggregate", "fewest"), [(Aggregate.P01, 100), (Aggregate.P05, 20), (Aggregate.P95, 20), (Aggregate.WORST, 1)]
)
def test_too_few_probes_for_a_percentile_are_inconclusive(aggregate: Aggregate, fewest: int) -> None:
    check = replace(FIDELITY, aggregate=aggregate)

    assert judged(check, measurement((0.99,) * fewest)).outcome is Outcome.PASS
    if fewest > 1:
        result = judged(check, measurement((0.99,) * (fewest - 1)))
        assert result.outcome is Outcome.INCONCLUSIVE
        assert result.reason == f"{fewest - 1} probes say nothing about {aggregate}, which needs at least {fewest}"


def test_a_metric_with_one_value_does_not_need_many_probes() -> None:
    made = policy(replace(FITS, aggregate=None), minimum_probes=500)

    assert only(judge(made, measured(sram()))).outcome is Outcome.PASS


def test_fewer_probes_than_the_policy_wants_are_inconclusive() -> None:
    verdict = judge(policy(minimum_probes=3), measured())

    assert verdict.exit_code == ExitCode.UNDECIDED
    assert only(verdict).outcome is Outcome.INCONCLUSIVE
    assert only(verdict).reason == (
        "2 probes were measured, and the policy wants at least 3 "
        "(minimum_probes, 100 where it is not written: give more probes, or lower it)"
    )
    assert judge(policy(minimum_probes=2), measured()).passed


@pytest.mark.parametrize(
    ("check", "one", "said"),
    [
        (replace(FIDELITY, aggregate=None), measurement(), "carry_fidelity has one value a probe"),
        (replace(FITS, aggregate=Aggregate.MEAN), sram(), "sram_peak has one value, and the check names the aggregate"),
    ],
)
def test_an_aggregate_that_does_not_fit_the_metric_is_refused(check: Check, one: Measurement, said: str) -> None:
    result = only(judge(policy(check), measured(one)))

    assert result.outcome is Outcome.REFUSED
    assert said in result.reason


# ---------------------------------------------------------------- what was not measured


def test_a_check_nobody_measured_is_not_measured() -> None:
    verdict = judge(policy(), measured(sram()))

    assert verdict.exit_code == ExitCode.UNDECIDED
    assert only(verdict).outcome is Outcome.NOT_MEASURED
    assert only(verdict).reason == "carry_fidelity was not measured with these options"
    assert only(verdict).unit == ""
    assert "carry-fidelity int8: not measured: carry_fidelity was not measured" in verdict.reason


def test_the_reason_of_a_failed_measurement_is_passed_on() -> None:
    one = measurement((), status=MeasureStatus.NOT_MEASURED, reason="z_H is not finite at step 3")

    assert judged(one=one).reason == "z_H is not finite at step 3"
    assert judged(one=replace(one, reason="")).reason == "carry_fidelity gave no value"
    assert judged(one=replace(one, values=(1.0,))).outcome is Outcome.NOT_MEASURED


@pytest.mark.parametrize("other", [(("at", "last"),), (("at", 1),), (("at", True),), (("at", 1.0),), (("at", "1"),)])
def test_options_must_be_the_same_to_the_type(other: tuple[tuple[str, object], ...]) -> None:
    options = (("at", 1),)
    verdict = judge(policy(replace(FIDELITY, options=options)), measured(measurement(options=other)))

    assert verdict.passed is (other == options and type(other[0][1]) is int)


@pytest.mark.parametrize("values", [(), (0.99,), (0.99, 0.99, 0.99)])
def test_another_number_of_values_than_probes_is_not_measured(values: tuple[float, ...]) -> None:
    result = only(judge(policy(), measured(measurement(values))))

    assert result.outcome is Outcome.NOT_MEASURED
    assert result.reason == f"carry_fidelity has {len(values)} values, and 2 are needed"


def test_no_probes_at_all_are_never_a_pass() -> None:
    verdict = judge(policy(minimum_probes=0), measured(measurement(()), probes=0))

    assert only(verdict).outcome is Outcome.NOT_MEASURED


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_not_measured_and_named(bad: float) -> None:
    result = judged(one=measurement((0.99, bad)))

    assert (result.outcome, result.observed) == (Outcome.NOT_MEASURED, None)
    assert result.reason == "1 of 2 values are not finite, the first is number 1"


@pytest.mark.parametrize(
    "point", [CurvePoint(1, math.nan, 1, 1), CurvePoint(1, 1, math.inf, 1), CurvePoint(1, 1, 1, math.nan)]
)
def test_a_curve_that_is_not_finite_is_not_measured(point: CurvePoint) -> None:
    assert judged(one=measurement(curve=(point,))).reason == "the curve over the steps is not finite"
    floored = measurement(floored=True, floor_curve=(point,))
    assert judged(one=floored).reason == "the noise floor curve over the steps is not finite"
    assert judged(one=floored).outcome is Outcome.NOT_MEASURED


def test_a_metric_measured_twice_is_refused() -> None:
    with pytest.raises(Refused, match="carry_fidelity was measured twice for int8"):
        judge(policy(), measured(measurement(), measurement((1.0, 1.0))))


# ---------------------------------------------------------------- the noise floor


def test_a_reference_that_leaves_itself_makes_floored_checks_inconclusive_and_says_the_figures() -> None:
    floor = NoiseFloor(1e-6, 0.99, (0.3, 0.5))
    verdict = judge(policy(), measured(measurement(floored=True), noise_floor=floor))

    result = only(verdict)
    assert (result.outcome, verdict.exit_code) == (Outcome.INCONCLUSIVE, ExitCode.UNDECIDED)
    assert result.reason == (
        "the reference keeps a mean fidelity of 0.4000 to itself when its initial carry is perturbed, "
        "under the limit of 0.99"
    )
    assert result.observed == pytest.approx(0.985)
    assert only(judge(policy(), measured(noise_floor=floor))).outcome is Outcome.PASS  # not floored: not concerned


def test_a_missed_check_is_inconclusive_too_where_the_reference_leaves_itself() -> None:
    one = measurement((0.1, 0.1), floored=True)

    assert judged(one=one, noise_floor=NoiseFloor(1e-6, 0.99, (0.3, 0.5))).outcome is Outcome.INCONCLUSIVE


def test_the_floor_is_judged_by_the_limit_of_the_policy_inclusively() -> None:
    data = measured(measurement(floored=True), noise_floor=NoiseFloor(1e-6, 0.0, (0.98, 0.98)))

    assert judge(policy(noise_floor=NoiseFloorSpec(limit=0.98)), data).passed
    assert not judge(policy(noise_floor=NoiseFloorSpec(limit=math.nextafter(0.98, 1))), data).passed


def test_a_metric_whose_own_floor_would_miss_the_bound_is_inconclusive() -> None:
    result = judged(one=measurement(floored=True, floor_values=(0.99, 0.93)))

    assert result.outcome is Outcome.INCONCLUSIVE
    assert result.reason == "the reference itself, perturbed, would miss this bound: 0.9600 < 0.97"


@pytest.mark.parametrize(
    ("floor", "floor_values", "said"),
    [
        (None, (1.0, 1.0), "the noise floor was not measured"),
        (NoiseFloor(1e-6, 0.99, ()), (1.0, 1.0), "the noise floor was not measured on all 2 probes"),
        (NoiseFloor(1e-6, 0.99, (1.0,)), (1.0, 1.0), "the noise floor was not measured on all 2 probes"),
        (NoiseFloor(1e-6, 0.99, (1.0, math.nan)), (1.0, 1.0), "the noise floor is not finite"),
        (NoiseFloor(1e-6, 0.99, (1.0, 1.0)), (), "carry_fidelity has 0 noise floor values, and 2 are needed"),
        (
            NoiseFloor(1e-6, 0.99, (1.0, 1.0)),
            (1.0, math.nan),
            "1 of 2 noise floor values are not finite, the first is number 1",
        ),
    ],
)
def test_a_floored_metric_without_its_floor_is_not_measured(
    floor: NoiseFloor | None, floor_values: tuple[float, ...], said: str
) -> None:
    result = judged(one=measurement(floored=True, floor_values=floor_values), noise_floor=floor)

    assert (result.outcome, result.reason) == (Outcome.NOT_MEASURED, said)


def test_the_bfloat16_floor_counts_where_the_policy_asks_for_it() -> None:
    asked = policy(noise_floor=NoiseFloorSpec(bf16=True))
    one = measurement(floored=True)

    def with_bf16(*values: float) -> Verdict:
        return judge(asked, measured(one, noise_floor=NoiseFloor(1e-6, 0.99, (1.0, 1.0), bf16_values=values)))

    assert with_bf16(0.99, 0.99).passed
    assert only(with_bf16()).outcome is Outcome.NOT_MEASURED
    assert only(with_bf16()).reason == "the noise floor was not measured on all 2 probes"
    assert only(with_bf16(math.nan, 1.0)).reason == "the noise floor is not finite"
    low = only(with_bf16(0.9, 0.9))
    assert low.outcome is Outcome.INCONCLUSIVE
    assert "to itself in bfloat16" in low.reason
    unasked = measured(one, noise_floor=NoiseFloor(1e-6, 0.99, (1.0, 1.0), bf16_values=(0.1, 0.1)))
    assert judge(policy(), unasked).passed


# ---------------------------------------------------------------- severities and codes


def test_a_missed_warning_warns_and_never_blocks() -> None:
    warn = replace(FIDELITY, id="soft", severity=Severity.WARN, bound=Bound(minimum=0.999))
    verdict = judge(policy(FIDELITY, warn), measured())

    assert verdict.passed
    assert (verdict.required, verdict.met) == (1, 1)
    assert verdict.results[1].outcome is Outcome.WARN
    assert verdict.results[1].observed == pytest.approx(0.985)
    assert verdict.results[1].reason == ""


def test_a_warning_that_could_not_be_judged_says_so() -> None:
    warn = replace(FIDELITY, id="soft", metric="halt_agreement", severity=Severity.WARN)
    result = judge(policy(FIDELITY, warn), measured()).results[1]

    assert result.outcome is Outcome.WARN
    assert result.reason == "not measured: halt_agreement was not measured with these options"


def test_a_met_warning_passes_but_does_not_count() -> None:
    warn = replace(FIDELITY, id="soft", severity=Severity.WARN)
    verdict = judge(policy(replace(FIDELITY, bound=Bound(minimum=1.0)), warn), measured())

    assert [result.outcome for result in verdict.results] == [Outcome.FAIL, Outcome.PASS]
    assert (verdict.passed, verdict.met, verdict.required) == (False, 0, 1)


def test_a_check_that_is_off_is_listed_and_not_judged() -> None:
    off = replace(FIDELITY, id="off", severity=Severity.OFF, bound=Bound(minimum=1.0))
    verdict = judge(policy(FIDELITY, off), measured())

    assert verdict.passed
    assert (verdict.results[1].outcome, verdict.results[1].observed) == (Outcome.OFF, None)


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ((Outcome.PASS,), 0),
        ((Outcome.PASS, Outcome.FAIL), 1),
        ((Outcome.FAIL, Outcome.INCONCLUSIVE), 1),
        ((Outcome.INCONCLUSIVE, Outcome.NOT_MEASURED), 3),
        ((Outcome.FAIL, Outcome.REFUSED), 2),
        ((Outcome.REFUSED, Outcome.INTERNAL, Outcome.FAIL), 4),
        ((Outcome.INTERNAL,), 4),
        ((Outcome.WARN,), 2),  # an error check can never have come out as this
        ((), 2),
    ],
)
def test_the_worst_explanation_gives_the_exit_code(outcomes: tuple[Outcome, ...], code: int) -> None:
    results = tuple(CheckResult(replace(FIDELITY, id=f"c{i}"), "int8", one) for i, one in enumerate(outcomes))

    verdict = conclude(policy(), results)

    assert verdict.exit_code == code
    assert type(verdict.exit_code) is int
    assert verdict.passed is (code == 0)


def test_nothing_required_is_nothing_passed() -> None:
    warn = CheckResult(replace(FIDELITY, severity=Severity.WARN), "int8", Outcome.PASS)

    for results in ((), (warn,)):
        verdict = conclude(policy(), results)
        assert (verdict.passed, verdict.exit_code) == (False, 2)
        assert verdict.reason == "the policy requires nothing, so nothing can pass"


def test_the_reason_names_the_first_check_with_the_worst_explanation() -> None:
    results = (
        CheckResult(replace(FIDELITY, id="a"), "int8", Outcome.NOT_MEASURED, reason="no labels"),
        CheckResult(replace(FITS, id="b"), "int4", Outcome.FAIL),
        CheckResult(replace(FITS, id="c"), "int4", Outcome.FAIL),
        CheckResult(replace(FITS, id="d"), "int4", Outcome.PASS),
    )

    assert conclude(policy(), results).reason == "1 of 4 required checks are met; b int4@soc-8mb: fail"
    assert conclude(policy(), results[:1]).reason.endswith("a int8: not measured: no labels")


# ---------------------------------------------------------------- who a check is for


def test_checks_are_judged_for_every_candidate_they_name_in_the_order_of_the_policy() -> None:
    made = policy(FIDELITY, replace(FITS, candidates=("int4",)), candidates=("int8", "int4"))

    assert [(check.id, name) for check, name in pairs(made)] == [
        ("carry-fidelity", "int8"),
        ("carry-fidelity", "int4"),
        ("fits", "int4"),
    ]


def test_a_check_of_a_target_is_for_the_candidates_meant_for_it() -> None:
    specs = (
        ModelSpec("int8", "a", targets=("board",)),
        ModelSpec("int4", "b", targets=("soc-8mb", "board")),
        ModelSpec("all", "c"),
    )
    made = replace(policy(FIDELITY, FITS), candidates=specs)

    assert [name for check, name in pairs(made) if check.id == "fits"] == ["int4", "all"]


def test_a_check_for_nobody_is_refused_and_does_not_vanish() -> None:
    specs = (ModelSpec("int8", "a", targets=("board",)),)
    verdict = judge(replace(policy(FIDELITY, FITS), candidates=specs), measured())

    assert (verdict.exit_code, verdict.required) == (ExitCode.REFUSED, 2)
    assert verdict.results[1].candidate == ""
    assert verdict.results[1].reason == "the check applies to no candidate"
    assert verdict.reason.endswith("fits @soc-8mb: refused: the check applies to no candidate")


def test_a_candidate_of_whom_nothing_is_required_is_refused() -> None:
    made = policy(replace(FIDELITY, candidates=("int8",)), candidates=("int8", "int4"))
    with pytest.raises(PolicyError, match="nothing is required of it") as caught:
        judge(made, measured(candidates=("int8", "int4")))
    assert caught.value.field == "candidates.int4"

    soft = replace(FIDELITY, id="soft", severity=Severity.WARN)
    with pytest.raises(PolicyError, match="nothing is required of it"):
        judge(replace(made, checks=(*made.checks, soft)), measured(candidates=("int8", "int4")))


@pytest.mark.parametrize("made", [policy(FIDELITY, FIDELITY), policy(candidates=("int8", "int8"))])
def test_two_things_of_one_name_are_refused(made: Policy) -> None:
    with pytest.raises(PolicyError, match="two candidates or two checks have the same name"):
        judge(made, measured(candidates=tuple(spec.name for spec in made.candidates)))


def test_a_check_of_an_unknown_candidate_is_refused_at_its_place() -> None:
    named = replace(FIDELITY, id="b", candidates=("z", "int4", "int8"))
    with pytest.raises(PolicyError, match="there is no candidate 'int4'") as caught:
        judge(policy(FIDELITY, named), measured())
    assert (caught.value.where, caught.value.field) == ("release.gate.yaml", "b")
    with pytest.raises(PolicyError) as caught:
        judge(policy(FIDELITY, replace(named, place=FITS.place)), measured())
    assert caught.value.where == "release.gate.yaml:12:3"


def test_one_check_may_be_there_once_a_target() -> None:
    made = policy(FIDELITY, FITS, replace(FITS, target="board"))

    assert judge(made, measured(measurement(), sram())).passed


# ---------------------------------------------------------------- whose measurements


def with_provenance(**fields: object) -> MeasurementSet:
    data = measured()
    return replace(data, provenance=replace(data.provenance, **fields))  # type: ignore[arg-type]


OTHER_RUNS = {
    "another candidate": measured(candidates=("int4",)),
    "a candidate too many": measured(candidates=("int8", "int4")),
    "no candidate": measured(candidates=()),
    "the same candidate twice": measured(candidates=("int8", "int8")),
    "another seed": with_provenance(run=RunSpec(seed=1)),
    "another batch": with_provenance(run=RunSpec(batch=1)),
    "other threads": with_provenance(run=RunSpec(threads=2)),
    "another dtype": with_provenance(run=RunSpec(dtype="bfloat16")),
    "another depth of the reference": replace(
        measured(), reference=replace(measured().reference, depth=Depth(2, 2, 4))
    ),
    "another depth of the candidate": replace(
        measured(), candidates=(replace(measured().candidates[0], depth=Depth(1, 2, 3)),)
    ),
    "another perturbation": measured(noise_floor=NoiseFloor(1e-7, 0.99, (1.0, 1.0))),
}


@pytest.mark.parametrize("data", OTHER_RUNS.values(), ids=OTHER_RUNS.keys())
def test_measurements_of_another_run_are_refused(data: MeasurementSet) -> None:
    with pytest.raises(Refused, match=r"measured with .*, and the policy says"):
        judge(policy(), data)


def test_depths_that_the_policy_states_itself_are_accepted() -> None:
    shallow = Depth(1, 2, 3)
    spec = ModelSpec("int8", "int8.safetensors", recursion=shallow)
    data = measured()
    data = replace(data, candidates=(replace(data.candidates[0], depth=shallow),))

    assert judge(replace(policy(), candidates=(spec,)), data).passed
    with pytest.raises(Refused, match="the policy says H=1 L=2 steps=3") as caught:
        judge(replace(policy(), candidates=(spec,)), measured())
    assert caught.value.field == "candidates.int8.recursion"
    deep = replace(policy(), reference=ModelSpec("reference", "r", recursion=Depth(4, 4, 4)))
    with pytest.raises(Refused) as caught:
        judge(deep, measured())
    assert caught.value.field == "recursion"
    assert judge(replace(deep, reference=replace(deep.reference, recursion=DEPTH)), measured()).passed


def test_the_order_of_candidates_does_not_matter() -> None:
    both = [measurement(candidate=name) for name in ("int8", "int4")]
    for ours, theirs in ((("int8", "int4"), ("int4", "int8")), (("int4", "int8"), ("int8", "int4"))):
        assert judge(policy(candidates=ours), measured(*both, candidates=theirs)).passed


def test_a_candidate_that_was_spared_as_uncompressed_is_refused_by_a_policy_that_does_not_spare_it() -> None:
    made, data = policy(), measured()
    spared = replace(data, candidates=(replace(data.candidates[0], uncompressed=True),))
    control = replace(made, candidates=(replace(made.candidates[0], uncompressed=True),))

    assert judge(control, spared).passed
    for wanted, found in ((made, spared), (control, data)):
        with pytest.raises(Refused, match=r"measured with uncompressed: (true|false), and the policy says") as caught:
            judge(wanted, found)
        assert caught.value.field == "candidates.int8"


SETTINGS = LintSettings(select=("FG2",), severity=(("FG2", Severity.WARN),))
NPU, SOC = Target("npu", tile=64), Target("soc-8mb", sram_bytes=100)


def linted(settings: LintSettings | None = SETTINGS, targets: tuple[Target, ...] = (SOC, NPU)) -> MeasurementSet:
    data = measured()
    return replace(
        data,
        provenance=replace(data.provenance, lint=settings),
        candidates=(replace(data.candidates[0], targets=targets),),
    )


def test_findings_are_judged_by_the_settings_and_targets_they_were_found_with() -> None:
    made = policy(lint=replace(SETTINGS, place=Place("release.gate.yaml", 9, 1)), targets=(SOC, NPU))

    assert judge(made, linted()).passed
    assert lint_of(made) == SETTINGS


@pytest.mark.parametrize(
    "settings",
    [
        LintSettings(),
        replace(SETTINGS, select=()),
        replace(SETTINGS, ignore=("FG3",)),
        replace(SETTINGS, severity=()),
        replace(SETTINGS, options=(("FG203", (("ratio", 12.0),)),)),
    ],
)
def test_findings_of_other_lint_settings_are_refused(settings: LintSettings) -> None:
    with pytest.raises(Refused, match="other lint settings") as caught:
        judge(policy(lint=settings, targets=(SOC, NPU)), linted())
    assert (caught.value.where, caught.value.field) == ("measurements", "lint")
    assert caught.value.hint == "measure again with this policy"


@pytest.mark.parametrize("targets", [(), (SOC,), (NPU, SOC), (SOC, replace(NPU, tile=65))])
def test_findings_for_other_targets_are_refused(targets: tuple[Target, ...]) -> None:
    with pytest.raises(Refused, match="linted for other targets") as caught:
        judge(policy(lint=SETTINGS, targets=targets), linted())
    assert (caught.value.where, caught.value.field) == ("measurements", "candidates.int8.targets")
    assert caught.value.hint == "measure again with this policy"


LAPTOP = DeviceSpec("laptop", "host-cpu", (("runs", 30),))


@pytest.mark.parametrize(
    "asked_for", [(), (replace(LAPTOP, use="qai_hub"),), (replace(LAPTOP, options=(("runs", 31),)),), (LAPTOP, LAPTOP)]
)
def test_figures_of_other_devices_are_refused(asked_for: tuple[DeviceSpec, ...]) -> None:
    ran = DeviceRecord(LAPTOP.name, LAPTOP.use, LAPTOP.options, machine=())
    found = measured()
    found = replace(found, provenance=replace(found.provenance, devices=(ran,)))

    assert judge(policy(devices=(LAPTOP,)), found).passed
    with pytest.raises(Refused, match="measured with other devices") as caught:
        judge(policy(devices=asked_for), found)
    assert (caught.value.where, caught.value.field) == ("measurements", "devices")
    assert caught.value.hint == "measure again with this policy"


def test_settings_and_targets_are_no_matter_where_nothing_was_linted() -> None:
    assert judge(policy(lint=SETTINGS, targets=(NPU,)), linted(None)).passed


def test_a_candidate_is_for_the_targets_it_names_or_for_all() -> None:
    made = policy(targets=(SOC, NPU))
    spec = made.candidates[0]

    assert targets_of(spec, made) == (SOC, NPU)
    assert targets_of(replace(spec, targets=("npu",)), made) == (NPU,)


def test_what_is_missed_already_is_what_the_judge_will_say_of_it() -> None:
    made = policy(FIDELITY, replace(FITS, id="tight", bound=Bound(maximum=10.0), target=""), FITS)
    early = measured(sram(11.0), noise_floor=None)

    (result,) = missed(made, early)
    assert (result.check.id, result.outcome, result.observed) == ("tight", Outcome.FAIL, 11.0)
    assert result in judge(made, early).results
    assert missed(made, measured(sram(10.0))) == ()


def test_only_a_number_that_blocks_is_missed_already() -> None:
    tight = replace(FITS, bound=Bound(maximum=10.0))
    for check in (
        replace(tight, severity=Severity.WARN),
        replace(tight, severity=Severity.OFF),
        replace(tight, bound=Bound(minimum=100.0)),  # refused: it faces the wrong way
        replace(tight, metric="model_size"),  # not measured
    ):
        assert missed(policy(check), measured(sram(11.0))) == ()


def test_another_policy_on_the_same_run_is_allowed() -> None:
    stricter = policy(replace(FIDELITY, bound=Bound(minimum=0.99)), name="stricter", digest="q" * 64)

    verdict = judge(stricter, measured())

    assert (verdict.exit_code, verdict.policy_digest) == (ExitCode.FAILED, "q" * 64)


# ---------------------------------------------------------------- properties

NASTY = (math.nan, math.inf, -math.inf, 0.0, -1.0, 0.97, 1.0, 1e300)
SOUND_BOUNDS = st.builds(Bound, st.floats(0.8, 1.0), st.just(1.05) | st.floats(0.9, 1.05))
ODD_BOUNDS = st.builds(Bound, st.none() | st.sampled_from(NASTY), st.none() | st.sampled_from(NASTY))
PER_PROBE = st.builds(
    lambda bound, aggregate, severity, target: Check("?", "carry_fidelity", bound, (), aggregate, severity, (), target),
    SOUND_BOUNDS,
    st.sampled_from([*Aggregate]),
    st.sampled_from([Severity.ERROR, Severity.ERROR, Severity.WARN, Severity.OFF]),
    st.sampled_from(["", "soc-8mb"]),
)
IN_ALL = st.builds(lambda bound: Check("?", "sram_peak", bound), SOUND_BOUNDS)
ODD_CHECKS = st.builds(
    lambda metric, bound, aggregate: Check("?", metric, bound, (), aggregate),
    st.sampled_from(["carry_fidelity", "sram_peak", "ghost"]),
    ODD_BOUNDS,
    st.sampled_from([None, *Aggregate]),
)
SPOILERS = (
    "value",
    "count",
    "floor value",
    "floor count",
    "curve",
    "status",
    "no floor",
    "low floor",
    "probes",
    "check",
)
PROFILE = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


@st.composite
def runs(draw: st.DrawFn) -> tuple[Policy, MeasurementSet]:
    """Draw a run that is sound but for at most two spoilt things."""
    spoilt = draw(st.sets(st.sampled_from(SPOILERS), max_size=2) | st.just(set()))
    random = draw(st.randoms(use_true_random=False))
    probes = draw(st.sampled_from([1, 2, 3, 20, 101]))
    checks = draw(st.lists(PER_PROBE | IN_ALL, min_size=1, max_size=3))
    checks += [draw(ODD_CHECKS)] if "check" in spoilt else []
    lowest = draw(st.sampled_from([0.8, 0.95]))

    def values(kind: str, count: int = probes) -> tuple[float, ...]:
        found = [random.uniform(lowest, 1.0) for _ in range(count)]
        if f"{kind}value" in spoilt:
            found[random.randrange(count)] = random.choice(NASTY)
        return tuple(found[1:] if f"{kind}count" in spoilt else found)

    one = measurement(
        values(""),
        direction=draw(st.sampled_from(Direction)),
        floored=draw(st.booleans()),
        status=MeasureStatus.NOT_MEASURED if "status" in spoilt else MeasureStatus.MEASURED,
        floor_values=values("floor "),
        curve=(CurvePoint(1, 1.0, math.nan if "curve" in spoilt else 1.0, 1.0),),
    )
    floor = NoiseFloor(1e-6, 0.0, (0.5 if "low floor" in spoilt else 1.0,) * probes)
    data = measured(
        one, sram(random.uniform(0.8, 1.1)), probes=probes, noise_floor=None if "no floor" in spoilt else floor
    )
    made = policy(
        *(replace(check, id=f"c{i}") for i, check in enumerate(checks)), minimum_probes=3 if "probes" in spoilt else 1
    )
    return made, data


def code_of(made: Policy, data: MeasurementSet) -> int:
    try:
        return judge(made, data).exit_code
    except GateError as error:
        return int(error.exit_code)


def oracle_allows(made: Policy, data: MeasurementSet) -> bool:
    """Say independently, in the plainest way, whether exit 0 is right; knows one candidate and no options."""
    required = [check for check in made.checks if check.severity is Severity.ERROR]
    return bool(required) and all(_oracle_met(check, made, data) for check in required)


def _oracle_met(check: Check, made: Policy, data: MeasurementSet) -> bool:
    found = [one for one in data.measurements if one.metric == check.metric]
    if len(found) != 1 or found[0].status != "measured":
        return False
    (one,) = found
    probes = data.provenance.probes
    numbers = [*one.values, *(x for p in one.curve for x in (p.mean, p.p05, p.worst))]
    if one.floored:
        if data.noise_floor is None or len(data.noise_floor.values) != probes:
            return False
        if not _oracle_mean(data.noise_floor.values) >= made.noise_floor.limit:
            return False
        numbers += one.floor_values
    if any(x != x or abs(x) == float("inf") for x in numbers):
        return False
    groups = [one.values, one.floor_values] if one.floored else [one.values]
    return all(_oracle_group(group, check, made, one, probes) for group in groups)


def _oracle_group(values: tuple[float, ...], check: Check, made: Policy, one: Measurement, probes: int) -> bool:
    low, high = check.bound.minimum, check.bound.maximum
    ends = [end for end in (low, high) if end is not None]
    if not ends or any(not -1e309 < end < 1e309 for end in ends):
        return False
    if (one.direction == "higher" and low is None) or (one.direction == "lower" and high is None):
        return False
    if not one.per_probe:
        seen = [values[0]] if len(values) == 1 and check.aggregate is None else []
    elif len(values) != probes or probes < max(1, made.minimum_probes) or check.aggregate is None:
        return False
    else:
        seen = _oracle_seen(sorted(values), check.aggregate, one.direction)
    return bool(seen) and all((low is None or x >= low) and (high is None or x <= high) for x in seen)


def _oracle_mean(values: tuple[float, ...]) -> float:
    from fractions import Fraction

    if any(not -1e309 < x < 1e309 for x in values):
        return math.nan
    return float(sum(Fraction(x) for x in values) / len(values))


def _oracle_seen(ordered: list[float], aggregate: Aggregate, direction: Direction) -> list[float]:
    count = len(ordered)
    if aggregate == "mean":
        return [math.fsum(ordered) / count]
    if aggregate in ("p01", "p05", "p95"):
        if count < {"p01": 100, "p05": 20, "p95": 20}[aggregate]:
            return []
        share = {"p01": 1, "p05": 5, "p95": 95}[aggregate] * (count - 1)
        return [ordered[share // 100 if aggregate != "p95" else -(-share // 100)]]
    both = {"worst": [ordered[0], ordered[-1]], "median": [ordered[(count - 1) // 2], ordered[count // 2]]}[aggregate]
    return {"higher": both[:1], "lower": both[1:], "both": both}[direction]


def test_the_runs_of_the_properties_pass_and_block_often_enough_to_mean_something() -> None:
    codes: list[int] = []

    @settings(PROFILE, database=None)
    @given(runs())
    def collect(run: tuple[Policy, MeasurementSet]) -> None:
        codes.append(code_of(*run))

    collect()
    assert {0, 1, 2, 3} <= set(codes)
    assert 0.1 < codes.count(0) / len(codes) < 0.9


@PROFILE
@given(runs())
def test_exit_0_only_where_an_independent_oracle_agrees(run: tuple[Policy, MeasurementSet]) -> None:
    assert (code_of(*run) == 0) == oracle_allows(*run)


@PROFILE
@given(runs(), st.randoms(use_true_random=False))
def test_shuffling_the_probes_never_changes_a_verdict(run: tuple[Policy, MeasurementSet], random: object) -> None:
    made, data = run
    before = judge_or_none(made, data)
    assume(before is not None)

    def shuffled(values: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(random.sample(values, len(values)))  # type: ignore[attr-defined]

    moved = tuple(
        replace(one, values=shuffled(one.values), floor_values=shuffled(one.floor_values)) for one in data.measurements
    )
    after = judge(made, replace(data, measurements=moved))

    assert after.exit_code == before.exit_code
    assert [r.outcome for r in after.results] == [r.outcome for r in before.results]
    assert [r.observed for r in after.results] == [r.observed for r in before.results]


def judge_or_none(made: Policy, data: MeasurementSet) -> Verdict | None:
    try:
        return judge(made, data)
    except GateError:
        return None


@PROFILE
@given(runs(), st.floats(0, 1), st.floats(0, 1))
def test_tightening_a_bound_never_turns_a_block_into_a_pass(
    run: tuple[Policy, MeasurementSet], up: float, down: float
) -> None:
    made, data = run
    assume(code_of(made, data) != 0)

    def tightened(bound: Bound) -> Bound:
        return Bound(
            None if bound.minimum is None else bound.minimum + up,
            None if bound.maximum is None else bound.maximum - down,
        )

    checks = tuple(replace(check, bound=tightened(check.bound)) for check in made.checks)
    assert code_of(replace(made, checks=checks), data) != 0


@PROFILE
@given(runs(), PER_PROBE | IN_ALL | ODD_CHECKS)
def test_adding_a_check_never_turns_a_fail_into_a_pass(run: tuple[Policy, MeasurementSet], extra: Check) -> None:
    made, data = run
    assume(code_of(made, data) in (1, 3))

    assert code_of(replace(made, checks=(replace(extra, id="extra"), *made.checks)), data) != 0


@PROFILE
@given(
    st.integers(0, 3), st.sampled_from([math.nan, math.inf, -math.inf]), st.sampled_from([*Aggregate]), st.booleans()
)
def test_a_number_that_is_not_finite_anywhere_never_passes(
    row: int, bad: float, aggregate: Aggregate, in_floor: bool
) -> None:
    values = tuple(bad if i == row else 0.99 for i in range(4))
    fields = {"floor_values": values, "floored": True} if in_floor else {}
    one = measurement((0.99,) * 4 if in_floor else values, **fields)
    for bound in (Bound(minimum=0.5), Bound(minimum=-1e300, maximum=1e300)):
        assert judged(replace(FIDELITY, aggregate=aggregate, bound=bound), one).outcome is not Outcome.PASS


def test_a_provenance_of_another_policy_is_no_reason_to_refuse() -> None:
    data = measured()
    other = Provenance(**{**{f: getattr(data.provenance, f) for f in data.provenance.__slots__}, "policy_digest": "x"})

    assert judge(policy(), replace(data, provenance=other)).passed


# ---------------------------------------------------------------- what another policy named


ASKING = policy(
    digest="easy",
    reference=ModelSpec("reference", "models/ref.safetensors"),
    inputs=InputsSpec("sudoku", (("count", 100), ("givens", 6))),
)


def measured_by(asking: Policy) -> MeasurementSet:
    data = measured()
    return replace(data, provenance=replace(data.provenance, policy_digest=asking.digest, asked=asked(asking)))


@pytest.mark.parametrize(
    ("field", "changes"),
    [
        ("inputs", {"inputs": InputsSpec("sudoku", (("count", 100), ("givens", 10)))}),
        ("inputs", {"inputs": InputsSpec("sudoku", (("count", 100), ("givens", 6), ("seed", 1)))}),
        ("inputs", {"inputs": InputsSpec("npz", (("path", "eval.npz"),))}),
        ("inputs.calibration", {"calibration": InputsSpec("npz", (("path", "calibration.npz"),))}),
        ("reference", {"reference": ModelSpec("reference", "models/better.safetensors")}),
        ("reference.model", {"reference": ModelSpec("reference", "models/ref.safetensors", (("ema", True),))}),
        ("candidates.int8.model", {"candidates": (ModelSpec("int8", "int8.safetensors", use="checkpoint"),)}),
    ],
)
def test_what_was_measured_for_another_policy_on_other_rows_or_against_another_reference_is_refused(
    field: str, changes: dict[str, object]
) -> None:
    with pytest.raises(Refused, match=r"measured with .*, and the policy says") as caught:
        judge(replace(ASKING, digest="strict", **changes), measured_by(ASKING))

    assert caught.value.field == field


def test_another_policy_that_names_the_same_in_other_folders_is_judged_and_the_same_policy_always_is() -> None:
    moved = replace(ASKING, digest="strict", reference=ModelSpec("reference", "../elsewhere/ref.safetensors"))
    given = replace(ASKING, inputs=InputsSpec("npz", (("path", "given-on-the-command-line.npz"),)))

    assert judge(moved, measured_by(ASKING)).passed
    assert judge(ASKING, measured_by(given)).passed


def test_what_a_policy_leaves_to_the_command_line_is_what_was_measured() -> None:
    hooked = replace(ASKING, reference=ModelSpec("reference", "", (("factory", "thinker:make"),)))
    filled = replace(hooked, digest="strict", reference=replace(hooked.reference, path="thinker:make"))

    assert judge(replace(ASKING, digest="strict", inputs=InputsSpec("")), measured_by(ASKING)).passed
    assert judge(filled, measured_by(hooked)).passed
