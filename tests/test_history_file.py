"""History files: a line a run, added under a lock and never changed; torn lines are told, edited ones refused."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from made import measured, policy
from past_made import HISTORY, SLOWER, device_run, latency, memory, only, past_run, ran, runs_of, with_figure

from fidelity_gate.bounds import deviation
from fidelity_gate.errors import Refused, ReportNotWritten
from fidelity_gate.judge import judge
from fidelity_gate.past import history_file
from fidelity_gate.past.adding import lines_of, run_id
from fidelity_gate.past.history_file import append, read, refuse_unwritable
from fidelity_gate.past.reading import KEPT, past_of
from fidelity_gate.past.trends import trends
from fidelity_gate.records import (
    Against,
    Bound,
    Check,
    DeviceJob,
    DeviceRun,
    HistorySpec,
    MeasurementSet,
    Outcome,
    Past,
    Policy,
    Report,
    Standing,
)

JOB = DeviceJob("j1", "", "S24", "14", "onnx", "npu", "d", "2026", simulated=False)


def asked(path: Path, **fields: object) -> Policy:
    return policy(SLOWER, history=HistorySpec(str(path), **fields))  # type: ignore[arg-type]


def values(path: Path) -> list[float]:
    runs, notes = read(str(path))
    assert notes == ()
    return [run.figures[0].value for run in runs]


# ---------------------------------------------------------------- reading and adding


def test_what_was_added_is_read_again_oldest_first(tmp_path: Path) -> None:
    path = str(tmp_path / "history.jsonl")
    newer, older = past_run(0.02, 5), past_run(0.01, 1)

    assert append(path, [newer]) == 1
    assert append(path, [older]) == 1
    runs, notes = read(path)
    assert notes == ()
    assert [replace(run, seal="") for run in runs] == [older, newer]
    assert len(Path(path).read_text().splitlines()) == 2


def test_a_history_that_is_not_there_or_empty_holds_no_runs(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    assert read(str(path)) == ((), ())
    assert list(tmp_path.iterdir()) == []
    path.touch()
    assert read(str(path)) == ((), ())


def test_the_same_run_is_added_once_and_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    run = past_run(0.01)

    assert append(str(path), [run, run]) == 1
    assert append(str(path), [replace(run, date="2030-01-01T00:00:00+00:00")]) == 0
    assert append(str(path), [replace(run, candidate="int4"), replace(run, device="phone")]) == 2
    path.write_bytes(path.read_bytes() * 2)  # two histories that were put together
    assert len(values(path)) == 3


def test_the_same_job_of_a_device_service_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    first, again = replace(past_run(0.01), job="j1"), replace(past_run(0.01, 1), job="j1")

    assert append(str(path), [first]) == 1
    assert append(str(path), [again]) == 0
    assert append(str(path), [replace(past_run(0.01, 2), job="j2"), past_run(0.01, 3), past_run(0.01, 4)]) == 3


def test_lines_that_were_there_are_left_byte_for_byte(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    append(str(path), runs_of(0.01, 0.02))
    before = path.read_bytes()
    append(str(path), runs_of(0.01, 0.02, 0.03))

    assert path.read_bytes().startswith(before)
    assert values(path) == [0.01, 0.02, 0.03]


@pytest.mark.parametrize("lost", [1, 2, 40, 300])
def test_a_line_that_is_cut_short_is_told_and_the_next_one_starts_on_its_own(tmp_path: Path, lost: int) -> None:
    path = tmp_path / "history.jsonl"
    append(str(path), runs_of(0.01, 0.02))
    path.write_bytes(path.read_bytes()[:-lost])
    torn = path.read_bytes()

    runs, notes = read(str(path))
    whole = lost == 1  # only the end of the line is missing
    assert len(runs) == (2 if whole else 1)
    assert notes == (() if whole else (f"{path}:2: the line is cut short, and was passed over",))
    append(str(path), [past_run(0.03, 2)])
    assert path.read_bytes().startswith(torn + b"\n")
    runs, notes = read(str(path))
    assert [run.figures[0].value for run in runs] == ([0.01, 0.02, 0.03] if whole else [0.01, 0.03])
    assert len(notes) == (0 if whole else 1)


@pytest.mark.parametrize("left", [b"{", b'{"', b'{"candidate":"int8","ca\0\0\0\0', b"\0" * 4096])
def test_what_a_dead_writer_or_a_disk_that_lost_its_power_leaves_is_passed_over(tmp_path: Path, left: bytes) -> None:
    path = tmp_path / "history.jsonl"
    append(str(path), runs_of(0.01))
    path.write_bytes(path.read_bytes() + left)

    for added in ([], [past_run(0.03, 2)]):
        append(str(path), added)
        runs, notes = read(str(path))
        assert [run.figures[0].value for run in runs] == [0.01, *[0.03 for _ in added]]
        assert notes == (f"{path}:2: the line is cut short, and was passed over",)


@pytest.mark.parametrize("name", ["history.jsonl", "link.jsonl"])
def test_a_history_has_one_lock_by_whatever_name_it_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    append(str(tmp_path / "history.jsonl"), runs_of(0.01))
    (tmp_path / "link.jsonl").symlink_to("history.jsonl")
    monkeypatch.setattr(history_file, "LOCK_SECONDS", 0.05)
    from filelock import FileLock

    with FileLock(tmp_path / "history.jsonl.lock"), pytest.raises(ReportNotWritten, match="has held its lock"):
        append(str(tmp_path / name), [past_run(0.02, 1)])
    append(str(tmp_path / name), [past_run(0.02, 1)])
    assert values(tmp_path / "history.jsonl") == [0.01, 0.02]
    assert not (tmp_path / "link.jsonl.lock").exists()


@pytest.mark.parametrize("kept", ["folder", "history.jsonl", "history.jsonl.lock"])
def test_a_history_that_nothing_can_be_added_to_is_told_beforehand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: str
) -> None:
    path = tmp_path / "history.jsonl"
    if kept != "folder":
        append(str(path), runs_of(0.01))
    refuse_unwritable(str(path))
    closed = tmp_path if kept == "folder" else tmp_path / kept
    monkeypatch.setattr(os, "access", lambda place, mode: Path(place) != closed or mode != os.W_OK)
    with pytest.raises(ReportNotWritten, match="cannot be added to: permission denied") as caught:
        refuse_unwritable(str(path))
    assert caught.value.hint == f"look at {closed}"


@pytest.mark.parametrize(
    ("then", "now", "said"),
    [
        (b'"value":0.01', b'"value":0.02', "the line was edited after it was written"),
        (b'"regressed":null', b'"regressed":false', "the line was edited"),
        (b'"candidate":', b'"candidat":', "unknown key"),
        (
            b'"candidate":"int8",',
            b"",
            "is missing .*an older fidelity-gate: restore the line, or start another history",
        ),
        (b"history/v1", b"history/v2", "fidelity-gate/history/v2', written by a newer fidelity-gate"),
        (b'{"', b'<<<<<<< HEAD\n{"', "is not JSON"),
        (b'{"', b'[]\n{"', "is not a file of this tool"),
    ],
)
def test_a_line_that_was_edited_is_refused_at_its_number(tmp_path: Path, then: bytes, now: bytes, said: str) -> None:
    path = tmp_path / "history.jsonl"
    append(str(path), runs_of(0.03, 0.01))
    first, second = path.read_bytes().splitlines(keepends=True)
    assert then in second
    path.write_bytes(first + second.replace(then, now, 1))
    before = path.read_bytes()

    for touch in (lambda: read(str(path)), lambda: append(str(path), [past_run(0.04, 9)])):
        with pytest.raises(Refused) as caught:
            touch()
        assert re.search(said, str(caught.value))
        assert caught.value.where == f"{path}:2"
    assert path.read_bytes() == before


def test_what_is_no_regular_file_is_not_written(tmp_path: Path) -> None:
    with pytest.raises((Refused, ReportNotWritten)):
        append(str(tmp_path), [past_run()])
    with pytest.raises(ReportNotWritten, match="its folder does not exist"):
        append(str(tmp_path / "nowhere" / "history.jsonl"), [past_run()])
    with pytest.raises(ReportNotWritten, match="its folder does not exist"):
        refuse_unwritable(str(tmp_path / "nowhere" / "history.jsonl"))
    assert not (tmp_path / "nowhere").exists()
    (tmp_path / "dangling.jsonl").symlink_to(tmp_path / "gone" / "there.jsonl")
    with pytest.raises(Refused, match="a link to a file that is not there"):
        read(str(tmp_path / "dangling.jsonl"))
    with pytest.raises(ReportNotWritten, match="its folder does not exist"):
        append(str(tmp_path / "dangling.jsonl"), [past_run()])
    assert not (tmp_path / "gone").exists()


def test_a_lock_that_nobody_lets_go_of_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_file, "LOCK_SECONDS", 0.05)
    path = str(tmp_path / "history.jsonl")
    from filelock import FileLock

    with FileLock(f"{path}.lock"), pytest.raises(ReportNotWritten, match="somebody else has held its lock"):
        append(path, [past_run()])
    assert append(path, [past_run()]) == 1


def test_writers_in_several_processes_and_threads_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    code = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from past_made import past_run\n"
        "from fidelity_gate.past.history_file import append\n"
        "first = int(sys.argv[2])\n"
        "for number in range(first, first + 5): append(sys.argv[1], [past_run(0.01, number)])\n"
    )
    root = Path(__file__).resolve().parents[1]
    children = [
        subprocess.Popen([sys.executable, "-c", code, str(path), str(5 * child)], cwd=root) for child in range(2)
    ]

    def add(start: int) -> None:
        for number in range(start, start + 5):
            append(str(path), [past_run(0.01, number)])

    threads = [threading.Thread(target=add, args=(100 + 5 * index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [child.wait(timeout=60) for child in children] == [0, 0]

    runs, notes = read(str(path))
    assert notes == ()
    assert sorted(run.revision for run in runs) == sorted(f"r{n}" for n in (*range(10), *range(100, 110)))


def test_a_reader_waits_for_a_line_that_is_just_being_written(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    append(str(path), runs_of(0.01, 0.02))
    whole = path.read_bytes()
    path.write_bytes(whole[:-50])
    held, seen = threading.Event(), threading.Event()

    def write() -> None:
        with history_file._locked(str(path)):
            held.set()
            seen.wait(0.3)
            path.write_bytes(whole)

    writer = threading.Thread(target=write)
    writer.start()
    held.wait(10)
    assert values(path) == [0.01, 0.02]
    seen.set()
    writer.join()


# ---------------------------------------------------------------- what a run adds


def reported(*, past: Past | None = None, run: DeviceRun | None = None, **fields: object) -> Report:
    """Return the report of a run with a latency and a memory on the board."""
    size = Check("size", "peak_memory", Bound(maximum=2000.0), (("device", "board"),))
    both = ran(latency(0.012), memory(1000.0), run=run)
    made = policy(SLOWER, size, history=HISTORY)
    return replace(
        Report(judge(made, both, past), made, both, created="2026-07-09T00:00:00+00:00"), **fields  # type: ignore[arg-type]
    )  # fmt: skip


def test_a_run_adds_a_line_for_every_candidate_and_device_with_its_figures() -> None:
    report = reported(past=Past(runs=runs_of(0.01, 0.01, 0.01)))
    (line,) = lines_of(report, "abc")

    assert (line.date, line.revision) == ("2026-07-09T00:00:00+00:00", "abc")
    assert (line.candidate, line.device, line.use, line.where) == ("int8", "board", "host-cpu", device_run().machine)
    assert (line.candidate_digest, line.job) == ("digest of int8", "")
    assert (line.policy_name, line.passed, line.reason) == ("sudoku-release", False, report.verdict.reason)
    assert (line.inputs_digest, line.probes, line.depth) == ("i" * 64, 2, report.measured.reference.depth)
    assert line.run_id == run_id(report.measured)
    time, size = line.figures
    assert (time.metric, time.value, time.unit, time.aggregate) == ("latency", 0.012, "seconds", None)
    assert time.spread == pytest.approx(deviation(device_run().puzzle_seconds))
    assert (time.regressed, time.standing) == (True, Standing.NEW)
    assert (size.metric, size.value, size.spread, size.regressed, size.standing) == (
        "peak_memory", 1000.0, None, None, None,
    )  # fmt: skip


def test_what_is_added_is_what_the_next_run_is_held_against(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    made = asked(path, minimum=2)
    for day, seconds in enumerate((0.0101, 0.0100, 0.0102, 0.030, 0.031, 0.0104)):
        now = ran(latency(seconds))
        report = Report(judge(made, now, past_of(made, now)), made, now, created=f"2026-07-0{day + 1}T00:00:00+00:00")
        append(str(path), lines_of(report))

    figures = [run.figures[0] for run in read(str(path))[0]]
    assert [one.regressed for one in figures] == [None, None, False, True, True, False]
    assert [one.standing for one in figures] == [
        None, None, Standing.STEADY, Standing.NEW, Standing.SUSTAINED, Standing.RECOVERED,
    ]  # fmt: skip
    (trend,) = trends(read(str(path))[0])
    assert (trend.standing, trend.median(20)) == (Standing.RECOVERED, pytest.approx(0.01015))
    assert [point.value for point in trend.points] == [0.0101, 0.0100, 0.0102, 0.030, 0.031, 0.0104]


def test_nothing_is_added_where_no_device_measured_anything() -> None:
    assert lines_of(replace(reported(), measured=None)) == ()
    assert lines_of(reported(run=device_run(gap="lost"))) == ()
    made = policy(history=HISTORY)
    report = Report(judge(made, measured()), made, measured(), created="2026")
    assert lines_of(report) == ()


def test_a_figure_that_two_checks_ask_for_is_kept_as_the_history_saw_it() -> None:
    other = replace(SLOWER, id="absolute", bound=Bound(maximum=1.0), against=None)
    for checks in ((other, SLOWER), (SLOWER, other)):
        made = policy(*checks, history=HISTORY)
        now = ran(latency(0.012))
        past = Past(runs=runs_of(0.01, 0.01, 0.01))
        (line,) = lines_of(Report(judge(made, now, past), made, now, created="2026"))
        assert [one.regressed for one in line.figures] == [True]


def test_the_spread_of_a_step_is_that_of_the_steps() -> None:
    options = (("device", "board"), ("per", "step"), ("statistic", "p50"))
    run = device_run(step_seconds=(0.001, 0.002, 0.004))
    check = replace(SLOWER, options=options, bound=Bound(maximum=1.0), against=None)
    now = ran(latency(0.002, options=options), run=run)
    made = policy(check, history=HISTORY)
    (line,) = lines_of(Report(judge(made, now), made, now, created="2026"))

    assert line.figures[0].spread == pytest.approx(0.001)
    lone = replace(now, candidates=(replace(now.candidates[0], device_runs=(device_run(),)),))
    (line,) = lines_of(Report(judge(made, lone), made, lone, created="2026"))
    assert line.figures[0].spread is None


# ---------------------------------------------------------------- what is read for a run


def test_a_run_is_never_held_against_itself_or_against_its_own_job(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    made = asked(path, minimum=1)
    now = ran(latency(0.010), run=device_run(job=JOB))
    report = Report(judge(made, now, past_of(made, now)), made, now, created="2026-07-01T00:00:00+00:00")
    append(str(path), lines_of(report))

    assert past_of(made, now).runs == ()
    assert only(judge(made, now, past_of(made, now))).outcome is Outcome.INCONCLUSIVE
    again = ran(latency(0.010, detail="read once more"), run=device_run(job=JOB))
    assert past_of(made, again).runs == ()
    another = ran(latency(0.010), run=device_run(job=replace(JOB, id="j2")))
    assert len(past_of(made, another).runs) == 1
    assert only(judge(made, another, past_of(made, another))).outcome is Outcome.PASS


@pytest.mark.parametrize("digest", ["ab" * 32, ""])
def test_a_record_without_the_id_of_a_job_is_one_measurement_however_often_it_is_read(
    tmp_path: Path, digest: str
) -> None:
    path = tmp_path / "history.jsonl"
    made = asked(path, minimum=1)
    record = replace(JOB, id="", finished="2026-05-04", model_digest=digest)

    def seen(days: int, job: DeviceJob) -> MeasurementSet:
        return ran(latency(0.010, detail=f"{days} days old"), run=device_run(plug="recorded", job=job))

    for days in (1, 2):  # its age is told, so that what was measured is not quite the same
        now = seen(days, record)
        past = past_of(made, now)
        assert past is not None
        assert past.runs == ()
        report = Report(judge(made, now, past), made, now, created=f"2026-07-0{days}T00:00:00+00:00")
        assert append(str(path), lines_of(report)) == 2 - days
    newer = past_of(made, seen(3, replace(record, finished="2026-06-01")))
    assert newer is not None
    assert len(newer.runs) == 1


def test_a_verdict_carries_the_newest_runs_and_those_that_count(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    fine = runs_of(*[0.010] * 10)
    slow = tuple(with_figure(past_run(0.020, day), regressed=True) for day in range(10, 10 + KEPT + 5))
    other = tuple(replace(run, device="phone") for run in fine)
    append(str(path), [*fine, *slow, *other])
    now = ran(latency(0.020))
    made = asked(path)
    past = past_of(made, now)

    assert [run.revision for run in past.runs] == [*(f"r{n}" for n in range(5, 10)), *(f"r{n}" for n in range(15, 65))]
    whole = Past(runs=read(str(path))[0])
    kept, full = (only(judge(made, now, one)) for one in (past, whole))
    assert (kept.outcome, kept.bound, kept.compared.standing) == (full.outcome, full.bound, full.compared.standing)
    assert kept.compared.against is Against.HISTORY
    assert past.notes == ()
