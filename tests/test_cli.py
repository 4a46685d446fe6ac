"""Door 1: every way a command can end has its exit code, its one line, and reports that are whole or absent."""

from __future__ import annotations

import errno
import inspect
import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
import xml.etree.ElementTree as ElementTree
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
from made import measured, measurement, policy

import fidelity_gate
from fidelity_gate import cli, files, gate, measurements_file
from fidelity_gate.errors import (
    ExitCode,
    GateError,
    Internal,
    NotMeasured,
    OutOfMemory,
    OutOfTime,
    Refused,
    ReportNotWritten,
    WorkerDied,
)
from fidelity_gate.judge import judge
from fidelity_gate.metrics.carry_fidelity import CarryFidelity
from fidelity_gate.records import MeasureStatus, Report
from fidelity_gate.reports.json import Json
from fidelity_gate.verbs import SUMMARIES, TABLE, orders
from fidelity_gate.verbs.lazy_group import LazyGroup

if TYPE_CHECKING:
    from collections.abc import Iterator

POLICY = """\
apiVersion: fidelity-gate/v1
name: sudoku-release
reference: ref.safetensors
candidates: {int8: int8.safetensors}
inputs: {use: npz, path: eval.npz}
recursion: {h_cycles: 2, l_cycles: 2, steps: 3}
minimum_probes: 2
checks:
  carry-fidelity: {metric: carry_fidelity, aggregate: mean, require: {min: 0.97}}
"""


def fidelity(*values: float):
    """Return what the gate would measure for the policy above."""
    options = tuple(sorted((field.name, field.default) for field in fields(CarryFidelity)))
    return measurement(values or (0.98, 0.99), options=options)


def data(*values: float):
    return measured(fidelity(*values))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working folder with a policy, measurements that meet it, and measurements that do not."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "release.yaml").write_text(POLICY)
    (tmp_path / "good.json").write_bytes(measurements_file.dump(data()))
    (tmp_path / "bad.json").write_bytes(measurements_file.dump(data(0.5, 0.5)))
    return tmp_path


class Measuring:
    """Stands in for the conductor: gives measurements, or ends in the way a test wants."""

    def __init__(self, result) -> None:
        self.result = result
        self.seen: list = []

    def __call__(self, policy, options, progress):
        self.seen.append((policy, options))
        progress.start("stepping", 2)
        progress.advance(2)
        progress.done()
        print("a library prints a stray line")  # noqa: T201
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


@pytest.fixture
def measuring(monkeypatch: pytest.MonkeyPatch):
    """Return a function that replaces the conductor's `measure`."""

    def replace_with(result) -> Measuring:
        fake = Measuring(result)
        monkeypatch.setattr(gate, "measure", fake)
        return fake

    return replace_with


