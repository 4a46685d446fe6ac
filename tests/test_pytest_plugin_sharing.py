"""Door 2, several processes: a policy is measured once in a session, and what does not belong to it is not believed."""

from __future__ import annotations

import json
import tempfile
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import filelock
import pytest
import pytest_sessions
from pytest_sessions import POLICY, data

from fidelity_gate import measurements_file
from fidelity_gate.errors import GateError, Internal, NotMeasured, OutOfTime, Refused, WorkerDied
from fidelity_gate.pytest_parts.common import Meeting
from fidelity_gate.pytest_parts.shelf import Shelf

session, measuring = pytest_sessions.session, pytest_sessions.measuring

# In the session's own workers alone: the process that begins it is this one, which would measure like that from now on.
# The environment does not tell them apart, where this process is itself a worker of the session that runs these tests.
WORKER_MEASURES = """
import os, time
from pathlib import Path
from fidelity_gate import measurements_file
from fidelity_gate.verbs import stages

HERE = Path(__file__).parent

def measure(policy, **settings):
    with (HERE / "calls").open("a") as calls:
        calls.write(policy.path + "\\n")
    time.sleep(0.5)
    if (HERE / "die").exists():
        os._exit(9)
    later = HERE / "later.json"
    first = (HERE / "calls").read_text().count(policy.path) == 1 or not later.exists()
    return measurements_file.read(str(HERE / "m.json" if first else later))

def pytest_configure(config):
    if hasattr(config, "workerinput"):
        stages.measure = measure
"""


@pytest.fixture
def shelf(tmp_path) -> Shelf:
    """Return the shelf of a session of its own."""
    return Shelf(Meeting(tmp_path / "shelf", "t" * 32), wait=0.1)


def another(shelf: Shelf) -> Shelf:
    """Return the same shelf as another process of the session has it."""
    return Shelf(Meeting(shelf.meeting.folder, shelf.meeting.token), shelf.wait)


class Counted:
    """Measures, and counts how often."""

    def __init__(self, result=None) -> None:
        self.result = result or data()
        self.calls = 0

    def __call__(self):
        self.calls += 1
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


# ---------------------------------------------------------------- the shelf


def test_whoever_comes_second_reads_what_the_first_one_measured(shelf) -> None:
    measure = Counted()
    first = shelf.once("release", "key", measure)
    second = another(shelf).once("release", "key", measure)

    assert measurements_file.dump(first) == measurements_file.dump(second) == measurements_file.dump(data())
    assert measure.calls == 1
    assert another(shelf).found("release") is not None
    assert another(shelf).found("another") is None


@pytest.mark.parametrize(
    ("ending", "kind"),
    [
        (Refused("is a folder", where="ref.pt", field="reference", hint="a file"), Refused),
        (NotMeasured("no torch"), NotMeasured),
        (RuntimeError("a bug"), Internal),
        (KeyboardInterrupt(), WorkerDied),
    ],
)
def test_an_error_is_told_to_everybody_and_the_measurement_is_not_repeated(shelf, ending, kind) -> None:
    measure = Counted(ending)
    with pytest.raises((GateError, KeyboardInterrupt)):
        shelf.once("release", "key", measure)
    measure.result = data()
    with pytest.raises(kind) as told:
        another(shelf).once("release", "key", measure)

    assert measure.calls == 1
    if isinstance(ending, Refused):
        assert str(told.value) == str(ending)
    with pytest.raises(kind):
        shelf.found("release")


def test_a_process_that_died_while_it_measured_is_told(shelf) -> None:
    def die():
        # What is on disk now is what a process that is killed here leaves; the system frees its lock.
        raise SystemError

    with pytest.raises(Internal):
        shelf.once("release", "key", die)
    entry = shelf.meeting.folder / "release.entry"
    entry.write_text(json.dumps({**json.loads(entry.read_text()), "state": "started"}))

    with pytest.raises(WorkerDied, match="ended before it was done"):
        another(shelf).once("release", "key", Counted())


