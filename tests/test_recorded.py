"""`recorded`: a saved profile answers for a model's very file on the device that was asked, while it is young."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from fakes import some_facts
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_steps import REASONER, reasoner, write
from saved_profiles import DIGEST, GRAPH, MIB, NOW, ON_NPU, PROFILE, RUNS, profile, published

from fidelity_gate import registry
from fidelity_gate.cli import answer
from fidelity_gate.device_records import sealing
from fidelity_gate.device_records.saved import CLOCKS_APART, Origin, SaidDepth
from fidelity_gate.devices.recorded import Recorded
from fidelity_gate.devices.recorded_binding import Asked, Subject, bound
from fidelity_gate.errors import NotMeasured, PolicyError, Refused, UsageError
from fidelity_gate.files import sha256_hex
from fidelity_gate.metrics.latency import Latency
from fidelity_gate.policy.loading import examine
from fidelity_gate.records import (
    Depth,
    DeviceJob,
    DeviceProfile,
    DeviceRun,
    ModelRecord,
    Part,
    StepFile,
    Target,
    UnitShare,
    Workload,
)
from fidelity_gate.shipped import policy_path

DEPTH = Depth(3, 6, 16)
ASKED = Asked("Samsung Galaxy S24", "14", "onnx", "npu", max_age=90)
ROW = replace(ASKED, os="", runtime="unstated", compute_unit="unstated", row=("TRM Sudoku", "int8"))
NPU = Target("npu", int8_min_tokens=400)
SUBJECT = Subject(frozenset({DIGEST}), DEPTH)


def found(*records, asked=ASKED, subject=SUBJECT, now=NOW):
    return bound(records, asked, subject, now)


# ---------------------------------------------------------------- binding


def test_a_record_of_the_very_file_on_the_device_that_was_asked_is_found():
    assert found(PROFILE) == PROFILE
    assert found(PROFILE, subject=Subject(frozenset({GRAPH}), DEPTH)) == PROFILE


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_digest": "0" * 64, "graph_digest": ""}, "none of 1 records is of this very file"),
        (
            {"device": "Samsung Galaxy S22 5G"},
            "device Samsung Galaxy S22 5G, and the policy asks for Samsung Galaxy S24",
        ),
        ({"device": "Samsung Galaxy S24 Ultra"}, "recorded with device"),
        ({"os": "15"}, "recorded with OS 15, and the policy asks for 14"),
        ({"os": ""}, "recorded with OS unstated"),
        ({"runtime": "tflite"}, "recorded with runtime tflite, and the policy asks for onnx"),
        ({"runtime": ""}, "recorded with runtime unstated"),
        ({"compute_unit": "cpu"}, "recorded with compute unit cpu, and the policy asks for npu"),
        ({"compute_unit": "all"}, "recorded with compute unit all"),
        ({"simulated": True}, "simulated: no device ran it"),
        ({"origin": Origin.BY_HAND}, "recorded by hand"),
        ({"measured": "2026-02-08T12:00:00Z"}, "recorded 91.0 days ago (2026-02-08), and the policy allows 90"),
        ({"measured": "2026-05-10T12:06:00Z"}, "recorded in the future"),
        ({"measured": "2027-05-10"}, "recorded in the future"),
        ({"measured": "some day"}, "does not say when it was measured"),
        ({"run_seconds": (0.01, 0.0)}, "a run took 0 s"),
        ({"run_seconds": (), "profile": DeviceProfile()}, "holds no time"),
        ({"run_seconds": (0.01, math.nan)}, "a run took nan s"),
    ],
)
def test_whatever_does_not_match_is_not_measured_and_says_what(changes, said):
    with pytest.raises(NotMeasured) as caught:
        found(profile(**changes))
    assert said in caught.value.what


@settings(deadline=None)
@given(st.floats(0, 200))
def test_a_record_is_believed_up_to_its_age_and_no_longer(days):
    record = profile(measured=(NOW - timedelta(days=days)).isoformat())
    if days <= 90:
        assert found(record) == record
    else:
        with pytest.raises(NotMeasured, match="days ago"):
            found(record)


def test_an_age_that_is_too_old_by_little_is_never_told_as_one_that_is_allowed():
    with pytest.raises(NotMeasured, match=r"recorded 90\.1 days ago .*, and the policy allows 90"):
        found(profile(measured=(NOW - timedelta(days=90, seconds=1)).isoformat()))


def test_two_clocks_may_be_a_little_apart():
    assert found(profile(measured=(NOW + CLOCKS_APART).isoformat()))


def test_the_newest_of_several_counts_and_an_older_one_never_stands_in_for_it():
    older, newer = profile(measured="2026-04-01"), profile(measured="2026-05-09")
    assert found(older, newer) == found(newer, older) == newer
    for wrong in (
        replace(newer, run_seconds=(0.0,)),
        replace(newer, measured="2026-06-01"),
        replace(newer, measured=""),
    ):
        with pytest.raises(NotMeasured):
            found(older, wrong)


def test_two_records_that_are_equally_new_and_differ_decide_nothing():
    twin = profile(job_id="jother")
    with pytest.raises(NotMeasured, match="2 records of 2026-05-01 match, and they differ"):
        found(PROFILE, twin)
    assert found(PROFILE, PROFILE) == PROFILE


def test_one_measurement_that_was_recorded_of_a_run_and_of_its_job_is_one():
    of_job = profile(origin=Origin.JOB, source="https://hub.example/jobs/jabc123/", model="int8", variant="")
    of_verdict = profile(source="measurements.json (sha256 fedc)")
    assert found(of_job, PROFILE) == found(PROFILE, of_job) == PROFILE
    assert found(of_job, of_verdict, PROFILE).origin is Origin.RUN
    for other in (
        {"run_seconds": RUNS[1:]},
        {"host_seconds": 0.001},
        {"profile": replace(ON_NPU, process_peak_bytes=MIB)},
        {"peak_bytes": MIB},
        {"runs_per_step": 4},
    ):
        with pytest.raises(NotMeasured, match="2 records of 2026-05-01 match, and they differ"):
            found(PROFILE, of_verdict, replace(of_job, **other))


def test_what_the_policy_accepts_by_name_is_accepted():
    simulated, by_hand = profile(simulated=True), profile(origin=Origin.BY_HAND)
    assert found(simulated, asked=replace(ASKED, allow_simulated=True)) == simulated
    assert found(by_hand, asked=replace(ASKED, by_hand=True)) == by_hand
    # Neither hides a record that needs no such word.
    assert found(replace(simulated, measured="2026-05-05"), PROFILE) == PROFILE


def test_a_published_row_answers_only_where_the_policy_asks_for_it_by_name():
    assert found(published(), asked=ROW) == published()
    with pytest.raises(NotMeasured, match="every row there was published, not of this file"):
        found(published())
    with pytest.raises(NotMeasured, match="no row of 'TRM Sudoku' in int8 was published there"):
        found(PROFILE, asked=ROW)
    with pytest.raises(NotMeasured, match="in w8a8 was published there") as caught:
        found(published(), asked=replace(ROW, row=("TRM Sudoku", "w8a8")))
    assert caught.value.hint == "there: TRM Sudoku int8"


@pytest.mark.parametrize(
    ("said", "fits"),
    [
        (SaidDepth(), True),
        (SaidDepth(3, None, 16), True),
        (SaidDepth(3, 6, 16), True),
        (SaidDepth(1, None, 16), False),
        (SaidDepth(3, None, 8), False),
        (SaidDepth(3, 4, 16), False),
    ],
)
def test_a_published_row_of_another_depth_is_of_another_model(said, fits):
    row = published(depth=said)
    if fits:
        assert found(row, asked=ROW) == row
    else:
        with pytest.raises(NotMeasured, match="and the model runs at H=3 L=6 steps=16"):
            found(row, asked=ROW)


def test_a_record_of_the_very_file_counts_runs_so_that_its_depth_does_not_matter():
    assert found(PROFILE, subject=Subject(frozenset({DIGEST}), Depth(3, 6, 4))) == PROFILE


# ---------------------------------------------------------------- the device


def plug(path, **options):
    needed = {"path": str(path), "device": "Samsung Galaxy S24", "runtime": "onnx", "max_age": 90.0}
    return Recorded(**(needed | options))


def row_of(path, **options):
    asked = {"runtime": "unstated", "compute_unit": "unstated", "published": True, "model": "TRM Sudoku"}
    return plug(path, **(asked | options))


def workload(name="int8", *, digest=DIGEST, graph=None, base="", depth=DEPTH):
    facts = replace(some_facts(name), digest=digest)
    return Workload(name, facts, depth, Part.PUZZLE, False, "", {}, base=base, graph=graph)


@pytest.fixture
def records(tmp_path):
    path = tmp_path / "records.json"
    sealing.add(path, (PROFILE, published()))
    return path


def test_what_was_recorded_is_replayed_with_steps_and_puzzles_and_where_it_comes_from(records):
    run = plug(records).replayed(workload(), NOW)
    assert run.run_seconds == PROFILE.run_seconds
    assert run.runs_a_step == 3
    assert run.step_seconds == tuple(3 * seconds for seconds in PROFILE.run_seconds)
    assert run.puzzle_seconds == tuple(16 * seconds for seconds in run.step_seconds)
    assert run.profile == PROFILE.profile
    assert run.job.device == "Samsung Galaxy S24"
    assert (run.job.id, run.job.finished, run.job.simulated) == ("jabc123", PROFILE.measured, False)
    assert dict(run.machine)["processor"] == (
        "recorded by a run of the gate (2026-05-01, 9 days old), Samsung Galaxy S24"
    )


def test_runs_a_step_are_those_of_the_file_itself_at_the_depth_that_is_judged(records):
    graph = StepFile(b"", GRAPH, {}, (), runs=2)
    run = plug(records).replayed(workload(digest="0" * 64, graph=graph, depth=Depth(2, 6, 4)), NOW)
    assert run.runs_a_step == 2
    assert run.puzzle_seconds[0] == 4 * 2 * PROFILE.run_seconds[0]


def test_the_host_adds_what_the_policy_says_and_otherwise_what_was_recorded(tmp_path):
    path = tmp_path / "records.json"
    sealing.add(path, (profile(host_seconds=0.5),))
    assert plug(path).replayed(workload(), NOW).host_seconds == 0.5
    run = plug(path, host_overhead=0.001).replayed(workload(), NOW)
    assert run.step_seconds[0] == 3 * (PROFILE.run_seconds[0] + 0.001)
    assert "for the host, as stated" in run.told


def test_a_published_row_is_labelled_so_and_its_one_figure_is_no_timed_run(records):
    run = row_of(records).replayed(workload(digest="0" * 64), NOW)
    assert run.run_seconds == run.step_seconds == ()
    assert run.profile.estimated_seconds == 0.02723
    assert dict(run.machine)["processor"].startswith("published, not of this file (2026-04-01, 39 days old)")
    assert (run.profile.process_peak_bytes, run.profile.inference_peak_bytes) == (None, None)


@pytest.mark.parametrize(
    ("peak_is", "expected"), [("process", (160 * MIB, None)), ("inference", (None, (0, 160 * MIB)))]
)
def test_a_peak_without_a_name_is_what_the_policy_says_it_is(records, peak_is, expected):
    told = row_of(records, peak_is=peak_is).replayed(workload(), NOW).profile
    assert (told.process_peak_bytes, told.inference_peak_bytes) == expected


def test_names_of_a_policy_are_led_to_precisions_of_rows(records):
    device = row_of(records, rows="reference=fp32 small=int8")
    assert device.replayed(workload("small"), NOW).profile.estimated_seconds == 0.02723
    with pytest.raises(NotMeasured, match="in fp32 was published there"):
        device.replayed(workload("reference"), NOW)


def test_a_row_that_does_not_say_what_a_step_is_needs_the_policy_to_say_it(tmp_path):
    path = tmp_path / "records.json"
    sealing.add(path, (published(runs_per_step=None),))
    with pytest.raises(NotMeasured, match="nothing says how many runs"):
        row_of(path).replayed(workload(), NOW)
    assert row_of(path, runs_per_step=3).replayed(workload(), NOW).runs_a_step == 3


def test_ages_are_told_by_the_clock_when_nobody_gives_one(tmp_path):
    path = tmp_path / "records.json"
    made = datetime.now(UTC) - timedelta(days=3)
    sealing.add(path, (profile(measured=made.isoformat()),))
    assert "3 days old" in dict(plug(path).run(workload()).machine)["processor"]
    with pytest.raises(NotMeasured, match=r"recorded 3\.0 days ago"):
        plug(path, max_age=2.0).run(workload())


def test_a_relative_path_is_against_the_policys_folder(records):
    assert plug(records.name).replayed(workload(base=str(records.parent)), NOW).run_seconds


def test_an_edited_file_is_refused_though_the_record_that_counts_is_another(records):
    records.write_text(records.read_text().replace('"os":""', '"os":"9"', 1))
    with pytest.raises(Refused, match="was changed after it was recorded"):
        plug(records).replayed(workload(), NOW)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"path": ""}, "path"),
        ({"device": ""}, "device"),
        ({"runtime": ""}, "runtime"),
        ({"max_age": 0.0}, "max_age"),
        ({"max_age": math.inf}, "max_age"),
        ({"max_age": math.nan}, "max_age"),
        ({"published": True}, "published"),
        ({"model": "TRM"}, "model"),
        ({"rows": "int8=int8"}, "rows"),
        ({"peak_is": "process"}, "peak_is"),
        ({"runs_per_step": 1}, "runs_per_step"),
        ({"published": True, "model": "TRM", "runs_per_step": 0}, "runs_per_step"),
        ({"published": True, "model": "TRM", "rows": "int8"}, "rows"),
        ({"published": True, "model": "TRM", "rows": "a=b a=c"}, "rows"),
        ({"host_overhead": -1.0}, "host_overhead"),
        ({"max_spread": math.nan}, "max_spread"),
    ],
)
def test_options_that_ask_for_nothing_or_contradict_one_another_are_refused(options, field):
    with pytest.raises(UsageError) as caught:
        plug(**({"path": "records.json"} | options))
    assert caught.value.field == field


@pytest.mark.parametrize("missing", ["path", "device", "runtime", "max_age"])
def test_what_binds_a_record_has_to_be_asked(missing):
    options = {"path": "r.json", "device": "Phone", "runtime": "onnx", "max_age": 90.0}
    del options[missing]
    with pytest.raises(PolicyError, match=f"recorded needs {missing}"):
        registry.build("devices", "recorded", options.items())


# ---------------------------------------------------------------- slower than the reference


def compared(*, bits=8.0, depth=DEPTH, tokens=97, part="step", shares=()):
    """Return what latency says of a candidate of 27 ms beside a reference of 11 ms, on a device of Table 11."""

    def of(name, seconds, width, own_depth):
        told = DeviceProfile(estimated_seconds=seconds, shares=shares)
        job = DeviceJob("", "", "Phone", "", "onnx", "unstated", "", "2026-05-01", simulated=False)
        run = DeviceRun("s24", "recorded", (("tokens", tokens),), runs_a_step=1, job=job, profile=told)
        return ModelRecord(name, some_facts(name, bits=width), own_depth, targets=(NPU,), device_runs=(run,))

    metric = Latency(device="s24", statistic="estimated", per=part)
    return metric.measure(of("reference", 0.01138, 32.0, DEPTH), of("int8", 0.02723, bits, depth)).detail


def test_latency_says_that_a_quantized_candidate_is_slower_than_its_float_reference_and_why():
    detail = compared()
    assert "FINDING slower-than-float: int8: 2.39 times as slow as float (27.23 ms against 11.38 ms a step)" in detail
    assert "a step has 97 tokens, and static INT8 pays from 400 on npu" in detail
    assert "97 tokens" not in compared(tokens=900)


def test_latency_says_nothing_of_a_float_candidate_nor_of_steps_of_other_cycles():
    assert "FINDING" not in compared(bits=16.0)
    assert "FINDING" not in compared(depth=Depth(1, 6, 16))
    assert "FINDING" in compared(depth=Depth(1, 6, 16), part="puzzle")
    assert "FINDING" in compared(depth=Depth(3, 6, 8))


# ---------------------------------------------------------------- the whole gate

POLICY = """\
apiVersion: fidelity-gate/v1
name: replayed
reference: {{path: reference.onnx, model: {{unit: h-cycle}}}}
candidates: {{int8: {{path: int8.onnx, uncompressed: true, model: {{unit: h-cycle}}}}}}
inputs: {{use: npz, path: eval.npz}}
recursion: {{h_cycles: 3, l_cycles: 6, steps: 16}}
minimum_probes: 1
devices:
  s24: {{use: recorded, path: {path}, device: Samsung Galaxy S24, max_age: 36000 d, {options}}}
