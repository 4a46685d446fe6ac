"""latency and peak_memory: what a device said becomes a number, or a reason; always with what it ran on.

Devices are faked: a test says what they said. `tests/test_devices.py` runs the real one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import ClassVar

import pytest
from fakes import DEPTH, PROBES, SHELF, FakeOpened, FakeRecursion, Recorded, some_facts, some_probes
from hypothesis import given
from hypothesis import strategies as st

import fidelity_gate.devices
import fidelity_gate.inputs
import fidelity_gate.models
from fidelity_gate import gate, measurements_file, registry
from fidelity_gate.errors import ExitCode, ModelRefused, NotMeasured, OutOfTime, Refused
from fidelity_gate.judge import judge
from fidelity_gate.metrics.latency import Latency, spread_of, statistic_of
from fidelity_gate.metrics.peak_memory import PeakMemory
from fidelity_gate.policy.loading import Overrides, examine, load_policy_text
from fidelity_gate.records import (
    Aggregate,
    Bound,
    Check,
    DeviceRecord,
    DeviceRun,
    DeviceSpec,
    InputsSpec,
    MeasureStatus,
    Memory,
    ModelRecord,
    ModelSpec,
    Outcome,
    Part,
    Place,
    Policy,
    Report,
    Role,
    RunSpec,
    Severity,
    TensorFact,
)
from fidelity_gate.wording import detail_with_device

MACHINE = (("processor", "Chip 9000"), ("runtime", "torch 2.13.0"), ("system", "Linux 6.1"), ("threads", 1))
CALM = tuple(0.010 + 0.0001 * run for run in range(30))  # 10 to 12.9 ms
STEPS = tuple(0.002 + 0.000005 * run for run in range(180))
MIB = 1 << 20


def ran(**changes):
    said = DeviceRun("laptop", "fake", MACHINE, STEPS, CALM, 0.3, memory=Memory(240 * MIB, 210 * MIB))
    return replace(said, **changes)


def record(*runs, name="int8", **facts):
    return ModelRecord(name, some_facts(name, **{"family": "", **facts}), DEPTH, device_runs=runs)


def latency_of(run, reference=None, **options):
    plug = Latency(**{"device": "laptop", **options})
    return plug.measure(record(*([reference] if reference else []), name="ref"), record(run))


# ---------------------------------------------------------------- statistics


def test_statistics_are_times_that_were_observed_and_the_slower_neighbour_in_doubt():
    thirty = tuple(range(1, 31))
    found = {name: statistic_of(thirty, name) for name in ("min", "p50", "p90", "mean")}
    assert found == {"min": 1, "p50": 16, "p90": 28, "mean": 15.5}
    assert statistic_of(tuple(range(1, 201)), "p99") == 199
    assert statistic_of((1, 2), "p50") == 2


@given(st.lists(st.floats(1e-9, 1e3), min_size=1, max_size=300).map(sorted))
def test_statistics_are_in_order_and_only_the_mean_may_be_no_time_that_was_taken(seconds):
    found = [statistic_of(seconds, name) for name in ("min", "p50", "p90", "p99")]
    assert found == sorted(found)
    assert set(found) <= set(seconds)
    assert found[0] == seconds[0]
    assert seconds[0] <= statistic_of(seconds, "mean") * (1 + 1e-12)
    assert statistic_of(seconds, "mean") <= seconds[-1] * (1 + 1e-12)
    assert spread_of(seconds) >= 0


def test_the_spread_is_the_distance_of_the_outer_tenths_by_the_middle():
    assert spread_of((10,) * 30) == 0
    assert spread_of((8, *(10,) * 8, 12)) == (12 - 8) / 10
    assert spread_of(tuple(range(1, 31))) == (28 - 3) / 16


# ---------------------------------------------------------------- the metric latency


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        ({}, CALM[27]),
        ({"statistic": "p50"}, CALM[15]),
        ({"statistic": "min"}, CALM[0]),
        ({"statistic": "p50", "per": "step"}, STEPS[90]),
        ({"statistic": "p99", "per": "step"}, STEPS[178]),
    ],
)
def test_a_latency_is_the_statistic_of_the_part_that_was_asked_for(options, seconds):
    assert latency_of(ran(), **options).values == (seconds,)


def test_a_latency_names_the_machine_the_runs_the_spread_and_the_reference_beside():
    told = detail_with_device(latency_of(ran(), ran(puzzle_seconds=tuple(2 * second for second in CALM))))
    assert told.startswith(
        "on fake (Chip 9000, 1 thread, torch 2.13.0, Linux 6.1): p90 of 30 puzzles at H=1 L=2 steps=6"
    )
    assert "min 10 ms, p50 11.5 ms, p90 12.7 ms, spread 21.74 %" in told
    assert told.endswith("; reference 25.4 ms")
    assert "p99 2.89 ms" in latency_of(ran(), per="step").detail


def test_times_that_spread_too_far_are_not_a_measurement_and_the_spread_is_stated():
    noisy = ran(puzzle_seconds=(*CALM[:20], *(0.03,) * 10), max_spread=0.2)
    with pytest.raises(NotMeasured, match=r"too noisy: spread 172\.2 % over 30 puzzles, the policy allows 20 %"):
        latency_of(noisy)
    calm_steps = replace(noisy, step_seconds=(0.002,) * 180)
    assert latency_of(calm_steps, per="step").values == (0.002,)


def test_a_spread_of_exactly_what_is_allowed_is_believed_and_a_text_never_contradicts_that():
    assert latency_of(ran(max_spread=spread_of(CALM))).values
    with pytest.raises(NotMeasured) as caught:
        latency_of(ran(max_spread=spread_of(CALM) * (1 - 1e-9)))
    found, allowed = (
        part.split(" %")[0] for part in (caught.value.what.split("spread ")[1], caught.value.what.split("allows ")[1])
    )
    assert float(found) > float(allowed)


def test_a_percentile_of_too_few_runs_is_not_measured_whatever_the_policy_said_of_them():
    with pytest.raises(NotMeasured, match="p99 of 30 puzzles says nothing, it needs at least 100"):
        latency_of(ran(), statistic="p99")
    with pytest.raises(NotMeasured, match="p90 of 9 puzzles says nothing"):
        latency_of(ran(puzzle_seconds=CALM[:9]))
    with pytest.raises(NotMeasured, match="min of 0 puzzles says nothing"):
        latency_of(ran(puzzle_seconds=()), statistic="min")


def test_a_machine_that_is_evenly_busy_with_other_work_is_noticed_although_the_times_hardly_spread():
    with pytest.raises(NotMeasured, match="waited for a processor 55 % of the time, the policy allows 30 %"):
        latency_of(ran(busy=0.45))
    assert latency_of(ran(busy=0.7)).values
    assert latency_of(ran(busy=0.45, max_spread=None)).values


def test_a_clock_that_sees_no_time_pass_is_not_a_measurement():
    with pytest.raises(NotMeasured, match="too coarse"):
        latency_of(ran(puzzle_seconds=(0.0, *CALM)))


def test_another_device_never_answers_for_the_one_that_a_check_names():
    with pytest.raises(NotMeasured, match="nothing ran on the device 'phone'"):
        latency_of(ran(), device="phone")
    with pytest.raises(NotMeasured, match="names no device"):
        latency_of(ran(), device="")
    both = (ran(), ran(device="phone", puzzle_seconds=tuple(5 * second for second in CALM)))
    assert Latency("phone").measure(record(name="ref"), record(*both)).values == (5 * CALM[27],)


def test_why_a_device_said_nothing_is_the_reason():
    with pytest.raises(NotMeasured, match=r"laptop \(fake\): took longer than 600 s"):
        latency_of(ran(gap="took longer than 600 s"))


@pytest.mark.parametrize("reference", [None, ran(gap="took longer than 600 s"), ran(max_spread=0.01)])
def test_a_reference_that_was_not_measured_is_said_and_blocks_nothing(reference):
    found = latency_of(ran(), reference)
    assert found.values == (CALM[27],)
    assert "; reference not measured: " in found.detail


def test_a_reference_that_is_no_step_graph_is_told_in_few_words():
    gap = "not a step graph (export it first: fidelity-gate export MODEL -o STEP.onnx)"
    assert latency_of(ran(), ran(gap=gap)).detail.endswith("not a step graph")


@pytest.mark.parametrize(
    ("changes", "warned"),
    [
        ({"family": "trm"}, True),
        ({"family": "trm", "stored_as": "int8 rows (LLM.int8, threshold 0)"}, False),
        ({"family": "trm", "bits": 32.0}, False),
        ({"family": ""}, False),
        ({"family": "trm", "file_format": "onnx"}, False),
    ],
)
def test_weights_that_are_widened_before_they_compute_are_told(changes, warned):
    stored = TensorFact("w", Role.BLOCK, (4, 4), changes.pop("stored_as", "int8"), changes.pop("bits", 8.0), 16)
    candidate = record(ran(), tensors=(stored,), **changes)
    detail = Latency("laptop").measure(record(ran()), candidate).ran_on
    assert ("weights widened to float32" in detail) is warned


# ---------------------------------------------------------------- the metric peak_memory


def memory_of(run, reference=None, **options):
    plug = PeakMemory(device="laptop", **options)
    return plug.measure(record(*([reference] if reference else []), name="ref"), record(run))


def test_peak_memory_is_the_whole_process_or_what_the_model_adds_to_its_imports():
    assert memory_of(ran()).values == (240.0 * MIB,)
    assert memory_of(ran(), of="model").values == (30.0 * MIB,)
    told = detail_with_device(memory_of(ran(), ran()))
    assert told.startswith("on fake (Chip 9000, 1 thread, torch 2.13.0, Linux 6.1): process 240 MiB (251.7 MB)")
    assert "= imports 210 MiB (220.2 MB) + model 30 MiB (31.46 MB)" in told
    assert told.endswith("reference process 240 MiB (251.7 MB)")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"memory": None, "memory_gap": "this system does not say"}, "this system does not say"),
        ({"memory": None}, "laptop .fake. does not measure memory"),
        ({"memory": Memory(10, 20)}, "figures that cannot be"),
        ({"memory": Memory(0, 0)}, "figures that cannot be"),
        ({"gap": "no such machine"}, "no such machine"),
    ],
)
def test_memory_that_was_not_measured_has_a_reason(changes, reason):
    with pytest.raises(NotMeasured, match=reason):
        memory_of(ran(**changes))


# ---------------------------------------------------------------- the gate


@dataclass
class Script:
    """What the fake device says of each model, and what it was asked."""

    says: dict = field(default_factory=dict)
    asked: list = field(default_factory=list)


SCRIPT = Script()


@dataclass(frozen=True)
class FakeDevice:
    """A device that says what the test told it to."""

    runs: int = 30

    units: ClassVar[dict] = {}

    def describe(self):
        return (("processor", "Chip 9000"),)

    def run(self, workload):
        SCRIPT.asked.append(workload)
        said = SCRIPT.says.get(workload.name, ran())
        if isinstance(said, Exception):
            raise said
        return replace(said, device="whatever it thinks", plug="it is")


@pytest.fixture(autouse=True)
def stocked(monkeypatch):
    """A reference, two candidates, probes and a device, which `measure` finds through the rooms' tables."""
    monkeypatch.setitem(fidelity_gate.models.TABLE, "fake", "fakes:FakeFormat")
    monkeypatch.setitem(fidelity_gate.inputs.TABLE, "fake", "fakes:FakeInputs")
    monkeypatch.setitem(fidelity_gate.devices.TABLE, "fake", f"{__name__}:FakeDevice")
    PROBES.clear()
    PROBES["probes"] = some_probes()
    SHELF.clear()
    SCRIPT.says.clear()
    SCRIPT.asked.clear()
    for name, bits, error in (("ref", 32, 0.0), ("int8", 8, 0.003), ("int4", 4, 0.003)):
        SHELF[name] = FakeOpened(some_facts(name, bits=bits, family=""), FakeRecursion(error=error))


