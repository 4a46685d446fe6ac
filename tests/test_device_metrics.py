"""Metrics of device services: what a run on a phone says becomes a number, or a reason; always with its job."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes import DEPTH, some_facts

from fidelity_gate import registry
from fidelity_gate.errors import NotMeasured
from fidelity_gate.metrics.latency import Latency
from fidelity_gate.policy.loading import examine
from fidelity_gate.records import DeviceJob, DeviceProfile, DeviceRun, ModelRecord, UnitShare
from fidelity_gate.wording import detail_with_device

NPU = UnitShare("npu", 1230, 0.2, (("MatMul", 600),))
CPU = UnitShare("cpu", 72, 0.05, (("Softmax", 40), ("Gather", 32)))
PROFILE = DeviceProfile((NPU,), 0.001, 1.5, 0.25, 5_000_000, 160_000_000, (2_000_000, 40_000_000))
JOB = DeviceJob("jabc", "https://hub/jobs/jabc/", "Phone", "14", "onnx", "npu", "0" * 64, "2026-01-01T00:00:00Z", False)
RUNS = tuple(0.001 + 0.00001 * run for run in range(100))


def phone(**changes):
    steps = tuple(2 * seconds for seconds in RUNS)
    said = DeviceRun(
        device="s24",
        plug="qai_hub",
        machine=(("processor", "Phone"), ("system", "os 14")),
        run_seconds=RUNS,
        step_seconds=steps,
        puzzle_seconds=tuple(DEPTH.steps * one for one in steps),
        told="2 runs of the graph a step, 6 steps a puzzle",
        runs_a_step=2,
        job=JOB,
        profile=PROFILE,
    )
    return replace(said, **changes)


def record(run, name="int8"):
    return ModelRecord(name, some_facts(name, file_format="onnx", family=""), DEPTH, device_runs=(run,) if run else ())


def measured(metric, run, reference=None, **options):
    plug = registry.build("metrics", metric, (("device", "s24"), *options.items()))
    return plug.measure(record(reference, "ref"), record(run))


def fell_back(*shares):
    return phone(profile=replace(PROFILE, shares=shares))


# ---------------------------------------------------------------- latency


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        ({"per": "step", "statistic": "p50"}, 2 * RUNS[50]),
        ({"per": "step", "statistic": "min"}, 2 * RUNS[0]),
        ({}, DEPTH.steps * 2 * RUNS[90 - 1]),
        ({"per": "step", "statistic": "estimated"}, 0.002),
        ({"statistic": "estimated"}, 0.002 * DEPTH.steps),
    ],
)
def test_a_latency_is_of_all_runs_and_the_services_estimate_only_where_it_is_asked_for(options, seconds):
    assert measured("latency", phone(), **options).values == pytest.approx((seconds,), rel=0.02)


def test_a_latency_names_the_device_the_unit_the_job_and_how_it_follows_from_runs():
    told = detail_with_device(measured("latency", phone()))
    assert told.startswith("on qai_hub (Phone, onnx on npu, os 14, job jabc https://hub/jobs/jabc/): p90 of 100 runs")
    assert "each as a puzzle at H=1 L=2 steps=6" in told
    assert "2 runs of the graph a step, 6 steps a puzzle" in told
    assert "FALLBACK" not in told
    assert "SIMULATED" not in told


def test_the_host_adds_to_the_services_estimate_as_to_every_run():
    assert measured("latency", phone(host_seconds=0.001), per="step", statistic="estimated").values == (0.004,)


def test_what_was_simulated_says_so_before_anything_else():
    told = detail_with_device(measured("latency", phone(job=replace(JOB, simulated=True))))
    assert told.startswith("on qai_hub (SIMULATED: no device ran it, Phone")


def test_a_spread_is_judged_where_the_policy_gives_one_and_not_where_it_gives_none():
    wild = tuple(0.001 * (1 + run % 10) for run in range(100))
    steps = tuple(2 * seconds for seconds in wild)
    assert measured("latency", phone(step_seconds=steps, run_seconds=wild), per="step").values
    with pytest.raises(NotMeasured, match="too noisy"):
        measured("latency", phone(step_seconds=steps, run_seconds=wild, max_spread=0.2), per="step")


def test_a_profile_without_times_of_runs_is_no_latency_but_by_its_estimate():
    old = phone(run_seconds=(), step_seconds=(), puzzle_seconds=())
    with pytest.raises(NotMeasured, match="no times of single runs"):
        measured("latency", old)
    assert measured("latency", old, per="step", statistic="estimated").values == (0.002,)
    with pytest.raises(NotMeasured, match="no estimate"):
        measured("latency", phone(profile=replace(PROFILE, estimated_seconds=None)), statistic="estimated")


def test_a_host_has_no_estimate():
    with pytest.raises(NotMeasured, match="gives no profile"):
        measured("latency", phone(profile=None, job=None), statistic="estimated")


def test_two_runs_of_one_name_on_another_device_answer_nothing():
    with pytest.raises(NotMeasured, match="nothing ran on the device 's24'"):
        Latency("s24").measure(record(None), record(phone(device="laptop")))


# ---------------------------------------------------------------- the unit that was asked for


@pytest.mark.parametrize(
    ("metric", "options"),
    [("latency", {}), ("device_peak_memory", {"of": "process"}), ("first_load_time", {}), ("warm_load_time", {})],
)
def test_what_ran_mostly_elsewhere_is_no_measurement_and_a_small_fallback_is_told(metric, options):
    with pytest.raises(NotMeasured, match="was to run on the npu, and ran on the cpu: cpu 72 of 72 layers"):
        measured(metric, fell_back(CPU), **options)
    with pytest.raises(NotMeasured, match="does not say which layers ran where"):
        measured(metric, fell_back(), **options)
    told = measured(metric, fell_back(NPU, CPU), **options).detail
    assert "FALLBACK from the npu: npu 1230 of 1302 layers, cpu 72 of 1302 layers (Softmax 40, Gather 32)" in told


def test_a_compiled_model_has_its_size_wherever_it_ran():
    found = measured("compiled_size", fell_back(CPU))
    assert found.values == (5_000_000,)
    assert "FALLBACK" not in found.detail


def test_where_any_unit_will_do_nothing_falls_back():
    told = measured("latency", replace(fell_back(CPU), job=replace(JOB, compute_unit="all")))
    assert "FALLBACK" not in told.detail


def test_the_share_of_the_npu_is_of_layers_or_of_time_and_measured_wherever_it_ran():
    run = fell_back(NPU, CPU)
    assert measured("npu_share", run).values == (1230 / 1302,)
    assert measured("npu_share", run, of="time").values == pytest.approx((0.8,))
    assert "npu 200 ms, cpu 50 ms" in measured("npu_share", run).detail
    assert measured("npu_share", fell_back(CPU)).values == (0.0,)
    assert measured("npu_share", phone(), reference=run).detail.endswith("reference 94.47 %")
    with pytest.raises(NotMeasured, match="does not time every layer"):
        measured("npu_share", fell_back(replace(NPU, seconds=None), CPU), of="time")
    with pytest.raises(NotMeasured, match="does not time every layer"):
        measured("npu_share", fell_back(replace(NPU, seconds=0.0)), of="time")
    with pytest.raises(NotMeasured, match="which layers ran where"):
        measured("npu_share", fell_back())


def test_layers_of_no_known_unit_are_not_on_the_npu():
    assert measured("npu_share", fell_back(NPU, UnitShare("unknown", 1230))).values == (0.5,)


# ---------------------------------------------------------------- the other figures


def test_memory_is_the_figure_that_was_named_and_both_are_shown():
    assert measured("device_peak_memory", phone(), of="process").values == (160_000_000,)
    assert measured("device_peak_memory", phone(), of="inference").values == (40_000_000,)
    assert "process 152.6 MiB (160 MB), inference 1.907 MiB (2 MB) to" in (
        measured("device_peak_memory", phone(), of="process").detail
    )
    for of, gap in (("process", "process_peak_bytes"), ("inference", "inference_peak_bytes")):
        with pytest.raises(NotMeasured, match=f"no peak memory of the {of}"):
            measured("device_peak_memory", phone(profile=replace(PROFILE, **{gap: None})), of=of)


@pytest.mark.parametrize(
    ("metric", "value", "field"),
    [
        ("first_load_time", 1.5, "first_load_seconds"),
        ("warm_load_time", 0.25, "warm_load_seconds"),
        ("compiled_size", 5_000_000, "compiled_bytes"),
    ],
)
def test_loads_and_size_are_the_profiles_own_figures(metric, value, field):
    assert measured(metric, phone()).values == (value,)
    assert "job jabc" in measured(metric, phone()).ran_on
    with pytest.raises(NotMeasured, match="holds no "):
        measured(metric, phone(profile=replace(PROFILE, **{field: None})))
    with pytest.raises(NotMeasured, match="gives no profile"):
        measured(metric, phone(profile=None))


# ---------------------------------------------------------------- in a policy

POLICY = """\
apiVersion: fidelity-gate/v1
name: phone
reference: ref.onnx
candidates: {{int8: int8.onnx}}
inputs: {{use: npz, path: probes.npz}}
recursion: {{h_cycles: 2, l_cycles: 1, steps: 4}}
devices:
  laptop: {{use: host-cpu}}
  s24: {{use: qai_hub, {options}}}
