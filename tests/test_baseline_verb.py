"""The verbs baseline and history, and `run` with them: from the first baseline to a regression that is told."""

from __future__ import annotations

import errno
import json
import os
import xml.etree.ElementTree as ElementTree
from dataclasses import fields, replace
from pathlib import Path

import pytest
from made import measurement
from past_made import baseline_of as made
from past_made import device_run, latency, past_run, ran, runs_of

from fidelity_gate import cli, gate, measurements_file
from fidelity_gate.metrics.carry_fidelity import CarryFidelity
from fidelity_gate.past import baseline_file, history_file
from fidelity_gate.past.sealing import sealed
from fidelity_gate.records import DeviceRecord, MeasurementSet, MeasureStatus
from fidelity_gate.registry import build

POLICY = """\
apiVersion: fidelity-gate/v1
name: sudoku-release
reference: ref.safetensors
candidates: {int8: int8.safetensors}
inputs: {use: npz, path: eval.npz}
recursion: {h_cycles: 2, l_cycles: 2, steps: 3}
minimum_probes: 2
devices: {board: {use: host-cpu}}
baseline: {path: release.json}
history: {path: history.jsonl, while_new: warn}
checks:
  fidelity: {metric: carry_fidelity, aggregate: mean, against: baseline, require: {min: 0.9, max_drop: 0.005}}
  latency: {metric: latency, options: {device: board, statistic: p50}, against: history, require: {max_regression: 5 %}}
"""
FIDELITY = tuple(sorted((field.name, field.default) for field in fields(CarryFidelity)))


