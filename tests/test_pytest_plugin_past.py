"""Door 2 and what outlives a session or stands outside of it: histories, baselines, waivers, simulated devices."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest
import pytest_sessions
from filelock import FileLock
from pytest_sessions import POLICY
from pytest_sessions import data as of_release
from test_baseline_verb import POLICY as DEVICE_POLICY
from test_baseline_verb import data as of_device

from fidelity_gate import cli, measurements_file
from fidelity_gate.past import history_file
from fidelity_gate.records import DeviceJob
from fidelity_gate.verbs import stages

session, measuring = pytest_sessions.session, pytest_sessions.measuring
ADD = "--fg-add-to-history"


@pytest.fixture
def device(session, measuring, pytester):
    """Return a session of a policy with a baseline and a history, which both fit what is measured."""
    pytester.path.joinpath("release.gate.yaml").write_text(DEVICE_POLICY)
    measuring.result = of_device()
    pytester.path.joinpath("m.json").write_bytes(measurements_file.dump(of_device()))
    assert cli.answer(["baseline", "write", "m.json", "--policy", "release.gate.yaml", "-o", "release.json"]) == 0
    return session


def properties(path) -> dict[str, dict[str, str]]:
    cases = ElementTree.parse(path).iter("testcase")  # noqa: S314
    return {case.get("name"): {one.get("name"): one.get("value") for one in case.iter("property")} for case in cases}


# ---------------------------------------------------------------- histories


def test_a_session_compares_with_the_history_and_adds_to_it_only_where_it_is_told_to(device, pytester) -> None:
    result = device("--fidelity-gate")
    assert result.ret == 0
    assert not (pytester.path / "history.jsonl").exists()

    result = device("--fidelity-gate", ADD, "--fg-revision", "v1.0")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["fidelity-gate: history: 1 line added to history.jsonl"])
    ((run,), _) = history_file.read(str(pytester.path / "history.jsonl"))
    assert (run.revision, run.passed, run.candidate) == ("v1.0", True, "int8")

    result = device("--fidelity-gate", ADD)  # the very same measurement
    result.stdout.fnmatch_lines(["*history: nothing added to history.jsonl: this run is in it already"])


def test_a_session_that_blocks_is_added_as_blocked(device, measuring, pytester) -> None:
    measuring.result = of_device(fidelity=0.5)
    result = device("--fidelity-gate", ADD)

    assert result.ret == 1
    ((run,), _) = history_file.read(str(pytester.path / "history.jsonl"))
    assert run.passed is False


def test_a_session_that_left_a_check_out_is_no_run_of_the_history(device, pytester) -> None:
    result = device("--fidelity-gate", ADD, "-k", "latency")

    assert result.ret == 1
    assert not (pytester.path / "history.jsonl").exists()
    result.stdout.fnmatch_lines(["*history: nothing added to history.jsonl: *"])


def test_a_session_that_somebody_stops_adds_nothing(device, measuring, pytester) -> None:
    measuring.result = KeyboardInterrupt()
    result = device("--fidelity-gate", ADD, no_reraise_ctrlc=True)

    assert result.ret == pytest.ExitCode.INTERRUPTED
    assert not (pytester.path / "history.jsonl").exists()


def test_a_history_that_cannot_be_added_to_is_no_green_session_and_no_report_passes(
    device, pytester, monkeypatch
) -> None:
    monkeypatch.setattr(history_file, "LOCK_SECONDS", 0.05)
    with FileLock(pytester.path / "history.jsonl.lock"):
        result = device("--fidelity-gate", ADD, "--fg-report", "json:gate.json")

    assert result.ret == 1
    result.stdout.fnmatch_lines(["BLOCKED (exit 4): history.jsonl: somebody else has held its lock*"])
    assert json.loads((pytester.path / "gate.json").read_text())["verdict"]["passed"] is False


def test_a_history_that_cannot_be_made_is_told_before_anything_is_measured_and_only_where_it_is_added_to(
    device, measuring, pytester
) -> None:
    text = DEVICE_POLICY.replace("history: {path: history.jsonl", "history: {path: nowhere/history.jsonl")
    (pytester.path / "release.gate.yaml").write_text(text)
    assert device("--fidelity-gate").ret == 0
    assert measuring.calls == 1
    result = device("--fidelity-gate", ADD)

    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["fidelity-gate: error: nowhere/history.jsonl: its folder does not exist*"])
    assert measuring.calls == 1


def test_adding_to_the_history_of_policies_that_have_none_is_no_green_session(session, measuring) -> None:
    result = session("--fidelity-gate", ADD)

    assert result.ret == 1
    result.stdout.fnmatch_lines([f"fidelity-gate: {ADD}: no policy of this session names a history*"])


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--fidelity-gate", "--fg-revision", "v1"), "--fg-revision: is the name of a run in a history*"),
        (("--fidelity-gate", ADD, "--fg-revision", "v\n1"), "--fg-revision: holds characters that cannot be shown*"),
        ((ADD,), f"{ADD} is for the end of a session that gates: add --fidelity-gate"),
        (("--fg-report", "json:g.json"), "--fg-report is for the end of a session that gates: add --fidelity-gate"),
    ],
)
def test_options_of_the_end_that_nothing_would_listen_to_are_usage_errors(
    device, measuring, pytester, args, said
) -> None:
    pytester.makepyfile("def test_it(fidelity_report): fidelity_report('release.gate.yaml')")
    result = device(*args)

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: {said}"])
    assert measuring.calls == 0


def test_an_ini_file_does_not_add_to_a_history(device, pytester) -> None:
    pytester.makeini(f"[pytest]\naddopts = {ADD}")
    device("--fidelity-gate").stderr.fnmatch_lines([f"ERROR: tox.ini: addopts: {ADD} may only be given *"])


# ---------------------------------------------------------------- baselines


def test_a_baseline_that_is_not_there_is_told_before_anything_is_measured(device, measuring, pytester) -> None:
    (pytester.path / "release.json").unlink()
    result = device("--fidelity-gate")

    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["fidelity-gate: error: release.json: there is no such baseline*"])
    assert measuring.calls == 0


# ---------------------------------------------------------------- waivers


WAIVED = """\
waiver_rules: {max_days: 30}
waivers:
  a-week-more:
    check: carry-fidelity
    candidate: int4
    digest: DIGEST
    floor: {min: 0.9}
    reason: a fix is on its way
    ticket: ML-7
    owner: ada
    created: 2026-11-20
    expires: 2026-12-01