LAPTOP = DeviceSpec("laptop", "fake", (("runs", 30),))
FAST = Check("fast", "latency", Bound(maximum=0.02), (("device", "laptop"), ("per", "puzzle"), ("statistic", "p90")))
STEP = Check("step", "latency", Bound(maximum=0.02), (("device", "laptop"), ("per", "step"), ("statistic", "p50")))
SMALL = Check("small", "peak_memory", Bound(maximum=300.0 * MIB), (("device", "laptop"), ("of", "process")))
TOO_LARGE = Check("size", "model_size", Bound(maximum=1.0))
FIDELITY = Check("fidelity", "carry_fidelity", Bound(minimum=0.5), (), Aggregate.MEAN)


def asked(*checks, candidates=("int8", "int4"), **changes):
    base = Policy(
        name="release",
        path="release.yaml",
        digest="d" * 64,
        reference=ModelSpec("reference", "ref", use="fake"),
        candidates=tuple(ModelSpec(name, name, use="fake") for name in candidates),
        inputs=InputsSpec("fake"),
        recursion=DEPTH,
        checks=checks,
        run=RunSpec(batch=16),
        devices=(LAPTOP,),
    )
    return replace(base, **changes)


def run(policy, progress=None, *, keep_going=True, allow_code=False):
    options = gate.MeasureOptions(keep_going=keep_going, allow_code=allow_code)
    return gate.measure(policy, options, progress or Recorded())