def data(fidelity: float = 0.98, seconds: float = 0.010) -> MeasurementSet:
    """Return what the gate would measure for the policy above."""
    made = ran(measurement((fidelity, fidelity), options=FIDELITY), latency(seconds))
    plug = build("devices", "host-cpu", ())
    options = tuple((field.name, getattr(plug, field.name)) for field in fields(plug))
    board = DeviceRecord("board", "host-cpu", tuple(sorted(options)), device_run().machine)
    return replace(made, provenance=replace(made.provenance, devices=(board,)))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working folder with the policy and what was measured of a run that meets it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "release.yaml").write_text(POLICY)
    (tmp_path / "m.json").write_bytes(measurements_file.dump(data()))
    return tmp_path


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Return a function that runs a command line, with these measurements where it measures."""

    def answer(*args: str, measured: MeasurementSet | None = None) -> tuple[int, str, str]:
        if measured is not None:
            monkeypatch.setattr(gate, "measure", lambda *_: measured)
        code = cli.answer(list(args))
        return (code, *capsys.readouterr())

    return answer


def first(run) -> None:
    code, _, err = run("baseline", "write", "m.json", "--policy", "release.yaml", "-o", "release.json")
    assert (code, err) == (0, "wrote release.json: 2 numbers\n")


# ---------------------------------------------------------------- baseline


def test_a_run_without_its_baseline_is_refused_before_anything_is_measured(folder, run, monkeypatch) -> None:
    monkeypatch.setattr(gate, "measure", lambda *_: pytest.fail("measured"))
    code, out, err = run("run", "release.yaml", "--report", "junit:gate.xml", "--report", "terminal")

    assert code == 2
    assert "error: release.json: there is no such baseline, and a run never makes one" in err
    assert out.splitlines()[-1].startswith("BLOCKED (exit 2): release.json: there is no such baseline")
    assert 'type="refused"' in (folder / "gate.xml").read_text()
    assert not (folder / "release.json").exists()
    assert not (folder / "history.jsonl").exists()


def test_from_the_first_baseline_to_a_regression(folder, run) -> None:
    first(run)
    code, out, _ = run("run", "release.yaml", "--revision", "abc", measured=data(seconds=0.0101))
    assert code == 0
    assert "baseline 0.9800 of 20" in out

    reports = ("--report", "terminal", "--report", "json:v.json", "--report", "junit:v.xml")
    code, out, _ = run("run", "release.yaml", *reports, measured=data(0.97, 0.0102))
    assert code == 1
    assert "fidelity int8: 0.9700 < 0.9750 (baseline 0.9800 of 20" in out.splitlines()[-1]
    (failure, _) = ElementTree.parse("v.xml").iter("failure")  # noqa: S314
    assert "at most 0.005 worse" in failure.get("message", "")
    assert "required min: 0.9, max_drop: 0.005" in (failure.text or "")
    # What is saved holds what it was held against, and is judged again without the files of the past.
    (folder / "release.json").unlink()
    (folder / "history.jsonl").unlink()
    code, again, _ = run("report", "v.json", "--report", "terminal")
    assert (code, again) == (1, out)


@pytest.mark.parametrize(("then", "now"), [('"max_drop":0.005', '"max_drop":0.5'), ("[0.98,0.98]", "[0.97,0.97]")])
def test_a_saved_verdict_whose_past_was_edited_is_refused(folder, run, then: str, now: str) -> None:
    first(run)
    run("run", "release.yaml", "--report", "json:v.json", measured=data(0.97))
    saved = (folder / "v.json").read_text()
    assert then in saved
    (folder / "v.json").write_text(saved.replace(then, now))

    code, _, err = run("report", "v.json")
    assert code == 2
    assert "the verdict is not what its own measurements say" in err


def test_a_run_that_did_not_pass_makes_no_baseline_unless_it_is_told_to(folder, run) -> None:
    first(run)
    (folder / "bad.json").write_bytes(measurements_file.dump(data(0.5)))
    write = ("baseline", "write", "bad.json", "--policy", "release.yaml", "-o", "next.json")

    code, _, err = run(*write)
    assert code == 2
    assert err.startswith("fidelity-gate: error: bad.json: did not pass: 0 of 1 required check is met; fidelity int8:")
    assert "(--even-if-blocked writes it all the same)" in err
    assert not (folder / "next.json").exists()

    code, _, err = run(*write, "--even-if-blocked")
    assert (code, err) == (0, "wrote next.json: 2 numbers, of a run that was blocked\n")
    assert not baseline_file.read("next.json").passed
    code, out, _ = run("baseline", "show", "next.json")
    assert "its run         was blocked: 0 of 1 required check is met" in out


def test_measurements_alone_do_not_say_whether_they_passed(folder, run) -> None:
    code, _, err = run("baseline", "write", "m.json", "-o", "release.json")
    assert code == 2
    assert "--policy: is needed: measurements alone do not say whether they passed" in err

    code, _, _ = run("baseline", "write", "m.json", "-o", "release.json", "--even-if-blocked")
    assert code == 0
    found = baseline_file.read("release.json")
    assert (found.passed, found.reason, found.policy_name) == (False, "was not judged", "sudoku-release")


def test_a_verdict_makes_a_baseline_too(folder, run) -> None:
    first(run)
    run("run", "release.yaml", "--report", "json:v.json", measured=data(0.985))
    write = ("baseline", "write", "v.json", "-o", "release.json", "--revision", "v2")
    code, _, err = run(*write, "--policy", "release.yaml")
    assert (code, "a verdict names its own policy" in err) == (2, True)

    code, _, err = run(*write)
    assert (code, err) == (0, "wrote release.json: 2 numbers\n")
    found = baseline_file.read("release.json")
    assert (found.revision, found.passed) == ("v2", True)
    assert found.measurements[0].values == (0.985, 0.985)


@pytest.mark.parametrize("spoil", ["edited", "stopped"])
def test_a_verdict_that_is_none_makes_no_baseline(folder, run, spoil: str) -> None:
    first(run)
    if spoil == "stopped":
        (folder / "release.json").unlink()
    run("run", "release.yaml", "--report", "json:v.json", measured=data(0.5))
    text = (folder / "v.json").read_text()
    (folder / "v.json").write_text(text.replace('"passed":false', '"passed":true') if spoil == "edited" else text)

    code, _, err = run("baseline", "write", "v.json", "-o", "b.json", "--even-if-blocked")
    assert code == 2
    assert ("is not what its own" if spoil == "edited" else "measured nothing") in err
    assert not (folder / "b.json").exists()


def test_a_run_that_is_worse_than_the_baseline_that_is_there_makes_no_new_one_by_itself(folder, run) -> None:
    first(run)
    (folder / "slow.json").write_bytes(measurements_file.dump(data(0.95)))
    before = (folder / "release.json").read_bytes()

    code, _, err = run("baseline", "write", "slow.json", "--policy", "release.yaml", "-o", "release.json")
    assert code == 2
    assert "0.9500 < 0.9750 (baseline 0.9800" in err
    assert (folder / "release.json").read_bytes() == before


@pytest.mark.parametrize("how", ["other inputs", "a new check"])
def test_where_the_old_baseline_is_of_something_else_it_has_to_be_removed_first(folder, run, how) -> None:
    first(run)
    now = data()
    if how == "other inputs":
        now = replace(now, provenance=replace(now.provenance, inputs_digest="j" * 64))
        (folder / "m.json").write_bytes(measurements_file.dump(now))
    else:
        old = baseline_file.read("release.json")
        lacking = sealed(replace(old, measurements=old.measurements[1:]), baseline_file.SCHEMA)
        (folder / "release.json").write_bytes(baseline_file.dump(lacking))
    write = ("baseline", "write", "m.json", "--policy", "release.yaml", "-o", "release.json")
    code, _, err = run(*write)
    assert code == 2
    assert (
        "the baseline is of another set of inputs" if how == "other inputs" else "the baseline has no carry_"
    ) in err
    assert err.endswith("(remove the old one to start anew, or --even-if-blocked)\n")
    (folder / "release.json").unlink()
    assert run(*write)[0] == 0
    assert baseline_file.read("release.json").passed


def test_a_baseline_stays_where_a_new_one_cannot_be_written(folder, run, monkeypatch) -> None:
    first(run)
    before = (folder / "release.json").read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    code, _, err = run("baseline", "write", "m.json", "--policy", "release.yaml", "-o", "release.json")
    assert (code, "release.json: cannot be written: no space left on device" in err) == (4, True)
    assert (folder / "release.json").read_bytes() == before


def test_a_baseline_never_replaces_what_it_is_made_of(folder, run) -> None:
    for output, said in (("m.json", "is read by this command"), ("release.yaml", "has the name of a model")):
        code, _, err = run("baseline", "write", "m.json", "--policy", "release.yaml", "-o", output)
        assert (code, said in err) == (2, True)
    assert (folder / "release.yaml").read_text() == POLICY


def test_show_says_what_was_measured_of_what_on_what(folder, run) -> None:
    first(run)
    code, out, _ = run("baseline", "show", "release.json")
    assert code == 0
    assert "2 probes (sha256 iiiiiiiiiiiiiiii...)" in out
    assert "seed 0, threads 1, batch 32, float32" in out
    assert "host-cpu: processor A55, runtime onnxruntime 1.31, threads 1" in out
    assert out.splitlines()[-2].split() == [
        "int8", "carry_fidelity", "at=last", "stream=first", "tokens=mean", "0.9800", "0.9800",
    ]  # fmt: skip
    assert out.splitlines()[-1].split()[-2:] == ["10", "ms"]
    code, out, _ = run("baseline", "show", "release.json", "--json")
    assert json.loads(out)["policy_name"] == "sudoku-release"
    code, _, err = run("baseline")
    assert (code, "baseline needs a verb of its own" in err) == (2, True)


def test_a_baseline_that_holds_a_number_without_a_value_is_shown_as_it_is(folder, run) -> None:
    then = made(data())
    empty = tuple(replace(one, values=()) for one in then.measurements)
    (folder / "empty.json").write_bytes(
        baseline_file.dump(sealed(replace(then, measurements=empty), baseline_file.SCHEMA))
    )
    code, out, _ = run("baseline", "show", "empty.json")
    assert code == 0
    assert [line.split()[-2:] for line in out.splitlines()[-2:]] == [["no", "value"]] * 2


def test_judge_holds_against_the_baseline_too(folder, run) -> None:
    first(run)
    (folder / "bad.json").write_bytes(measurements_file.dump(data(0.97)))

    assert run("judge", "m.json", "--policy", "release.yaml")[0] == 0
    code, out, _ = run("judge", "bad.json", "--policy", "release.yaml")
    assert code == 1
    assert "0.9700 < 0.9750 (baseline 0.9800" in out.splitlines()[-1]
    assert not (folder / "history.jsonl").exists()  # only a run adds to it


# ---------------------------------------------------------------- history


def test_every_run_adds_to_the_history_whatever_its_verdict_and_once_it_is_long_enough_it_blocks(folder, run) -> None:
    first(run)
    for number, seconds in enumerate((0.0101, 0.0100, 0.0102)):
        code, out, err = run("run", "release.yaml", "--revision", f"r{number}", measured=data(seconds=seconds))
        assert (code, err) == (0, "history: 1 line added to history.jsonl\n")
        assert f"the history has {number} run" in out

    code, out, err = run("run", "release.yaml", measured=data(seconds=0.0150))
    assert code == 1
    assert "15 ms > 11.1 ms (median of 3 runs 10.1 ms, at most 5 % worse, up to 1 ms is noise, new)" in out
    assert err == "history: 1 line added to history.jsonl\n"
    code, out, _ = run("run", "release.yaml", measured=data(seconds=0.0151))
    assert (code, "sustained)" in out) == (1, True)
    code, out, _ = run("run", "release.yaml", measured=data(seconds=0.0103))
    assert (code, "recovered)" in out) == (0, True)

    code, out, _ = run("history", "show", "history.jsonl")
    heading, line = out.splitlines()
    assert heading == "int8 on board, H=2 L=2 steps=3 (host-cpu: processor A55, runtime onnxruntime 1.31, threads 1)"
    name, _, trend = line.partition(": ")
    assert name == "  latency per=puzzle statistic=p50"
    assert trend == "10.1 ms ▁▁▁██▁ 10.3 ms (6 runs, median 10.15 ms, 2 regressions, recovered)"
    runs, _ = history_file.read("history.jsonl")
    assert [one.passed for one in runs] == [True, True, True, False, False, True]


def test_the_history_of_the_command_line_is_taken_instead_of_the_policys(folder, run) -> None:
    first(run)
    code, _, err = run("run", "release.yaml", "--history", "other.jsonl", measured=data())
    assert (code, err) == (0, "history: 1 line added to other.jsonl\n")
    assert not (folder / "history.jsonl").exists()
    code, _, err = run("run", "release.yaml", "--history", "other.jsonl", measured=data())
    assert (code, err) == (0, "history: nothing added to other.jsonl: this run is in it already\n")


def test_a_policy_without_a_history_may_still_keep_one(folder, run) -> None:
    plain = POLICY.replace("history: {path: history.jsonl, while_new: warn}\n", "").replace(
        "against: history, require: {max_regression: 5 %}", "require: {max: 1 s}"
    )
    (folder / "release.yaml").write_text(plain)
    first(run)
    code, _, err = run("run", "release.yaml", "--history", "h.jsonl", measured=data())
    assert (code, err) == (0, "history: 1 line added to h.jsonl\n")
    lost = data()
    gone = replace(lost.measurements[1], status=MeasureStatus.NOT_MEASURED, values=(), reason="lost")
    code, _, err = run(
        "run", "release.yaml", "--history", "h.jsonl", measured=replace(lost, measurements=(lost.measurements[0], gone))
    )
    assert (code, err) == (3, "history: nothing added to h.jsonl: no device measured anything that was judged\n")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--history", "h.json"), "--history: 'h.json' is no name of a history (it ends in .jsonl)"),
        (("--revision", "a\nb"), "--revision: holds characters that cannot be shown"),
        (("--revision", "x" * 201), "--revision: holds characters that cannot be shown, or is too long"),
        (("--report", "json:history.jsonl"), "--report: history.jsonl has the name of a model, a policy, inputs or"),
    ],
)  # fmt: skip
def test_a_wrong_option_is_one_line(folder, run, args: tuple[str, ...], said: str) -> None:
    code, _, err = run("run", "release.yaml", *args)
    assert (code, said in err) == (2, True)


def test_a_history_that_cannot_be_written_is_exit_4_and_no_report_passes(folder, run, monkeypatch) -> None:
    first(run)
    monkeypatch.setattr(history_file, "LOCK_SECONDS", 0.05)
    from filelock import FileLock

    with FileLock("history.jsonl.lock"):
        code, out, err = run("run", "release.yaml", measured=data())
    assert code == 4
    assert "history.jsonl: somebody else has held its lock" in err
    assert out.splitlines()[-1].startswith("BLOCKED (exit 4)")


def test_a_history_in_no_folder_is_told_before_anything_is_measured(folder, run, monkeypatch) -> None:
    first(run)
    monkeypatch.setattr(gate, "measure", lambda *_: pytest.fail("measured"))
    code, out, err = run("run", "release.yaml", "--history", "nowhere/history.jsonl")
    assert code == 4
    assert "nowhere/history.jsonl: its folder does not exist (create nowhere)" in err
    assert out.splitlines()[-1].startswith("BLOCKED (exit 4)")


def test_an_edited_history_is_refused_before_anything_is_measured(folder, run, monkeypatch) -> None:
    first(run)
    history_file.append("history.jsonl", [past_run()])
    path = folder / "history.jsonl"
    path.write_bytes(path.read_bytes().replace(b"0.01", b"0.09"))
    monkeypatch.setattr(gate, "measure", lambda *_: pytest.fail("measured"))

    code, _, err = run("run", "release.yaml")
    assert code == 2
    assert "history.jsonl:1: the line was edited after it was written" in err


def test_a_torn_line_is_told_on_stderr_and_in_the_report(folder, run) -> None:
    first(run)
    history_file.append("history.jsonl", runs_of(0.010, 0.010))
    path = folder / "history.jsonl"
    path.write_bytes(path.read_bytes()[:-100])

    code, out, err = run("run", "release.yaml", measured=data())
    assert code == 0
    told = "history.jsonl:2: the line is cut short, and was passed over"
    assert told in out
    assert f"history: {told}\n" in err
    code, _, err = run("history", "show", "history.jsonl")
    assert (code, told in err) == (0, True)


@pytest.mark.parametrize(("values", "median"), [((1.7e308, -1.7e308), 0.0), ((1.7e308, 1.7e308), 1.7e308)])
def test_numbers_beyond_any_measure_are_shown_without_bars(folder, run, values, median) -> None:
    history_file.append("history.jsonl", runs_of(*values))
    assert run("history", "show", "history.jsonl")[0] == 0
    code, out, _ = run("history", "show", "history.jsonl", "--json")
    assert code == 0
    assert json.loads(out)["trends"][0]["median"] == median


def test_show_of_a_history_can_be_narrowed_and_is_json_for_others(folder, run) -> None:
    others = [replace(past_run(0.02, 7), candidate="int4"), replace(past_run(0.03, 8), device="phone")]
    history_file.append("history.jsonl", [*runs_of(0.010, 0.012, 0.011), *others])

    code, out, _ = run(
        "history", "show", "history.jsonl", "--candidate", "int8", "--device", "board", "--last", "2", "--json"
    )
    (trend,) = json.loads(out)["trends"]
    assert code == 0
    assert (trend["candidate"], trend["device"], trend["metric"], trend["unit"]) == (
        "int8",
        "board",
        "latency",
        "seconds",
    )
    assert [(one["value"], one["revision"]) for one in trend["runs"]] == [(0.012, "r1"), (0.011, "r2")]
    assert trend["median"] == pytest.approx(0.0115)
    code, out, _ = run("history", "show", "history.jsonl")
    assert [line.split(",")[0] for line in out.splitlines() if not line.startswith(" ")] == [
        "int4 on board", "int8 on board", "int8 on phone",
    ]  # fmt: skip

    code, _, err = run("history", "show", "history.jsonl", "--candidate", "int2")
    assert (code, "holds no such run (it has int4 on board, int8 on board, int8 on phone)" in err) == (2, True)
    code, _, err = run("history", "show", "nowhere.jsonl")
    assert (code, "there is no such history" in err) == (2, True)
    code, _, err = run("history")
    assert (code, "history needs a verb of its own" in err) == (2, True)


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_names_of_strangers_in_the_past_cannot_act_on_a_terminal_or_a_log(folder, run, more) -> None:
    name = "int8::error::##[error]\x1b[2J\u202e"
    history_file.append("history.jsonl", [replace(past_run(), candidate=name, revision=name)])
    hostile = replace(made(data(), policy_name=name), candidates=(replace(made(data()).candidates[0], name=name),))
    (folder / "hostile.json").write_bytes(baseline_file.dump(sealed(hostile, baseline_file.SCHEMA)))
    for args in (("history", "show", "history.jsonl"), ("baseline", "show", "hostile.json")):
        code, out, _ = run(*args, *more)
        assert code == 0
        assert not any(bad in out for bad in ("::", "##[", "\x1b", "\u202e"))
        if more:
            assert name in json.dumps(json.loads(out), ensure_ascii=False).replace("\\u001b", "\x1b")
