"""The room of devices: the stopwatch on a clock of its own, host-cpu in real processes; no test asserts a time."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace

import numpy as np
import pytest
from fakes import DEPTH, FakeRecursion, some_facts, some_probes
from openers import MIB

from fidelity_gate import registry
from fidelity_gate.devices import host_facts
from fidelity_gate.devices.host_cpu import HostCpu
from fidelity_gate.devices.stopwatch import Plan, by_puzzle, by_step
from fidelity_gate.errors import ModelRefused, NotMeasured, OutOfTime, PolicyError, UsageError, WorkerDied
from fidelity_gate.measuring.reopening import INPUTS, packed
from fidelity_gate.models.opening import open_model
from fidelity_gate.records import Depth, ModelRecord, ModelSpec, Part, RunSpec, Workload
from fidelity_gate.sandbox import Job
from fidelity_gate.zoo.catalog import entry

QUICK = HostCpu(warmup=1, runs=5, time_limit=120.0)


# ---------------------------------------------------------------- the stopwatch


@dataclass
class Clock:
    """Goes on by one nanosecond more at every look: 1, 3, 6, 10 ..."""

    now: int = 0
    looks: int = 0

    def __call__(self):
        self.looks += 1
        self.now += self.looks
        return self.now


def three_steps():
    yield from ("first", "second", "third")


def test_puzzles_are_timed_from_before_they_begin_until_nothing_more_comes_and_warm_up_does_not_count():
    taken = by_puzzle(three_steps, Plan(steps=3, warmup=1, runs=2), Clock())
    # Five looks a puzzle: before it, after each of three steps, and after its end. The first puzzle took looks 1 to 5.
    assert taken.puzzles == (7 + 8 + 9 + 10, 12 + 13 + 14 + 15)
    assert taken.steps == (7, 8, 9, 12, 13, 14)


def test_steps_are_timed_over_as_many_puzzles_as_they_take_and_no_step_more():
    made = []

    def counted():
        for state in three_steps():
            made.append(state)
            yield state

    taken = by_step(counted, Plan(steps=3, warmup=2, runs=5), Clock())
    # Looks: 1 before, 2-4; 5 before, 6-8; 9 before, 10. Two steps of warm-up are the first.
    assert taken.steps == (4, 6, 7, 8, 10)
    assert taken.puzzles == ()
    assert made == ["first", "second", "third"] * 2 + ["first"]


@pytest.mark.parametrize(("timed", "depth"), [(by_puzzle, 2), (by_puzzle, 4), (by_step, 4)])
def test_a_model_that_makes_other_steps_than_its_depth_has_is_refused(timed, depth):
    with pytest.raises(ModelRefused, match=f"makes 3 steps, and its depth has {depth}"):
        timed(three_steps, Plan(steps=depth, warmup=1, runs=9), Clock())


def test_a_step_of_a_recursion_is_timed_with_everything_that_it_does():
    class Watched(FakeRecursion):
        def run(self, batch, depth, **noise):
            for state in super().run(batch, depth, **noise):
                clock.now += 1000
                yield state

    clock = Clock()
    taken = by_puzzle(lambda: Watched().run(some_probes(1), DEPTH), Plan(DEPTH.steps, 0, 1), clock)
    assert len(taken.steps) == DEPTH.steps
    assert all(1000 < step < 1100 for step in taken.steps)
    assert taken.puzzles[0] > sum(taken.steps)


# ---------------------------------------------------------------- options


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"threads": 0}, "threads"),
        ({"threads": 1000}, "threads"),
        ({"warmup": 0}, "warmup"),
        ({"runs": 4}, "runs"),
        ({"max_spread": 0.0}, "max_spread"),
        ({"max_spread": 1.5}, "max_spread"),
        ({"max_spread": math.nan}, "max_spread"),
        ({"time_limit": 0.0}, "time_limit"),
    ],
)
def test_options_with_which_a_figure_would_mean_nothing_are_refused(options, field):
    with pytest.raises(UsageError) as caught:
        HostCpu(**options)
    assert caught.value.field == field


def test_a_device_is_built_by_its_name_and_an_unknown_one_is_told_the_nearest():
    assert registry.build("devices", "host-cpu", (("runs", 7),)) == HostCpu(runs=7)
    with pytest.raises(PolicyError, match="did you mean host-cpu"):
        registry.build("devices", "host-gpu", ())


# ---------------------------------------------------------------- what this machine is


def test_the_machine_is_named_by_processor_cores_and_system():
    machine = dict(HostCpu().describe())
    assert sorted(machine) == ["cores", "processor", "system"]
    assert machine["cores"] >= 1
    assert machine["processor"]
    assert machine["system"]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("processor\t: 0\nmodel name\t: Chip 9000 @ 2 GHz\nflags\t: a b\n", "Chip 9000 @ 2 GHz"),
        ("processor\t: 0\nBogoMIPS\t: 38.4\nModel\t\t: Raspberry Pi 5\n", "Raspberry Pi 5"),
        ("model name\t: bad\x1b[31mname\n", "bad\\x1b[31mname"),
    ],
)
def test_the_processor_is_named_as_the_system_names_it_and_cannot_write_to_terminals(tmp_path, monkeypatch, text, name):
    file = tmp_path / "cpuinfo"
    file.write_text(text)
    monkeypatch.setattr(host_facts, "_CPUINFO", file)
    assert host_facts.processor() == name


def test_a_processor_without_a_name_is_told_by_its_kind(tmp_path, monkeypatch):
    monkeypatch.setattr(host_facts, "_CPUINFO", tmp_path / "none")
    assert host_facts.processor()


def test_a_system_that_does_not_say_how_much_memory_a_process_had_is_not_guessed_at(tmp_path, monkeypatch):
    monkeypatch.setattr(host_facts, "_STATUS", tmp_path / "none")
    monkeypatch.setattr(host_facts.sys, "platform", "unknown")
    with pytest.raises(NotMeasured, match="does not say how much memory"):
        host_facts.peak_bytes()


# ---------------------------------------------------------------- host-cpu, in processes of its own


def workload(opener="plain", part=Part.PUZZLE, *, memory=False, files=None):
    return Workload("int8", some_facts("int8"), DEPTH, part, memory, f"openers:{opener}", files or {})


def told_with_memory(opener):
    found = QUICK.run(workload(opener, None, memory=True))
    if found.memory is None:
        pytest.skip(found.memory_gap)  # neither Linux nor macOS
    return found.memory


def test_a_device_times_as_many_runs_as_it_is_told_and_says_what_it_ran_on():
    found = QUICK.run(workload(part=Part.PUZZLE))
    assert len(found.puzzle_seconds) == QUICK.runs
    assert len(found.step_seconds) == QUICK.runs * DEPTH.steps
    assert all(0 < seconds < math.inf for seconds in (*found.puzzle_seconds, *found.step_seconds))
    assert sum(found.step_seconds) <= sum(found.puzzle_seconds)
    assert found.busy is not None
    assert 0 <= found.busy <= 1
    assert (found.max_spread, found.memory, found.gap) == (QUICK.max_spread, None, "")
    machine = dict(found.machine)
    assert machine["threads"] == 1
    assert machine["runtime"].startswith("numpy ")
    assert machine.keys() >= dict(HostCpu().describe()).keys()


def test_steps_alone_are_timed_without_whole_puzzles():
    found = QUICK.run(workload(part=Part.STEP))
    assert (len(found.step_seconds), found.puzzle_seconds) == (QUICK.runs, ())


def test_every_library_is_told_the_threads_before_it_is_imported(monkeypatch):
    monkeypatch.setattr(host_facts, "cores", lambda: 4)
    found = replace(QUICK, threads=3).run(workload("wants_three_threads", Part.STEP))
    assert dict(found.machine)["threads"] == 3


def test_more_threads_than_cores_are_not_measured(monkeypatch):
    monkeypatch.setattr(host_facts, "cores", lambda: 2)
    with pytest.raises(NotMeasured, match="is to use 3 threads, and this machine gives it 2 cores"):
        HostCpu(threads=3).run(workload())


def test_memory_is_of_the_process_that_ran_the_model_and_not_of_the_one_that_started_it():
    held = np.ones(256 * MIB // 8)  # getrusage of a child would count these
    memory = told_with_memory("plain")
    assert 0 < memory.imports_bytes <= memory.peak_bytes < held.nbytes


def test_memory_of_the_model_is_told_apart_from_what_was_imported():
    small, large = told_with_memory("plain"), told_with_memory("large")
    grown = (large.peak_bytes - large.imports_bytes) - (small.peak_bytes - small.imports_bytes)
    assert 90 * MIB < grown < 110 * MIB
    assert abs(large.imports_bytes - small.imports_bytes) < 10 * MIB


def test_the_opener_finds_the_files_it_was_given():
    assert QUICK.run(workload("from_files", Part.STEP, files={"told.json": json.dumps({"seed": 3}).encode()}))


def test_a_model_of_another_depth_is_refused():
    with pytest.raises(ModelRefused, match=f"makes {DEPTH.steps + 1} steps, and its depth has {DEPTH.steps}"):
        QUICK.run(workload("shallow"))


def test_a_model_that_takes_too_long_is_ended_with_the_limit_that_it_passed():
    with pytest.raises(OutOfTime, match=r"took longer than 1 s \(a larger time_limit, or fewer runs"):
        HostCpu(time_limit=1.0).run(workload("asleep"))


def test_a_model_that_waits_is_told_from_one_that_computes():
    found = QUICK.run(workload("slow_to_answer", Part.STEP))
    assert found.busy is not None
    assert found.busy < 0.5


def test_a_process_that_breaks_is_no_figure():
    with pytest.raises(WorkerDied):
        QUICK.run(workload("that_is_not_there"))


# ---------------------------------------------------------------- a real model


ZOO = entry("trm-addition")


def zoo_record(path):
    spec = ModelSpec("int8", str(path))
    facts = open_model(spec).facts
    return spec, ModelRecord("int8", facts, facts.depth or Depth(2, 2, 4))


def zoo_workload(path, record, spec, part=Part.PUZZLE, *, memory=False):
    probes = some_probes(3, tokens=dict(record.facts.architecture)["seq_len"])
    files = packed(spec, record, probes, RunSpec(), allow_code=False)
    opener = "fidelity_gate.measuring.reopening:opened"
    return Workload("int8", record.facts, record.depth, part, memory, opener, files)


def test_a_model_of_the_zoo_is_timed_and_weighed_and_the_figures_are_ones_that_can_be():
    pytest.importorskip("torch")
    spec, record = zoo_record(ZOO.weights)
    found = QUICK.run(zoo_workload(ZOO.weights, record, spec, memory=True))
    assert len(found.puzzle_seconds) == 5
    assert len(found.step_seconds) == 5 * record.depth.steps
    assert all(0 < seconds < math.inf for seconds in (*found.puzzle_seconds, *found.step_seconds))
    assert dict(found.machine)["runtime"].startswith("torch ")
    if found.memory is not None:
        assert record.facts.size_bytes < found.memory.imports_bytes < found.memory.peak_bytes


def test_a_file_that_was_replaced_after_it_was_judged_is_not_timed(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(ZOO.weights.read_bytes())
    spec, record = zoo_record(path)
    work = zoo_workload(path, record, spec)
    path.write_bytes(entry("trm-mlp-sudoku").weights.read_bytes())
    with pytest.raises(ModelRefused, match="is not the file that was judged any more"):
        QUICK.run(work)


def test_code_of_the_models_owner_runs_only_where_that_was_allowed(tmp_path):
    from fidelity_gate.measuring.reopening import opened

    spec = ModelSpec("mine", "", (("carry", "x"), ("factory", "hooked_models:nothing")), use="hooked")
    record = ModelRecord("mine", some_facts("mine"), DEPTH)
    for name, data in packed(spec, record, some_probes(2), RunSpec(), allow_code=False).items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(UsageError, match="that was not allowed"):
        opened(Job({}, tmp_path, tmp_path), 1)


def test_only_the_first_probe_travels_with_a_model(tmp_path):
    record = ModelRecord("int8", some_facts("int8"), DEPTH)
    files = packed(ModelSpec("int8", "int8"), record, some_probes(9), RunSpec(), allow_code=False)
    (tmp_path / INPUTS).write_bytes(files[INPUTS])
    np.testing.assert_array_equal(np.load(tmp_path / INPUTS), some_probes(9).inputs[:1])