def the(found, candidate, metric):
    (one,) = [one for one in found.measurements if (one.candidate, one.metric) == (candidate, metric)]
    return one


def test_a_device_is_asked_once_for_every_model_and_the_reference_and_no_model_is_stepped_for_it():
    progress = Recorded()
    wanted = asked(FAST, SMALL)
    found = run(wanted, progress)
    assert [work.name for work in SCRIPT.asked] == ["reference", "int8", "int4"]
    assert {(work.part, work.memory, work.depth) for work in SCRIPT.asked} == {(Part.PUZZLE, True, DEPTH)}
    assert [SHELF[name].loads for name in ("ref", "int8", "int4")] == [0, 0, 0]
    assert progress.told == [("start", "timing", 3), ("advance", 1), ("advance", 1), ("advance", 1), ("done",)]
    assert judge(wanted, found).passed
    assert the(found, "int8", "latency").values == (CALM[27],)
    assert (the(found, "int8", "latency").unit, the(found, "int8", "peak_memory").unit) == ("seconds", "bytes")


def test_the_name_and_the_kind_of_a_device_are_the_policys_whatever_it_says_of_itself():
    found = run(asked(FAST))
    assert {(said.device, said.plug) for one in found.candidates for said in one.device_runs} == {("laptop", "fake")}
    assert found.provenance.devices == (DeviceRecord("laptop", "fake", LAPTOP.options, (("processor", "Chip 9000"),)),)