"""


@pytest.fixture
def waived(session, measuring, pytester, monkeypatch):
    """Return a session of a policy with a waiver, on a day within it."""
    monkeypatch.setattr(stages, "now", lambda: "2026-11-22T00:00:00+00:00")
    digest = "d" * 64
    (pytester.path / "release.gate.yaml").write_text(POLICY + WAIVED.replace("DIGEST", digest))

    def measured(int4: float):
        found = of_release(int4=int4)
        int8, other = found.candidates
        measuring.result = replace(found, candidates=(int8, replace(other, facts=replace(other.facts, digest=digest))))
        return session

    return measured


def test_a_waived_check_is_skipped_with_all_of_its_waiver(waived, pytester) -> None:
    result = waived(0.95)("--fidelity-gate", "-rs", "--junitxml", "out.xml", "--fg-report", "json:gate.json")

    assert result.ret == 0
    result.assert_outcomes(passed=6, skipped=1, warnings=2)
    result.stdout.fnmatch_lines(
        [
            "*waived*carry-fidelity*int4*0.9500*",
            "PASSED: 3 of 4 required checks are met, and 1 waived; carry-fidelity int4: waived until *",
            "SKIPPED [[]1[]] release.gate.yaml:10: carry-fidelity int4: waived until 2026-12-01 by ada: ML-7 (*way)",
        ]
    )
    found = properties(pytester.path / "out.xml")
    assert found["carry-fidelity[int4]"]["fg_outcome"] == "waived"
    assert found["carry-fidelity[int4]"]["fg_observed"] == "0.95"
    assert found["gate.verdict"]["fg_waived"] == "1"
    assert "fg_waived" not in found["carry-fidelity[int4]"]


def test_a_candidate_below_the_floor_of_its_waiver_fails(waived) -> None:
    result = waived(0.85)("--fidelity-gate")

    assert result.ret == 1
    result.assert_outcomes(passed=5, failed=2, warnings=2)
    result.stdout.fnmatch_lines(["carry-fidelity int4: *0.85*"])


def test_a_waiver_that_has_expired_is_a_policy_that_is_wrong(waived, measuring, monkeypatch) -> None:
    monkeypatch.setattr(stages, "now", lambda: "2026-12-02T00:00:00+00:00")
    result = waived(0.95)("--fidelity-gate")

    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["fidelity-gate: error: release.gate.yaml:*waivers.a-week-more*expired*"])
    assert measuring.calls == 0


# ---------------------------------------------------------------- simulated devices


@pytest.fixture
def simulated(device, measuring):
    """Return a session whose figures come from a service that simulates."""
    found = of_device()
    (record,) = found.candidates
    (run,) = record.device_runs
    job = DeviceJob("jabc", "https://hub.example/", "Phone", "14", "onnx", "npu", "0" * 64, "", simulated=True)
    measuring.result = replace(found, candidates=(replace(record, device_runs=(replace(run, job=job),)),))
    return device


def test_a_verdict_that_rests_on_simulated_devices_says_so_wherever_it_is_read(simulated, pytester) -> None:
    result = simulated("--fidelity-gate", "--junitxml", "out.xml")

    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            "*FidelityGateWarning: gate.verdict: SIMULATED, no device ran anything: board",
            "PASSED: *; SIMULATED, no device ran anything: board",
        ]
    )
    found = properties(pytester.path / "out.xml")
    assert found["gate.verdict"]["fg_simulated"] == "board"
    assert (found["latency[int8]"]["fg_device"], found["latency[int8]"]["fg_simulated"]) == ("board", "true")
    assert "fg_simulated" not in found["fidelity[int8]"]


def test_where_warnings_are_errors_a_simulated_device_is_one(simulated) -> None:
    result = simulated("--fidelity-gate", "-W", "error::fidelity_gate.pytest_plugin.FidelityGateWarning")

    assert result.ret == 1
    result.stdout.fnmatch_lines(["*_ gate.verdict of *", "gate.verdict: SIMULATED, no device ran anything: board"])


def test_a_verdict_of_real_devices_says_nothing_of_simulation(device, pytester) -> None:
    result = device("--fidelity-gate", "--junitxml", "out.xml")

    assert "SIMULATED" not in result.stdout.str()
    assert "simulated" not in (pytester.path / "out.xml").read_text()