def test_nobody_waits_for_ever(shelf) -> None:
    shelf.leave("somebody", [])
    somebody = filelock.FileLock(shelf.meeting.folder / "release.lock")
    with somebody, pytest.raises(OutOfTime, match=r"more than 0\.1 s"):
        another(shelf).once("release", "key", Counted())


def test_what_was_compared_may_not_change_within_a_session(shelf) -> None:
    shelf.once("release", "key", Counted())
    with pytest.raises(Refused, match="changed after they were measured"):
        another(shelf).once("release", "other key", Counted())


@pytest.mark.parametrize(
    "tamper",
    [
        lambda folder: (folder / "release.json").write_bytes(measurements_file.dump(data(int4=0.999))),
        lambda folder: (folder / "release.json").unlink(),
        lambda folder: (folder / "release.entry").write_text("{}"),
        lambda folder: (folder / "release.entry").write_text("[1"),
        lambda folder: (folder / "release.entry").write_text(
            (folder / "release.entry").read_text().replace("t" * 32, "u" * 32)
        ),
    ],
    ids=["other measurements", "none", "no token", "no JSON", "another session's"],
)
def test_what_is_not_of_this_session_is_never_believed(shelf, tamper) -> None:
    shelf.once("release", "key", Counted())
    tamper(shelf.meeting.folder)
    measure = Counted()
    with pytest.raises(Refused):
        another(shelf).once("release", "key", measure)
    with pytest.raises(Refused):
        another(shelf).found("release")
    assert measure.calls == 0


def test_a_folder_that_others_can_write_is_refused(shelf) -> None:
    shelf.meeting.folder.mkdir()
    shelf.meeting.folder.chmod(0o777)
    with pytest.raises(Refused, match="not its own"):
        shelf.once("release", "key", Counted())


def test_a_link_in_place_of_the_folder_is_refused(shelf, tmp_path) -> None:
    (tmp_path / "foreign").mkdir(mode=0o700)
    shelf.meeting.folder.symlink_to(tmp_path / "foreign")
    with pytest.raises(Refused, match="not its own"):
        shelf.once("release", "key", Counted())


def test_a_model_that_changes_between_two_tests_is_told(session, measuring, pytester, monkeypatch) -> None:
    """A fork of the session (pytest-forked) has no memory of the other tests: the shelf alone tells it."""
    pytester.makeconftest(
        "import pytest\n"
        "from fidelity_gate.pytest_parts.judging import judging_of\n"
        "def pytest_runtest_teardown(item):\n"
        "    judging_of(item.config)._reports.clear()\n"
        "    if item.name == 'carry-fidelity[int8]': open('int8.safetensors', 'w').write('another')\n"
    )
    result = session("--fidelity-gate")

    result.assert_outcomes(passed=1, errors=5, failed=1)
    result.stdout.fnmatch_lines(["gate.verdict: the policy, a model or the inputs changed after they were measured *"])
    assert measuring.calls == 1


# ---------------------------------------------------------------- pytest-xdist


@pytest.fixture
def workers(session, pytester):
    """Return a function that runs a session on two workers, and what they would measure."""
    pytest.importorskip("xdist")
    pytester.makeconftest(WORKER_MEASURES)

    def run(*args: str, first=None, later=None, count: int = 2) -> pytest.RunResult:
        (pytester.path / "m.json").write_bytes(measurements_file.dump(first or data()))
        if later is not None:
            (pytester.path / "later.json").write_bytes(measurements_file.dump(later))
        return session("--fidelity-gate", "-n", str(count), *args)

    return run


def calls(pytester) -> int:
    path = pytester.path / "calls"
    return len(path.read_text().splitlines()) if path.exists() else 0