def test_only_what_is_asked_of_a_device_is_timed():
    run(asked(STEP, candidates=("int8",)))
    assert [(work.part, work.memory) for work in SCRIPT.asked] == [(Part.STEP, False)] * 2
    SCRIPT.asked.clear()
    run(asked(SMALL, candidates=("int8",)))
    assert [(work.part, work.memory) for work in SCRIPT.asked] == [(None, True)] * 2
    SCRIPT.asked.clear()
    run(asked(FAST, replace(STEP, candidates=("int8",)), candidates=("int8",)))
    assert {work.part for work in SCRIPT.asked} == {Part.PUZZLE}


def test_a_candidate_that_no_check_names_does_not_run_and_neither_does_a_device():
    idle = DeviceSpec("idle", "fake", (("runs", 30),))
    found = run(asked(replace(FAST, candidates=("int4",)), FIDELITY, devices=(idle, LAPTOP)))
    assert [work.name for work in SCRIPT.asked] == ["reference", "int4"]
    assert [len(one.device_runs) for one in found.candidates] == [0, 1]


def test_without_such_a_check_nothing_is_timed_and_no_device_is_recorded():
    progress = Recorded()
    found = run(asked(FIDELITY, replace(FAST, severity=Severity.OFF)), progress)
    assert SCRIPT.asked == []
    assert found.provenance.devices == ()
    assert ("start", "timing", 3) not in progress.told