checks:
  a: {{metric: {metric}, options: {{{of}}}, require: {{max: {bound}}}}}
"""
ASKED = 'device: Samsung Galaxy S24, os: "14", timeout: 30 min, max_age: 2 d, host_overhead: 0.2 ms'


def read(metric="latency", of="device: s24", bound="30 ms", options=ASKED):
    return examine(POLICY.format(metric=metric, of=of, bound=bound, options=options).encode(), "p.yaml")


def test_a_policy_names_phones_with_times_in_minutes_days_and_milliseconds():
    found = read()
    assert not found.problems
    options = dict(next(one for one in found.policy.devices if one.name == "s24").options)
    assert (options["timeout"], options["max_age"], options["host_overhead"]) == (1800.0, 2.0, pytest.approx(0.0002))
    assert options["max_spread"] is None


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"options": 'os: "14"'}, "qai_hub needs device"),
        ({"options": f"{ASKED}, timeout: 1800"}, "is given twice"),
        ({"options": "device: a, timeout: 1800"}, "is no value for it (a time, like 30 min)"),
        ({"options": "device: a, api_token: abc"}, "qai_hub has no option 'api_token'"),
        ({"options": 'device: a, options: "--token abc"'}, "looks like a secret"),
        ({"options": "device: a, runtime: qnn"}, "must be onnx, tflite, qnn_dlc"),
        ({"options": "device: a, compute_unit: dsp"}, "must be npu, gpu, cpu, all"),
        ({"options": "device: a, runs: 9"}, "p90 needs at least 10 runs"),
        ({"metric": "peak_memory", "bound": "9 MiB"}, "cannot be measured by the device 's24'"),
        ({"metric": "device_peak_memory", "bound": "9 MiB"}, "of: is missing"),
        (
            {"metric": "first_load_time", "of": "device: laptop"},
            "first_load_time cannot be measured by the device 'laptop', which is of the kind host-cpu",
        ),
        ({"of": "device: laptop, statistic: estimated"}, "cannot be measured by the device 'laptop'"),
    ],
)
def test_a_policy_that_no_device_can_answer_is_refused_where_it_is_wrong(changes, line):
    problems = " | ".join(map(str, read(**changes).problems))
    assert line in problems
    assert "abc" not in problems


def test_an_estimate_and_a_named_figure_of_memory_are_policies():
    assert not read(of="device: s24, statistic: estimated").problems
    assert not read("device_peak_memory", "device: s24, of: inference", "9 MiB").problems