def test_two_workers_measure_once_and_no_rerun_turns_a_flaky_latency_around(workers, pytester, monkeypatch) -> None:
    pytest.importorskip("pytest_rerunfailures")
    monkeypatch.setattr(tempfile, "tempdir", str(pytester.mkdir("temporary")))
    result = workers(
        "--reruns", "2", "--junitxml", "out.xml", "--fg-report", "json:gate.json",
        first=data(int4=0.5), later=data(),
    )  # fmt: skip

    assert result.ret == 1
    assert calls(pytester) == 1
    result.assert_outcomes(passed=5, failed=2, warnings=2)
    result.stdout.fnmatch_lines(["*= fidelity-gate: release.gate.yaml =*", "BLOCKED (exit 1): *int4: 0.5000 < 0.97"])
    found = {case.get("name"): case for case in ElementTree.parse(pytester.path / "out.xml").iter("testcase")}  # noqa: S314
    told = {one.get("name"): one.get("value") for one in found["carry-fidelity[int4]"].iter("property")}
    assert told["fg_observed"] == "0.5"
    assert told["fg_margin"] == "-0.47"
    assert json.loads((pytester.path / "gate.json").read_text())["verdict"]["passed"] is False
    assert list((pytester.path / "temporary").glob("fidelity-gate-*")) == []


def test_two_policies_pass_on_two_workers_and_are_measured_once_each(workers, pytester) -> None:
    (pytester.path / "second.gate.yaml").write_text(POLICY.replace("sudoku-release", "second"))
    result = workers("--fg-report", "json:.")

    assert result.ret == 0
    result.assert_outcomes(passed=14, warnings=4)
    assert sorted((pytester.path / "calls").read_text().split()) == ["release.gate.yaml", "second.gate.yaml"]
    result.stdout.fnmatch_lines(["PASSED: all 4 required checks are met", "*", "PASSED: all 4 required checks are met"])
    assert (pytester.path / "fidelity-gate.second.json").exists()


def test_a_worker_that_dies_while_it_measures_is_told_and_nobody_measures_again(workers, pytester) -> None:
    (pytester.path / "die").touch()
    result = workers()

    assert result.ret == 1
    assert calls(pytester) == 1
    result.stdout.fnmatch_lines(["*the process that measured ended before it was done*"])
    result.stdout.fnmatch_lines(["BLOCKED (exit 3): *"])


def test_what_is_deselected_fails_the_verdict_on_workers_too(workers, pytester) -> None:
    result = workers("-k", "fits", "--fg-measurements", "m.json", count=1)

    assert result.ret == 1
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["gate.verdict: 4 of 6 checks were deselected: *"])
    result.stdout.fnmatch_lines(["BLOCKED (exit 2): gate.verdict: 4 of 6 checks were deselected: *"])


def test_a_wrong_policy_on_workers_is_a_collection_error(workers, pytester) -> None:
    (pytester.path / "release.gate.yaml").write_text(POLICY.replace("0.97", "NaN"))
    result = workers("--fg-report", "json:gate.json", count=1)

    assert result.ret == pytest.ExitCode.INTERRUPTED  # pytest-xdist by itself says 1: it goes on where pytest stops
    result.assert_outcomes(errors=1, failed=1)
    result.stdout.fnmatch_lines(
        ["fidelity-gate: error: release.gate.yaml:*", "*_ gate.verdict of release.gate.yaml _*"]
    )
    assert json.loads((pytester.path / "gate.json").read_text())["verdict"]["exit_code"] == 2


def test_workers_that_find_no_policy_are_not_green(workers, pytester) -> None:
    (pytester.path / "release.gate.yaml").unlink()
    pytester.makepyfile("def test_nothing(): pass")
    result = workers(count=1)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stdout.fnmatch_lines(["fidelity-gate: --fidelity-gate: no policy named [*].gate.yaml was collected"])


def test_no_workers_are_the_same_as_one_process(session, measuring) -> None:
    pytest.importorskip("xdist")
    session("--fidelity-gate", "-n", "0").assert_outcomes(passed=7, warnings=2)
    assert measuring.calls == 1


def test_records_that_travel_between_processes_come_back_as_they_were() -> None:
    from fidelity_gate.pytest_parts.asking import Gated, Source

    gated = Gated(
        Source("a.gate.yaml", "r", ("x=y",), "i", "m"), "a::gate.verdict", ("a::b[c]",), ("b[c]",), refused=True
    )
    assert Gated.of(json.loads(json.dumps(gated.plain()))) == gated
    assert gated.source.name != replace(gated.source, inputs=None).name