@pytest.mark.parametrize("keep_going", [False, True])
def test_a_static_check_that_fails_keeps_devices_from_running_unless_told_to_go_on(keep_going):
    wanted = asked(FAST, TOO_LARGE)
    found = run(wanted, keep_going=keep_going)
    assert bool(SCRIPT.asked) is keep_going
    assert judge(wanted, found).exit_code == ExitCode.FAILED
    if not keep_going:
        assert the(found, "int8", "latency").reason == (
            "not run: static check 'size' failed first (--keep-going to measure everything)"
        )


@pytest.mark.parametrize(
    "said",
    [ModelRefused("is not the file that was judged any more"), OutOfTime("took longer than 600 s"), NotMeasured("x")],
)
def test_a_model_that_a_device_cannot_run_has_no_figure_and_blocks_and_the_others_have_theirs(said):
    SCRIPT.says["int8"] = said
    wanted = asked(FAST, FIDELITY)
    found = run(wanted)
    assert the(found, "int8", "latency").status is MeasureStatus.NOT_MEASURED
    assert str(said) in the(found, "int8", "latency").reason
    assert the(found, "int4", "latency").status is MeasureStatus.MEASURED
    assert the(found, "int8", "carry_fidelity").status is MeasureStatus.MEASURED
    assert judge(wanted, found).exit_code == ExitCode.UNDECIDED


def test_a_machine_that_is_too_noisy_decides_nothing():
    SCRIPT.says["int8"] = ran(puzzle_seconds=(*CALM[:20], *(0.03,) * 10), max_spread=0.2)
    wanted = asked(FAST)
    verdict = judge(wanted, run(wanted))
    assert verdict.exit_code == ExitCode.UNDECIDED
    assert "fast int8 on laptop: not measured: too noisy: spread 172.2 % over 30 puzzles" in verdict.reason


def test_a_latency_above_its_bound_fails():
    SCRIPT.says["int8"] = ran(puzzle_seconds=tuple(2 * second for second in CALM))
    wanted = asked(FAST)
    verdict = judge(wanted, run(wanted))
    assert verdict.exit_code == ExitCode.FAILED
    assert [result.outcome for result in verdict.results] == [Outcome.FAIL, Outcome.PASS]


# ---------------------------------------------------------------- the judge, and saved measurements


def saved(found):
    return measurements_file.load(measurements_file.dump(found), "m.json")


def test_saved_figures_of_devices_are_judged_again_as_they_were():
    wanted = asked(FAST, SMALL)
    found = run(wanted)
    assert saved(found) == found
    assert judge(wanted, saved(found)).passed


@pytest.mark.parametrize(
    "other",
    [
        (replace(LAPTOP, use="host-cpu"),),
        (replace(LAPTOP, options=(("runs", 31),)),),
        (LAPTOP, DeviceSpec("phone", "fake", LAPTOP.options)),
        (),
    ],
)
def test_figures_of_other_devices_or_other_settings_of_them_are_refused(other):
    wanted = asked(FAST)
    found = saved(run(wanted))
    with pytest.raises(Refused, match="measured with other devices, or other settings of them") as caught:
        judge(replace(wanted, devices=other), found)
    assert caught.value.field == "devices"


