"""Door 2, what a session shows and leaves: properties in JUnit, the table, the header, and the reports of the CLI."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest
import pytest_sessions
from made import measured
from pytest_sessions import POLICY, data

from fidelity_gate import judge
from fidelity_gate.policy.loading import load_policy_text
from fidelity_gate.pytest_parts.telling import aligned, failure_lines, first_line, header_lines
from fidelity_gate.records import Bound, Check, CheckResult, Outcome, Report
from fidelity_gate.reports.json import SCHEMA
from fidelity_gate.verbs import stages

session, measuring = pytest_sessions.session, pytest_sessions.measuring


def properties(path) -> dict[str, dict[str, str]]:
    found = {}
    for case in ElementTree.parse(path).iter("testcase"):  # noqa: S314
        found[case.get("name")] = {one.get("name"): one.get("value") for one in case.iter("property")}
    return found


# ---------------------------------------------------------------- the first line


@pytest.mark.parametrize(
    ("compared", "shown"),
    [
        ("0.9410 < 0.97", "0.9410 < 0.9700"),
        ("0.969996 < 0.97", "0.969996 < 0.970000"),
        ("0.9410 < 1", "0.9410 < 1.0000"),
        ("-0.1000 < 0.25", "-0.1000 < 0.2500"),
        ("0.9410 < 0.97001", "0.9410 < 0.97001"),
        ("3 > 0", "3 > 0"),
        ("53.6 % < 97 %", "53.6 % < 97 %"),
        ("9.511 MiB (9.973 MB) > 8 MiB (8.389 MB)", "9.511 MiB (9.973 MB) > 8 MiB (8.389 MB)"),
        ("3.1e-09 < 0.97", "3.1e-09 < 0.97"),
        ("0.9810, required >= 0.97", "0.9810, required >= 0.97"),
    ],
)
def test_two_plain_numbers_are_shown_with_as_many_decimals(compared, shown) -> None:
    assert aligned(compared) == shown


def test_the_first_line_is_the_comparison() -> None:
    check = Check("carry-fidelity", "carry_fidelity", Bound(minimum=0.97), target="soc-8mb")
    result = CheckResult(check, "int4", Outcome.FAIL, observed=0.941, margin=-0.029)
    assert first_line(result) == "carry-fidelity int4@soc-8mb: 0.9410 < 0.9700"
    report = Report(judge.conclude(load_policy_text(POLICY, "p.yaml"), (result,)), None, measured())
    assert failure_lines(report, result)[0] == "carry-fidelity int4@soc-8mb: 0.9410 < 0.9700"


# ---------------------------------------------------------------- JUnit


@pytest.mark.parametrize("family", ["xunit1", "xunit2", "legacy"])
def test_every_junit_family_carries_what_was_measured_once(session, measuring, pytester, family) -> None:
    measuring.result = data(int4=0.5)
    session("--fidelity-gate", "--junitxml", "out.xml", "-o", f"junit_family={family}", "--reruns", "1")
    found = properties(pytester.path / "out.xml")

    digest = load_policy_text(POLICY, "release.gate.yaml").digest
    assert found["carry-fidelity[int4]"] == {
        "fg_check": "carry-fidelity",
        "fg_candidate": "int4",
        "fg_metric": "carry_fidelity",
        "fg_outcome": "fail",
        "fg_observed": "0.5",
        "fg_required": ">= 0.97",
        "fg_margin": "-0.47",
        "fg_worst_probe": "0",
        "fg_policy_digest": digest,
        "fg_inputs_digest": "i" * 64,
        "fg_reference_digest": "digest of reference",
        "fg_candidate_digest": "digest of int4",
    }
    assert found["fits[int8-soc-8mb]"]["fg_target"] == "soc-8mb"
    assert found["fits[int8-soc-8mb]"]["fg_unit"] == "bytes"
    assert found["gate.verdict"]["fg_exit_code"] == "1"
    assert found["gate.verdict"]["fg_met"] == "3"
    assert found["gate.verdict"]["fg_candidate_digest.int8"] == "digest of int8"


def test_cases_are_unique_and_named_by_ids_alone(session, measuring, pytester) -> None:
    session("--fidelity-gate", "--junitxml", "out.xml")
    cases = list(ElementTree.parse(pytester.path / "out.xml").iter("testcase"))  # noqa: S314

    names = [(case.get("classname"), case.get("name")) for case in cases]
    assert len(set(names)) == len(names) == 7
    assert not any(set(name) & set(":/ ") for _, name in names)


def test_a_waived_check_is_skipped_with_its_reason(session, measuring, pytester, monkeypatch) -> None:
    judged = stages.judged

    def waive(policy, found):
        report = judged(policy, found)
        reason = "waived until 2026-12-01 by a.b: TICKET-7"
        results = tuple(
            replace(one, outcome=Outcome.WAIVED, reason=reason) if one.outcome is Outcome.FAIL else one
            for one in report.verdict.results
        )
        return replace(report, verdict=replace(report.verdict, results=results, passed=True, exit_code=0))

    monkeypatch.setattr(stages, "judged", waive)
    measuring.result = data(int4=0.5)
    result = session("--fidelity-gate", "-rs", "--junitxml", "out.xml")

    result.assert_outcomes(passed=6, skipped=1, warnings=2)
    assert result.ret == 0
    result.stdout.fnmatch_lines(["SKIPPED*carry-fidelity int4: waived until 2026-12-01 by a.b: TICKET-7"])
    assert properties(pytester.path / "out.xml")["carry-fidelity[int4]"]["fg_outcome"] == "waived"


# ---------------------------------------------------------------- what is shown


def test_the_header_names_versions_and_policies_only_where_the_gate_was_asked_for(session, measuring, pytester) -> None:
    pytester.makepyfile("def test_nothing(): pass")
    digest = load_policy_text(POLICY, "release.gate.yaml").digest[:12]
    session("--fidelity-gate").stdout.fnmatch_lines(
        [header_lines()[0], f"fidelity-gate: release.gate.yaml: policy sudoku-release (sha256 {digest}) of int8, int4"]
    )
    session().stdout.no_fnmatch_line("fidelity-gate: *")


def test_the_session_ends_with_the_table_of_the_command_line(session, measuring) -> None:
    measuring.result = data(int4=0.5)
    result = session("--fidelity-gate")

    result.stdout.fnmatch_lines(
        [
            "*= fidelity-gate: release.gate.yaml =*",
            "sudoku-release: 2 candidates against reference.safetensors, 2 probes, H=2 L=2 steps=3",
            "*verdict*check*candidate*observed*required*margin*worst*",
            "*fail*carry-fidelity*int4*0.5000*>= 0.97*-0.4700*",
            "BLOCKED (exit 1): 3 of 4 required checks are met; carry-fidelity int4: 0.5000 < 0.97",
            "sha256: policy *, inputs iiiiiiiiiiii, reference digest of re, int8 digest of in, int4 digest of in",
        ]
    )


def test_reports_of_the_command_line_are_left(session, measuring, pytester) -> None:
    folder = pytester.mkdir("out")
    (folder / "fidelity-gate.json").write_text("yesterday's")
    (folder / "fidelity-gate.of-a-policy-that-is-gone.json").write_text("yesterday's")
    result = session("--fidelity-gate", "--fg-report", "junit,strict=true:gate.xml", "--fg-report", "json:out")

    assert result.ret == 0
    suite = ElementTree.parse(pytester.path / "gate.xml").getroot()  # noqa: S314
    assert [case.get("name") for case in suite.iter("testcase")][-1] == "gate.verdict"
    assert [path.name for path in folder.iterdir()] == ["fidelity-gate.json"]
    found = json.loads((folder / "fidelity-gate.json").read_text())
    assert found["schema"] == SCHEMA
    assert found["verdict"]["passed"] is True


def test_a_report_without_a_place_is_shown_at_the_end(session, measuring) -> None:
    result = session("--fidelity-gate", "--fg-report", "terminal,width=100,unicode=false")
    result.stdout.fnmatch_lines(["*= fidelity-gate: release.gate.yaml =*", "|pass *", "PASSED: all 4 required checks*"])
    result.stdout.no_fnmatch_line("*───*")
    beneath = session("--fidelity-gate", "--fg-report", "github")
    beneath.stdout.fnmatch_lines(["PASSED: all 4 required checks*", "::warning file=release.gate.yaml,line=12*"])


@pytest.mark.parametrize(
    "text",
    ["pdf:x.pdf", "junit,colour=red:x.xml", "json:release.gate.yaml", "json:nowhere/x.json", "json:m.bin"],
)
def test_a_report_that_cannot_be_left_is_a_usage_error_and_nothing_is_run(session, measuring, pytester, text) -> None:
    result = session("--fidelity-gate", "--fg-report", text, "--fg-candidate", "int8=m.bin")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "--fg-report" in result.stderr.str() or "nowhere" in result.stderr.str()
    assert measuring.calls == 0
    assert (pytester.path / "release.gate.yaml").exists()


def test_one_file_cannot_hold_the_reports_of_two_policies(session, measuring, pytester) -> None:
    (pytester.path / "second.gate.yaml").write_text(POLICY)
    result = session("--fidelity-gate", "--fg-report", "json:gate.json")

    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*gate.json: --fg-report: one file cannot hold the reports of 2 policies*"])
    assert measuring.calls == 0


def test_a_report_that_could_not_be_written_is_not_a_green_session(session, measuring, pytester) -> None:
    pytester.makepyfile(
        test_z="import shutil\ndef test_last():\n    shutil.rmtree('out')\n    open('out', 'w').close()"
    )
    pytester.mkdir("out")
    result = session("--fidelity-gate", "--fg-report", "json:out/gate.json", "release.gate.yaml", "test_z.py")

    assert result.ret == 1
    result.stdout.fnmatch_lines(["fidelity-gate: out/gate.json: *"])