checks:
  step: {{metric: latency, options: {{device: s24, statistic: {statistic}, per: step}}, require: {{max: {budget}}}}}
"""
ROW_OPTIONS = (
    "runtime: unstated, compute_unit: unstated, published: true, model: TRM Sudoku-Extreme, "
    'rows: "reference=fp32 int8=int8"'
)


@pytest.fixture
def gated(tmp_path, monkeypatch):
    """Gate two small graphs by a policy; return the exit code, and what became of the check and of its measurement."""
    monkeypatch.chdir(tmp_path)
    for name in ("reference", "int8"):
        write(tmp_path, REASONER, reasoner(), name=name, metadata={"called": name})
    np.savez(tmp_path / "eval.npz", inputs=np.random.default_rng(0).integers(0, 5, (4, 7)).astype(np.int32))

    def run(options, path="records.json", statistic="p50", budget="40 ms"):
        text = POLICY.format(path=path, options=options, statistic=statistic, budget=budget)
        (tmp_path / "release.yaml").write_text(text)
        code = int(answer(["run", "release.yaml", "--report", "json:verdict.json"]))
        report = json.loads((tmp_path / "verdict.json").read_text())
        (result,) = report["verdict"]["results"]
        (measurement,) = report["measured"]["measurements"]
        return code, result, measurement

    return run


def recorded_here(folder, **changes):
    """Record both graphs of the folder, as a run of the gate would."""
    made = [
        profile(
            model_digest=sha256_hex((folder / f"{name}.onnx").read_bytes()),
            graph_digest="",
            variant=name,
            precision="float",
            **changes,
        )
        for name in ("reference", "int8")
    ]
    sealing.add(folder / "records.json", tuple(made))


def test_a_policy_is_judged_by_the_records_of_its_very_files(gated, tmp_path):
    recorded_here(tmp_path)
    code, result, measurement = gated("runtime: onnx")
    assert (code, result["outcome"]) == (0, "pass")
    assert measurement["values"] == [3 * sorted(PROFILE.run_seconds)[15]]
    assert "recorded by a run of the gate (2026-05-01" in measurement["ran_on"]


def test_a_record_that_is_bound_to_something_else_ends_in_exit_3(gated, tmp_path):
    recorded_here(tmp_path)
    code, result, measurement = gated("runtime: tflite")
    assert (code, result["outcome"]) == (3, "not-measured")
    assert "recorded with runtime onnx, and the policy asks for tflite" in measurement["reason"]


def test_a_candidate_that_was_changed_after_it_was_recorded_ends_in_exit_3(gated, tmp_path):
    recorded_here(tmp_path)
    write(tmp_path, REASONER, reasoner(), name="int8", metadata={"called": "int8", "then": "changed"})
    code, _, measurement = gated("runtime: onnx")
    assert code == 3
    assert "none of 2 records is of this very file" in measurement["reason"]


@pytest.mark.parametrize("broken", ["missing", "edited"])
def test_a_file_of_records_that_is_missing_or_edited_is_refused_at_its_line_of_the_policy(
    gated, tmp_path, capsys, broken
):
    recorded_here(tmp_path)
    gated("runtime: onnx")
    path = tmp_path / "records.json"
    if broken == "missing":
        path.unlink()
    else:
        path.write_text(path.read_text().replace("2026-05-01", "2026-05-02"))
    assert int(answer(["run", "release.yaml"])) == 2
    said = "there is no such file" if broken == "missing" else "was changed after it was recorded"
    line = capsys.readouterr().err.splitlines()[-1]
    assert "release.yaml:9" in line
    assert "devices.s24.path: records.json: " in line
    assert said in line


def test_a_simulated_record_ends_in_exit_3_where_the_policy_does_not_take_it(gated, tmp_path):
    recorded_here(tmp_path, simulated=True)
    code, _, measurement = gated("runtime: onnx")
    assert code == 3
    assert "simulated: no device ran it" in measurement["reason"]
    code, _, measurement = gated("runtime: onnx, allow_simulated: true")
    assert code == 0
    assert "SIMULATED" in measurement["ran_on"]


def test_layers_that_fell_back_to_the_cpu_make_a_record_no_measurement(gated, tmp_path):
    mostly_cpu = replace(PROFILE.profile, shares=(UnitShare("npu", 10), UnitShare("cpu", 113)))
    recorded_here(tmp_path, profile=mostly_cpu)
    code, _, measurement = gated("runtime: onnx")
    assert code == 3
    assert "was to run on the npu, and ran on the cpu" in measurement["reason"]


@pytest.mark.parametrize(("budget", "code"), [("27.23 ms", 0), ("27.22 ms", 1)])
def test_table_11_gates_a_step_and_every_text_says_that_it_was_published(gated, budget, code):
    path = policy_path("examples/trm-table11.json")
    came, result, measurement = gated(ROW_OPTIONS, path, "estimated", budget)
    assert (came, result["observed"]) == (code, 0.02723)
    assert "published, not of this file (2026-06-25" in measurement["ran_on"]
    # int8.onnx is float here, and a row is not of it: nothing is said of a slowdown that is not this model's.
    assert "FINDING" not in measurement["detail"]


def test_a_published_time_is_no_percentile_of_runs(gated):
    code, _, measurement = gated(ROW_OPTIONS, policy_path("examples/trm-table11.json"), "p50")
    assert code == 3
    assert "holds no times of single runs" in measurement["reason"]


def test_a_policy_says_how_old_a_record_may_be_in_days():
    text = POLICY.format(path="r.json", options="runtime: onnx", statistic="p50", budget="40 ms")
    for written, told in (("90 d", 90.0), ("0.5 d", 0.5)):
        policy = examine(text.replace("36000 d", written).encode(), "release.yaml").policy
        assert policy is not None
        assert dict(policy.devices[0].options)["max_age"] == told
    for wrong in ("90", "90 days", "3 months", "0 d", "-1 d"):
        problems = examine(text.replace("36000 d", wrong).encode(), "release.yaml").problems
        assert "max_age" in problems[0].field, wrong