def test_a_figure_of_one_device_never_meets_a_check_of_another():
    phone = DeviceSpec("phone", "fake", LAPTOP.options)
    wanted = asked(FAST, devices=(LAPTOP, phone))
    found = run(wanted)
    moved = replace(FAST, options=(("device", "phone"), *FAST.options[1:]))
    (result, _) = judge(replace(wanted, checks=(moved,)), found).results
    assert result.outcome is Outcome.NOT_MEASURED


def test_the_line_of_a_device_does_not_matter():
    wanted = asked(FAST)
    moved = replace(wanted, devices=(replace(LAPTOP, place=Place("other.yaml", 9, 1)),))
    assert judge(moved, run(wanted)).passed


# ---------------------------------------------------------------- the policy


POLICY = """apiVersion: fidelity-gate/v1
name: p
recursion: {h_cycles: 1, l_cycles: 1, steps: 2}
targets: [{name: board, latency: 30 ms}]
devices:
  work: {use: host-cpu, threads: 2, runs: 200, max_spread: 15 %, time_limit: 90 s}
  laptop: {use: host-cpu}
checks:
  l: {metric: latency, options: {device: work}, require: {max: target.latency}}
  m: {metric: peak_memory, options: {device: laptop}, require: {max: 200 MiB}}
"""


OVERRIDES = Overrides("ref", (("int8", "int8.safetensors"),), "eval.npz")


def test_devices_are_resolved_with_every_option_in_base_units_sorted_by_name():
    laptop, work = load_policy_text(POLICY, "p.yaml", OVERRIDES).devices
    assert (laptop.name, work.name, work.use, work.place) == ("laptop", "work", "host-cpu", Place("p.yaml", 6, 3))
    assert dict(work.options) == {"threads": 2, "warmup": 3, "runs": 200, "max_spread": 0.15, "time_limit": 90.0}
    assert dict(laptop.options)["max_spread"] == 0.2


def test_a_targets_latency_bounds_the_latency_of_a_device():
    check = load_policy_text(POLICY, "p.yaml", OVERRIDES).checks[0]
    assert (check.bound, check.target) == (Bound(maximum=0.03, text="max: target.latency = 30 ms"), "board")
    assert check.options == (("device", "work"), ("per", "puzzle"), ("statistic", "p90"))


def advice(text):
    return {one.rule: one.place.line for one in examine(text.encode(), "p.yaml").advice}


def test_a_device_that_no_check_uses_and_a_limit_held_against_the_gates_own_machine_are_told():
    assert advice(POLICY).items() >= {"borrowed-limit": 9}.items()
    assert "idle-device" not in advice(POLICY)
    assert advice(POLICY.replace("device: laptop", "device: work"))["idle-device"] == 7


def test_timing_a_model_is_no_look_at_what_it_does():
    assert "files-only" in advice(POLICY)
    assert "answers-unseen" not in advice(POLICY)


# ---------------------------------------------------------------- the reports


def rendered(name, **options):
    wanted = asked(FAST, SMALL, candidates=("int8",))
    found = run(wanted)
    report = Report(judge(wanted, found), wanted, found, created="2026-01-01T00:00:00+00:00")
    return registry.build("reports", name, tuple(options.items())).render(report)


def test_the_terminal_shows_milliseconds_and_what_they_were_measured_on_even_when_all_is_well():
    text = rendered("terminal", width=200)
    assert "12.7 ms" in text
    assert "fast int8 on laptop: 12.7 ms, required <= 20 ms ([1] p90 of 30 puzzles" in text
    assert "small int8 on laptop: 240 MiB (251.7 MB), required <= " in text
    assert "([1] process 240 MiB (251.7 MB) = imports" in text
    assert text.count("[1] on fake (Chip 9000, 1 thread, torch 2.13.0, Linux 6.1)\n") == 1  # told once


def test_junit_and_json_have_the_device_and_the_figure():
    junit = rendered("junit")
    assert "fast int8 on laptop: 12.7 ms, required &lt;= 20 ms" in junit
    text = rendered("json")
    assert '"plug":"fake"' in text
    assert "on fake (Chip 9000, 1 thread, torch 2.13.0, Linux 6.1)" in text