def ran(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    code = cli.answer(list(args))
    out, err = capsys.readouterr()
    return code, out, err


def told(err: str) -> str:
    """Return the one line of stderr."""
    (line,) = err.splitlines()
    assert line.startswith("fidelity-gate: error: ")
    return line.removeprefix("fidelity-gate: error: ")


def failure_types(path: Path) -> list[str]:
    return [failure.get("type", "") for failure in ElementTree.parse(path).iter("failure")]  # noqa: S314


# ---------------------------------------------------------------- run and judge


def test_run_measures_judges_and_reports(folder, measuring, capsys) -> None:
    fake = measuring(data())
    code, out, err = ran(
        capsys, "run", "release.yaml", "--report", "terminal", "--report", "junit:gate.xml",
        "--report", "json:verdict.json", "--measurements", "m.json",
    )  # fmt: skip

    assert (code, err) == (0, "a library prints a stray line\n")
    assert out.splitlines()[-1] == "PASSED: the one required check is met"
    assert failure_types(folder / "gate.xml") == []
    assert json.loads((folder / "verdict.json").read_text())["verdict"]["passed"] is True
    assert measurements_file.read("m.json") == data()
    ((seen, options),) = fake.seen
    assert seen.candidates[0].path == "int8.safetensors"
    assert options.allow_code is False


def test_a_missed_check_exits_1_and_every_report_says_so(folder, measuring, capsys) -> None:
    measuring(data(0.5, 0.5))
    code, out, _ = ran(capsys, "run", "release.yaml", "--report", "terminal", "--report", "junit:gate.xml")

    assert code == ExitCode.FAILED
    assert out.splitlines()[-1].startswith("BLOCKED (exit 1): ")
    assert failure_types(folder / "gate.xml") == ["check", "check"]


def test_paths_of_the_command_line_replace_those_of_the_policy(folder, measuring, capsys) -> None:
    fake = measuring(data())
    code, *_ = ran(
        capsys, "run", "release.yaml", "--reference", "r.pt", "--candidate", "int8=other.safetensors",
        "--inputs", "other.npz", "--allow-code",
    )  # fmt: skip

    assert code == 0
    ((seen, options),) = fake.seen
    assert (seen.reference.path, seen.candidates[0].path) == ("r.pt", "other.safetensors")
    assert dict(seen.inputs.options)["path"] == "other.npz"
    assert options.allow_code is True


@pytest.mark.parametrize("text", ["int8", "=x", "int8="])
def test_a_candidate_that_is_not_name_and_path_is_refused(folder, measuring, capsys, text: str) -> None:
    measuring(data())
    code, _, err = ran(capsys, "run", "release.yaml", "--candidate", text, "--report", "junit:gate.xml")

    assert code == ExitCode.REFUSED
    assert told(err).startswith(f"--candidate: '{text}' is not NAME=PATH")
    assert failure_types(folder / "gate.xml") == ["refused"]


def test_measure_saves_and_judge_decides_later(folder, measuring, capsys) -> None:
    measuring(data(0.5, 0.5))
    code, out, err = ran(capsys, "measure", "release.yaml", "-o", "m.json")

    assert (code, out) == (0, "")
    assert err.splitlines()[-1] == "1 measurement on 2 probes"
    assert ran(capsys, "judge", "m.json", "--policy", "release.yaml")[0] == 1
    (folder / "softer.yaml").write_text(POLICY.replace("0.97", "0.4"))
    assert ran(capsys, "judge", "m.json", "--policy", "softer.yaml")[0] == 0


def test_measure_says_how_much_was_not_measured(folder, measuring, capsys) -> None:
    missing = replace(fidelity(), status=MeasureStatus.NOT_MEASURED, values=(), reason="no labels")
    measuring(measured(missing))
    _, _, err = ran(capsys, "measure", "release.yaml", "-o", "m.json")

    assert err.splitlines()[-1] == "1 measurement on 2 probes, 1 not measured"
    assert ran(capsys, "judge", "m.json", "--policy", "release.yaml")[0] == ExitCode.UNDECIDED


def test_measurements_of_another_run_are_refused(folder, capsys) -> None:
    (folder / "deeper.yaml").write_text(POLICY.replace("steps: 3", "steps: 4"))
    code, _, err = ran(capsys, "judge", "good.json", "--policy", "deeper.yaml", "--report", "json:v.json")

    assert code == ExitCode.REFUSED
    assert told(err) == (
        "measurements: recursion: measured with H=2 L=2 steps=3, and the policy says H=2 L=2 steps=4 "
        "(measure again with this policy)"
    )
    saved = json.loads((folder / "v.json").read_text())
    assert (saved["error_kind"], saved["policy"]["name"]) == ("refused", "sudoku-release")


def test_judge_takes_from_the_measurements_what_the_policy_leaves_to_the_command_line(folder, capsys) -> None:
    bare = [line for line in POLICY.splitlines() if not line.startswith(("reference", "candidates", "inputs"))]
    (folder / "bare.yaml").write_text("\n".join(bare))

    assert ran(capsys, "judge", "good.json", "--policy", "bare.yaml")[0] == 0
    assert ran(capsys, "judge", "bad.json", "--policy", "bare.yaml")[0] == 1


def test_a_policy_that_is_wrong_is_refused_with_line_and_column(folder, capsys) -> None:
    (folder / "release.yaml").write_text(POLICY.replace("metric:", "metrik:"))
    for args in (("judge", "good.json", "--policy", "release.yaml"), ("run", "release.yaml")):
        code, out, err = ran(capsys, *args, "--report", "junit:gate.xml")
        assert (code, out) == (2, "")
        assert told(err).startswith("release.yaml:9:")
        assert failure_types(folder / "gate.xml") == ["refused"]


# ---------------------------------------------------------------- exit codes

ENDINGS = [
    (Refused("is a folder", where="ref.pt", hint="name the file"), 2, "ref.pt: is a folder (name the file)"),
    (NotMeasured("no device"), 3, "no device"),
    (OutOfTime("30 s passed"), 3, "30 s passed"),
    (OutOfMemory("4 GiB are not enough"), 3, "4 GiB are not enough"),
    (WorkerDied("the child died"), 3, "the child died"),
    (MemoryError(), 3, "the machine has no memory left for this (a smaller run.batch needs less)"),
    (Internal("a bug"), 4, "a bug"),
    (GateError("a bug"), 4, "a bug"),
    (ValueError("x\x1b[31m\n::error::y"), 4, "internal error: ValueError: x\\x1b[31m\\x0a: :error: :y (please report"),
    (KeyError("k"), 4, "internal error: KeyError: 'k' (please report"),
    (RecursionError(), 4, "internal error: RecursionError (please report"),
    (AssertionError(), 4, "internal error: AssertionError (please report"),
    (OSError(errno.ENOSPC, "No space left on device", "x.bin"), 4, "x.bin: No space left on device (please report"),
]  # fmt: skip


@pytest.mark.parametrize(("ending", "code", "line"), ENDINGS, ids=[type(ending).__name__ for ending, *_ in ENDINGS])
def test_every_ending_has_its_code_its_line_and_its_reports(folder, measuring, capsys, ending, code, line) -> None:
    measuring(ending)
    found, out, err = ran(
        capsys, "run", "release.yaml", "--report", "terminal", "--report", "junit:gate.xml",
        "--report", "json:verdict.json", "--measurements", "m.json",
    )  # fmt: skip

    assert found == code
    assert told(err.removeprefix("a library prints a stray line\n")).startswith(line)
    assert out.splitlines()[-1].startswith(f"BLOCKED (exit {code}): ")
    kind = {2: "refused", 3: "not-measured", 4: "internal"}[code]
    assert failure_types(folder / "gate.xml") == [kind]
    saved = json.loads((folder / "verdict.json").read_text())
    assert (saved["error_kind"], saved["verdict"]["exit_code"], saved["verdict"]["passed"]) == (kind, code, False)
    assert not (folder / "m.json").exists()


@pytest.mark.parametrize(
    ("ending", "code", "word"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (click.Abort(), 130, "interrupted"),
        (cli._Terminated(), 143, "terminated"),
    ],
)
def test_an_interrupted_run_leaves_no_verdict_not_even_an_old_one(
    folder, measuring, capsys, ending, code, word
) -> None:
    for name in ("gate.xml", "m.json"):
        (folder / name).write_text("yesterday's green")
    measuring(ending)
    found, _, err = ran(capsys, "run", "release.yaml", "--report", "junit:gate.xml", "--measurements", "m.json")

    assert found == code
    assert err.splitlines()[-1] == f"fidelity-gate: {word}"
    assert sorted(path.name for path in folder.iterdir()) == ["bad.json", "good.json", "release.yaml"]


def test_a_traceback_is_shown_only_with_debug(folder, measuring, capsys) -> None:
    measuring(ValueError("deep inside"))
    assert "Traceback" not in ran(capsys, "run", "release.yaml")[2]
    code, _, err = ran(capsys, "--debug", "run", "release.yaml")

    assert code == 4
    assert "Traceback (most recent call last)" in err
    assert err.splitlines()[-1].startswith("fidelity-gate: error: internal error: ValueError: deep inside")


USAGES = [
    ("", "no verb was given (verbs: run, measure"),
    ("rnu x", "no verb is named 'rnu' (did you mean run"),
    ("frobnicate", "no verb is named 'frobnicate' (known: attest, baseline"),
    ("run p.yaml --reprot x", "No such option"),
    ("--verbos", "No such option"),
    ("run", "Missing argument 'POLICY' (see: fidelity-gate run --help)"),
    ("judge m.json", "Missing option '--policy'"),
    ("run a b", "Got unexpected extra argument"),
    ("run a --report", "Option '--report' requires an argument"),
    ("run a --report junti", "--report: no kind of report is named 'junti' (did you mean junit?)"),
    ("run a --report junit,loud=true", "--report: junit has no option 'loud'"),
    ("run a --report junit,strict", "--report: 'strict' is not OPTION=VALUE"),
    ("run a --report junit,strict=yes", "--report.strict: 'yes' is not a value junit takes"),
    ("run a --report json --report terminal:-", "--report: two reports go to -"),
    ("run a --report json:x.x --report junit:./x.x", "--report: two reports go to ./x.x"),
    ("run a.txt --report json:./a.txt", "--report: ./a.txt is read by this command"),
    ("run a --candidate c=c.bin --report json:c.bin", "--report: c.bin is read by this command"),
    ("run a --report json:int8.safetensors", "--report: int8.safetensors has the name of a model"),
    ("run a --report json:base.yaml", "--report: base.yaml has the name of a model, a policy"),
    ("run a --measurements m.x --report json:m.x", "--report: m.x is read by this command"),
    ("measure a -o ref.pt", "--output: ref.pt has the name of a model"),
]


@pytest.mark.parametrize(("args", "line"), USAGES)
def test_a_wrong_command_line_exits_2_with_one_line(folder, capsys, args, line) -> None:
    before = sorted(path.name for path in folder.iterdir())
    code, out, err = ran(capsys, *args.split())

    assert (code, out) == (2, "")
    assert told(err).startswith(line)
    assert len(err) < 300
    assert sorted(path.name for path in folder.iterdir()) == before


UNREADABLE = [
    "run release.yaml --report junit:gate.xml --bogus",
    "run --report junit:gate.xml",
    "run release.yaml --report=junit:gate.xml --report junti",
    "run release.yaml --report junti --report junit:gate.xml",
    "judge m.json --report junit:gate.xml",
    "report --report junit:gate.xml",
    "lint --bogus --report json:gate.xml",
    "compare one.json --report json:gate.xml",
]


@pytest.mark.parametrize("args", UNREADABLE)
def test_a_command_line_that_cannot_be_read_leaves_no_older_report_to_be_believed(folder, capsys, args) -> None:
    (folder / "gate.xml").write_text("<green/>", encoding="utf-8")

    assert ran(capsys, *args.split())[0] == 2
    assert not (folder / "gate.xml").exists()


@pytest.mark.parametrize(
    "args",
    ["run gate.xml --report junit:gate.xml --bogus", "run p.yaml --candidate int8=gate.xml --report junit:gate.xml -x"],
)
def test_a_command_line_that_cannot_be_read_deletes_nothing_that_it_names_as_anything_else(
    folder, capsys, args
) -> None:
    (folder / "gate.xml").write_text("<kept/>", encoding="utf-8")

    assert ran(capsys, *args.split())[0] == 2
    assert (folder / "gate.xml").read_text(encoding="utf-8") == "<kept/>"


@pytest.mark.parametrize("wrong", [("--measurements", "release.yaml"), ("--revision", "two\nlines")])
def test_a_run_that_is_refused_for_another_option_says_so_in_its_reports(folder, capsys, wrong) -> None:
    (folder / "gate.xml").write_text("<green/>", encoding="utf-8")

    assert ran(capsys, "run", "release.yaml", "--report", "junit:gate.xml", *wrong)[0] == 2
    assert failure_types(folder / "gate.xml") == ["refused"]
    assert (folder / "release.yaml").exists()


def test_what_a_verb_returns_is_the_exit_code_and_nonsense_is_a_bug(monkeypatch, capsys) -> None:
    for value, code in ((None, 0), (3, 3), (True, 4), ("fine", 4)):

        @click.command()
        def odd(value=value):
            return value

        monkeypatch.setattr(LazyGroup, "get_command", lambda *_, odd=odd: odd)
        assert ran(capsys, "doctor")[0] == code
    for value, code in ((SystemExit(1), 1), (SystemExit(), 0), (SystemExit("text"), 4)):

        @click.command()
        def leaving(value=value):
            raise value

        monkeypatch.setattr(LazyGroup, "get_command", lambda *_, odd=leaving: odd)
        assert ran(capsys, "doctor")[0] == code


# ---------------------------------------------------------------- reports that are whole or absent


def test_an_old_report_is_gone_before_anything_else_happens(folder, monkeypatch) -> None:
    (folder / "gate.xml").write_text("yesterday's green")

    def look(*_args):
        assert not (folder / "gate.xml").exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(gate, "measure", look)
    assert cli.answer(["run", "release.yaml", "--report", "junit:gate.xml"]) == 130


@pytest.mark.parametrize("target", ["missing/gate.xml", "/dev/full", "fifo"])
def test_a_report_that_cannot_be_written_exits_4_although_all_passed(folder, capsys, target: str) -> None:
    os.mkfifo(folder / "fifo")
    code, _, err = ran(capsys, "judge", "good.json", "--policy", "release.yaml", "--report", f"junit:{target}")

    assert code == ExitCode.INTERNAL
    assert told(err).startswith(target)


def test_a_folder_as_destination_gets_a_file_of_the_right_kind(folder, capsys) -> None:
    (folder / "out").mkdir()
    code, *_ = ran(
        capsys, "judge", "good.json", "--policy", "release.yaml", "--report", "junit:out", "--report", "json:out"
    )

    assert code == 0
    assert sorted(path.name for path in (folder / "out").iterdir()) == ["fidelity-gate.json", "fidelity-gate.xml"]


def full_disk(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Make the last moment of writing the file `name` fail, as a full disk or a quota does."""
    true_replace = Path.replace

    def move(self: Path, target: Path) -> Path:
        if Path(target).name == name:
            raise OSError(errno.ENOSPC, "No space left on device")
        return true_replace(self, target)

    monkeypatch.setattr(Path, "replace", move)


def test_a_full_disk_exits_4_and_the_other_reports_say_so_instead_of_passing(folder, monkeypatch, capsys) -> None:
    full_disk(monkeypatch, "gate.xml")
    code, out, err = ran(
        capsys, "judge", "good.json", "--policy", "release.yaml", "--report", "json:verdict.json",
        "--report", "junit:gate.xml", "--report", "terminal",
    )  # fmt: skip

    assert code == ExitCode.INTERNAL
    assert told(err) == "gate.xml: cannot be written: no space left on device"
    assert "PASSED" not in out
    assert json.loads((folder / "verdict.json").read_text())["verdict"]["exit_code"] == 4
    assert not (folder / "gate.xml").exists()
    assert not list(folder.glob("*.part")) + list(folder.glob(".*.part"))


def test_a_file_that_does_not_hold_what_was_written_is_not_left_there(folder, monkeypatch, capsys) -> None:
    true_replace = Path.replace

    def spoil(self: Path, target: Path) -> Path:
        self.write_bytes(self.read_bytes()[:-5])
        return true_replace(self, target)

    monkeypatch.setattr(Path, "replace", spoil)
    code, _, err = ran(capsys, "judge", "good.json", "--policy", "release.yaml", "--report", "junit:gate.xml")

    assert code == ExitCode.INTERNAL
    assert "does not hold what was written" in told(err)
    assert not (folder / "gate.xml").exists()


def test_a_refusal_whose_report_cannot_be_written_is_the_worse_of_the_two(
    folder, measuring, monkeypatch, capsys
) -> None:
    measuring(Refused("bad model"))
    full_disk(monkeypatch, "gate.xml")
    code, _, err = ran(capsys, "run", "release.yaml", "--report", "junit:gate.xml")

    assert code == ExitCode.INTERNAL
    assert "no space left" in err


def test_a_report_that_cannot_be_rendered_stops_all_of_them(folder, monkeypatch, capsys) -> None:
    monkeypatch.setattr(Json, "render", lambda *_: (_ for _ in ()).throw(Internal("cannot be said")))
    code, out, _ = ran(
        capsys, "judge", "good.json", "--policy", "release.yaml", "--report", "junit:gate.xml",
        "--report", "json:v.json", "--report", "terminal",
    )  # fmt: skip

    assert code == ExitCode.INTERNAL
    assert out.splitlines()[-1] == "BLOCKED (exit 4): cannot be said"
    assert failure_types(folder / "gate.xml") == ["internal"]
    assert not (folder / "v.json").exists()


class Faults:
    """Lets a function work N-1 times and fail at the Nth."""

    def __init__(self, function, at: int) -> None:
        self.function = function
        self.left = at

    def __call__(self, *args, **kwargs):
        self.left -= 1
        if self.left == 0:
            raise OSError(errno.EIO, "Input/output error")
        return self.function(*args, **kwargs)


SEAMS = ["open", "fsync", "read", "close", "fstat"]


@pytest.mark.parametrize("seam", SEAMS)
def test_a_fault_at_any_call_of_a_seam_never_passes_and_never_leaves_half_a_report(
    folder, monkeypatch, capsys, seam: str
) -> None:
    args = ["judge", "good.json", "--policy", "release.yaml", "--report", "junit:gate.xml", "--report", "json:v.json"]
    assert cli.answer(args) == 0  # everything is imported now
    for at in range(1, 40):
        faulty = Faults(getattr(os, seam), at)
        with monkeypatch.context() as patched:
            patched.setattr(files.os, seam, faulty)
            code = cli.answer(args)
        if faulty.left > 0:
            assert code == 0
            break
        assert code in (2, 4)
        for path, load in ((folder / "gate.xml", failure_types), (folder / "v.json", _blocked_json)):
            if path.exists():
                assert load(path)
    else:
        pytest.fail("there was always one call more")
    capsys.readouterr()


def _blocked_json(path: Path) -> bool:
    return json.loads(path.read_text())["verdict"]["passed"] is False


# ---------------------------------------------------------------- report


def saved_report(folder: Path, **fields) -> Report:
    made = policy()
    found = measured()
    report = replace(Report(judge(made, found), made, found, "2026-01-01T00:00:00+00:00"), **fields)
    (folder / "verdict.json").write_text(Json().render(report))
    return report


def test_a_saved_verdict_is_rendered_again_with_its_exit_code(folder, capsys) -> None:
    ran(capsys, "judge", "bad.json", "--policy", "release.yaml", "--report", "json:v.json")
    code, out, _ = ran(capsys, "report", "v.json", "--report", "terminal", "--report", "junit:gate.xml")

    assert code == ExitCode.FAILED
    assert out.splitlines()[-1].startswith("BLOCKED (exit 1)")
    assert failure_types(folder / "gate.xml") == ["check", "check"]
    saved_report(folder)
    assert ran(capsys, "report", "verdict.json")[0] == 0


def test_a_saved_refusal_is_rendered_again_with_its_exit_code(folder, capsys) -> None:
    ran(capsys, "judge", "absent.json", "--policy", "release.yaml", "--report", "json:v.json")
    code, out, _ = ran(capsys, "report", "v.json")

    assert code == 2
    assert out.startswith("BLOCKED (exit 2): absent.json: there is no such file")


def test_a_verdict_that_was_edited_is_refused(folder, capsys) -> None:
    good = saved_report(folder)
    failing = measured(measurement((0.5, 0.5)))
    edits = [
        {"measured": failing},
        {"verdict": replace(good.verdict, met=7)},
        {"policy": None},
        {"measured": None},
        {"error": "broken"},
        {"verdict": replace(judge(policy(), failing), passed=True, exit_code=0)},
        {"measured": None, "error": "x", "verdict": replace(good.verdict, exit_code=0)},
    ]
    for edit in edits:
        saved_report(folder, **edit)
        code, _, err = ran(capsys, "report", "verdict.json", "--report", "junit:gate.xml")
        assert (code, failure_types(folder / "gate.xml")) == (2, ["refused"])
        assert "the verdict is not what its own measurements say" in told(err)


# ---------------------------------------------------------------- what a terminal sees


def _every_command(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _every_command(inner, f"{path} {name}")


def test_no_help_text_has_indented_lines_that_are_wrapped_into_prose() -> None:
    told = dict(_every_command(cli.door, "fidelity-gate"))
    assert "fidelity-gate policy test" in told
    for path, command in told.items():
        for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(command.epilog or "")):
            assert paragraph.startswith("\b") or "\n " not in paragraph, f"{path} --help: {paragraph}"


def test_help_lists_every_verb_and_every_verb_has_examples(capsys) -> None:
    code, out, _ = ran(capsys, "--help")

    assert code == 0
    for name in TABLE:
        assert f"  {name} " in out
        assert SUMMARIES[name] in out
    for name in ("run", "measure", "judge", "report", "doctor"):
        code, out, _ = ran(capsys, name, "--help")
        assert code == 0
        assert f"  fidelity-gate {name}" in out
        assert "Examples:" in out


def test_the_version_is_said(capsys) -> None:
    assert ran(capsys, "--version")[:2] == (0, f"fidelity-gate {fidelity_gate.__version__}\n")


def test_colour_is_only_for_terminals_that_want_it(folder, monkeypatch) -> None:
    def reporter(**environment: str):
        for name in ("NO_COLOR", "TERM"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return orders.parse_orders(())[0].reporter

    assert reporter().color is False
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(os, "get_terminal_size", lambda *_: os.terminal_size((132, 40)))
    assert (reporter().color, reporter().width) == (True, 132)
    assert reporter(NO_COLOR="1").color is False
    assert reporter(NO_COLOR="").color is True
    assert reporter(TERM="dumb").color is False
    assert orders.parse_orders(("terminal:x.txt",))[0].reporter.color is False


def test_what_standard_output_cannot_encode_is_escaped_rather_than_fatal(monkeypatch, tmp_path) -> None:
    path = tmp_path / "out"
    with path.open("w", encoding="ascii") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        orders.write_stdout("a█b\n")
    assert path.read_text() == "a\\u2588b\n"


def test_a_closed_standard_output_is_an_unwritten_report(monkeypatch, tmp_path) -> None:
    stream = (tmp_path / "out").open("w")
    stream.close()
    monkeypatch.setattr(sys, "stdout", stream)
    with pytest.raises(ReportNotWritten, match="standard output: cannot be written"):
        orders.write_stdout("x")


def test_doctor_says_what_is_there_and_how_to_get_the_rest(monkeypatch, capsys) -> None:
    from importlib import metadata

    from fidelity_gate.verbs import doctor

    true_version = metadata.version

    def version(name: str) -> str:
        if name == "qai-hub":
            raise metadata.PackageNotFoundError(name)
        return true_version(name)

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    code, out, _ = ran(capsys, "doctor")
    assert code == 0
    assert "not installed: pip install 'fidelity-gate[aihub]'" in out
    assert f"  numpy        {true_version('numpy')}" in out
    assert "OMP_NUM_THREADS 1" in out
    found = json.loads(ran(capsys, "doctor", "--json")[1])
    assert found["version"] == fidelity_gate.__version__
    assert found["devices"][0].startswith("cpu")
    assert {entry["name"] for entry in found["libraries"]} >= {"torch", "pydantic", "qai-hub"}
    with (Path(__file__).parents[1] / "pyproject.toml").open("rb") as handle:
        project = tomllib.load(handle)["project"]
    (whole,) = project["optional-dependencies"]["all"]
    extras = whole.removeprefix("fidelity-gate[").removesuffix("]").split(",")
    assert {entry["extra"] for entry in found["libraries"]} == {"", *extras}
    assert f"\nextra attest\n  cryptography {true_version('cryptography')}" in out
    monkeypatch.setitem(sys.modules, "torch", None)
    assert len(doctor.examine().devices) == 1


# ---------------------------------------------------------------- as a process


def process(*args: str, code: str = "from fidelity_gate.cli import main; main()", **more) -> subprocess.Popen[str]:
    root = Path(fidelity_gate.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root), **more.pop("env", {})}
    more.setdefault("stderr", subprocess.PIPE)
    return subprocess.Popen([sys.executable, "-c", code, *args], text=True, env=environment, **more)


HEAVY = ("torch", "onnxruntime", "bitsandbytes", "pydantic", "numpy", "rich", "ruamel")
ASKING = """
import sys, time
from fidelity_gate import cli
code = cli.answer(sys.argv[2:])
spent = time.process_time()
heavy = [name for name in sys.argv[1].split(',') if name in sys.modules]
sys.exit(f'{heavy} {spent:.2f} {code}')
"""


def spent_on(*args: str, heavy: tuple[str, ...], cwd: Path | None = None) -> tuple[list[str], float, int]:
    running = process(",".join(heavy), *args, code=ASKING, stdout=subprocess.DEVNULL, cwd=cwd)
    _, err = running.communicate(timeout=60)
    *modules, spent, code = err.strip().splitlines()[-1].split()
    return [name.strip("[]',") for name in modules if name != "[]"], float(spent), int(code)


@pytest.mark.parametrize("args", [("--help",), ("--version",), ("rnu",)])
def test_help_imports_nothing_heavy_and_answers_quickly(args) -> None:
    modules, spent, _ = spent_on(*args, heavy=HEAVY)

    assert modules == []
    assert spent < 0.4


def test_judging_saved_measurements_loads_neither_numpy_nor_anything_heavier(folder) -> None:
    heavy = ("torch", "onnxruntime", "bitsandbytes", "numpy")
    modules, _, code = spent_on("judge", "good.json", "--policy", "release.yaml", heavy=heavy, cwd=folder)

    assert (modules, code) == ([], 0)  # what it costs is measured by `make bench`


def test_a_process_leaves_with_the_code_and_one_line(folder) -> None:
    running = process("judge", "nowhere", "--policy", "release.yaml", stdout=subprocess.PIPE, cwd=folder)
    out, err = running.communicate(timeout=60)

    assert running.returncode == 2
    assert out == "BLOCKED (exit 2): nowhere: there is no such file\n"
    assert err == "fidelity-gate: error: nowhere: there is no such file\n"


def test_on_one_screen_an_error_is_told_once(folder) -> None:
    screen, end = os.openpty()
    running = process("judge", "nowhere", "--policy", "release.yaml", stdout=end, cwd=folder, stderr=end)
    running.wait(timeout=60)
    os.close(end)
    shown = os.read(screen, 10_000).decode()
    os.close(screen)

    assert running.returncode == 2
    assert "BLOCKED (exit 2): nowhere: there is no such file" in shown
    assert shown.count("there is no such file") == 1


@pytest.mark.parametrize("kind", ["json:v.json", "terminal:v.txt"])
def test_on_a_screen_an_error_is_told_by_its_line_where_no_report_tells_it_there(folder, kind) -> None:
    screen, end = os.openpty()
    running = process(
        "judge", "nowhere", "--policy", "release.yaml", "--report", kind, stdout=end, cwd=folder, stderr=end
    )
    running.wait(timeout=60)
    os.close(end)
    shown = os.read(screen, 10_000).decode()
    os.close(screen)

    assert (running.returncode, shown) == (2, "fidelity-gate: error: nowhere: there is no such file\r\n")


def test_what_blocks_is_never_silent_and_what_passes_is(folder, capsys) -> None:
    asked = ("--policy", "release.yaml", "--report", "json:v.json")
    code, out, err = ran(capsys, "judge", "bad.json", *asked)
    assert (code, out) == (1, "")
    assert err.startswith("fidelity-gate: BLOCKED (exit 1): ")
    assert len(err.splitlines()) == 1
    assert ran(capsys, "judge", "good.json", *asked) == (0, "", "")
    code, out, err = ran(capsys, "judge", "bad.json", *asked, "--report", "github")
    assert (code, err) == (1, "")
    assert out


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("args", [("judge", "good.json", "--policy", "release.yaml"), ("--help",)])
def test_a_full_standard_output_is_never_a_pass(folder, args) -> None:
    with Path("/dev/full").open("w") as full:
        running = process(*args, stdout=full, cwd=folder)
        _, err = running.communicate(timeout=60)

    assert running.returncode == 4
    assert len(err.splitlines()) == 1


def test_a_closed_pipe_is_never_a_pass(folder) -> None:
    read, write = os.pipe()
    os.close(read)
    running = process("judge", "good.json", "--policy", "release.yaml", stdout=write, cwd=folder)
    os.close(write)
    _, err = running.communicate(timeout=60)

    assert running.returncode == 4
    assert err.startswith("fidelity-gate: error: standard output: cannot be written")
    assert len(err.splitlines()) == 1


SLOW = """
import sys, time
from fidelity_gate import cli, gate
def measure(*_):
    print('measuring', file=sys.stderr, flush=True)
    time.sleep(60)
gate.measure = measure
cli.main()
"""


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_a_signal_ends_the_run_without_a_verdict(folder, number: signal.Signals, code: int) -> None:
    (folder / "gate.xml").write_text("yesterday's green")
    running = process(
        "run", "release.yaml", "--report", "junit:gate.xml", code=SLOW, stdout=subprocess.DEVNULL, cwd=folder
    )
    assert running.stderr is not None
    assert "measuring" in running.stderr.readline()
    running.send_signal(number)
    running.communicate(timeout=30)

    assert running.returncode == code
    assert sorted(path.name for path in folder.iterdir()) == ["bad.json", "good.json", "release.yaml"]


MIDWAY = """
import os, sys, time
from fidelity_gate import cli, files
true = os.fsync
def fsync(descriptor):
    true(descriptor)
    print('writing', file=sys.stderr, flush=True)
    time.sleep(60)
os.fsync = fsync
cli.main()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_in_the_middle_of_writing_leaves_no_report(folder, number: signal.Signals) -> None:
    (folder / "gate.xml").write_text("yesterday's green")
    running = process(
        "judge", "good.json", "--policy", "release.yaml", "--report", "junit:gate.xml",
        code=MIDWAY, stdout=subprocess.DEVNULL, cwd=folder,
    )  # fmt: skip
    assert running.stderr is not None
    assert "writing" in running.stderr.readline()
    time.sleep(0.05)
    running.send_signal(number)
    running.communicate(timeout=30)

    assert running.returncode == (143 if number is signal.SIGTERM else -number)
    assert not (folder / "gate.xml").exists()
    if number is signal.SIGTERM:
        assert not list(folder.glob(".*.part"))
