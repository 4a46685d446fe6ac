"""SARIF of the gate and of lint: valid, within its readers' limits, and never greener than the verdict."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import FIDELITY, FITS, facts, measured, measurement, policy, sram

from fidelity_gate import record_json
from fidelity_gate.errors import Internal
from fidelity_gate.judge import judge
from fidelity_gate.records import (
    Bound,
    Check,
    Finding,
    Linted,
    LintedModel,
    LintReport,
    Location,
    LocationKind,
    ModelRecord,
    Outcome,
    Place,
    Report,
    RuleFacts,
    Severity,
    Verdict,
)
from fidelity_gate.reports import sarif_log
from fidelity_gate.reports.lint.json import SCHEMA as LINT_SCHEMA
from fidelity_gate.reports.lint.json import LintJson
from fidelity_gate.reports.lint.sarif import LintSarif
from fidelity_gate.reports.lint.terminal import LintTerminal
from fidelity_gate.reports.sarif import Sarif

CREATED = "2026-01-02T03:04:05+00:00"
RULE = RuleFacts(
    "FG201",
    "per-tensor-low-bits",
    Severity.ERROR,
    "Looks for one scale.",
    "It reads `scale`.\n\nSource: a paper.",
    "It collapses.",
    "Use channels.",
)
CLEAN = Check("clean", "lint", Bound(maximum=0.0), (("severity", "error"),), place=Place("release.gate.yaml", 20, 3))


def finding(name: str = "blk.w", *, severity: Severity = Severity.ERROR, **fields: object) -> Finding:
    made = Finding(
        code="FG201",
        rule="per-tensor-low-bits",
        severity=severity,
        model="build/int4.safetensors",
        candidate="int4",
        location=Location(LocationKind.TENSOR, name, "64x64, int4 per tensor") if name else Location(),
        message="has one scale for 4,096 values at 4 bits",
        why=RULE.why,
        fix=RULE.fix,
        figures=(("bits", 4), ("snr_db", 9.5)),
    )
    return replace(made, **fields)


def lint_report(*findings: Finding, **fields: object) -> LintReport:
    linted = Linted(findings, ("FG201",), (("FG501", "no reference was given"),))
    made = LintReport(
        models=(LintedModel("build/int4.safetensors", "int4", "d" * 64, 1000, "artifact", linted, exit_code=1),),
        rules=(RULE,),
        fail_on=Severity.ERROR,
        exit_code=1,
        reason="1 error in 1 model",
        created=CREATED,
    )
    return replace(made, **fields)


def gate_report(*checks: Check, **fields: object) -> Report:
    """Return a gate's report with a check of every outcome but those that end a run."""
    made = policy(
        *(
            checks
            or (
                replace(FIDELITY, place=Place("release.gate.yaml", 10, 5)),
                FITS,
                replace(FIDELITY, id="soft", severity=Severity.WARN, bound=Bound(minimum=0.999)),
                replace(FIDELITY, id="halting", metric="halt_agreement"),
            )
        ),
        candidates=("int8", "int4"),
    )
    data = measured(
        measurement(),
        measurement((0.9, 0.95), candidate="int4"),
        sram(10.0),
        sram(500.0, candidate="int4"),
        candidates=("int8", "int4"),
    )
    return replace(Report(judge(made, data), made, data, CREATED), **fields)


def stopped() -> Report:
    verdict = Verdict("", "", (), 0, 0, passed=False, exit_code=2, reason="ref.pt: is a folder")
    return Report(verdict, None, None, CREATED, error="ref.pt: is a folder", error_kind=Outcome.REFUSED)


def passing() -> Report:
    made, data = policy(), measured()
    return Report(judge(made, data), made, data, CREATED)


def run_of(text: str) -> dict:
    found = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert found["version"] == "2.1.0"
    (run,) = found["runs"]
    return run


LOGS = {
    "lint": lambda: LintSarif().render(lint_report(finding(), finding(""))),
    "lint, nothing found": lambda: LintSarif().render(lint_report(exit_code=0)),
    "lint, refused": lambda: LintSarif().render(lint_report(models=(), rules=(), exit_code=2, error="no such rule")),
    "lint, a model refused": lambda: LintSarif().render(
        lint_report(models=(LintedModel("bad.onnx", error="bad.onnx: is cut short", exit_code=2),), exit_code=2)
    ),
    "gate": lambda: Sarif().render(gate_report()),
    "gate, passed": lambda: Sarif().render(passing()),
    "gate, refused": lambda: Sarif().render(stopped()),
}


# ---------------------------------------------------------------- both


@pytest.mark.parametrize("name", LOGS)
def test_every_log_is_valid_against_the_schema(name, shared):
    schema = json.loads((shared / "schemas" / "sarif-2.1.0.json").read_text(encoding="utf-8"))
    checker = jsonschema.validators.validator_for(schema)(schema, format_checker=jsonschema.FormatChecker())
    log = json.loads(LOGS[name]())

    assert [error.message for error in checker.iter_errors(log)] == []
    log["runs"][0]["results"] = "none"
    assert list(checker.iter_errors(log))


@pytest.mark.parametrize("name", LOGS)
def test_every_result_has_its_rule_a_place_a_level_and_a_fingerprint_of_its_own(name):
    run = run_of(LOGS[name]())
    rules = run["tool"]["driver"]["rules"]
    prints = [result["partialFingerprints"]["primaryLocationLineHash"] for result in run["results"]]

    assert len({rule["id"] for rule in rules}) == len(rules)
    assert len(set(prints)) == len(prints)
    for rule in rules:
        assert rule["shortDescription"]["text"]
        assert rule["help"]["text"]
        assert rule["help"]["markdown"]
        assert rule["defaultConfiguration"]["level"] in ("error", "warning", "note")
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        assert result["level"] in ("error", "warning", "note")
        assert 0 < len(result["message"]["text"]) <= 1000
        (location,) = result["locations"]
        physical = location["physicalLocation"]
        assert physical["region"]["startLine"] >= 1
        assert not physical["artifactLocation"]["uri"].startswith(("/", "file:"))
        if "index" in physical["artifactLocation"]:
            artifact = run["artifacts"][physical["artifactLocation"]["index"]]
            assert artifact["location"]["uri"] == physical["artifactLocation"]["uri"]


def test_a_run_says_how_it_ended():
    ends = {
        name: (run["invocations"][0]["executionSuccessful"], run["invocations"][0]["exitCode"])
        for name, run in ((name, run_of(make())) for name, make in LOGS.items())
    }

    assert ends == {
        "lint": (True, 1),
        "lint, nothing found": (True, 0),
        "lint, refused": (False, 2),
        "lint, a model refused": (False, 2),
        "gate": (True, 1),
        "gate, passed": (True, 0),
        "gate, refused": (False, 2),
    }


def test_equal_records_give_equal_bytes():
    assert all(make() == make() for make in LOGS.values())


# ---------------------------------------------------------------- lint


def test_a_finding_stands_at_its_file_and_at_its_tensor():
    run = run_of(LOGS["lint"]())
    tensor, whole = run["results"]

    assert tensor["ruleId"] == "FG201"
    assert tensor["level"] == "error"
    assert tensor["message"]["text"] == (
        "tensor blk.w: has one scale for 4,096 values at 4 bits; 64x64, int4 per tensor"
    )
    (location,) = tensor["locations"]
    assert location["logicalLocations"] == [{"name": "blk.w", "fullyQualifiedName": "blk.w", "kind": "tensor"}]
    assert location["physicalLocation"]["artifactLocation"] == {
        "uri": "build/int4.safetensors",
        "uriBaseId": "%SRCROOT%",
        "index": 0,
    }
    assert tensor["properties"]["figures"] == {"bits": 4, "snr_db": 9.5}
    assert "logicalLocations" not in whole["locations"][0]
    assert run["artifacts"][0]["hashes"] == {"sha-256": "d" * 64}


def test_a_rule_tells_everything_that_it_says_of_itself():
    (_, rule) = run_of(LOGS["lint"]())["tool"]["driver"]["rules"]

    assert (rule["id"], rule["name"]) == ("FG201", "per-tensor-low-bits")
    for part in (RULE.documentation, RULE.why, RULE.fix):
        assert part in rule["help"]["text"]
        assert part in rule["help"]["markdown"]


def test_the_line_of_the_policy_that_names_the_candidate_is_beside_the_finding():
    report = lint_report(finding())
    model = replace(report.models[0], place=Place("release.gate.yaml", 6, 3))
    (result,) = run_of(LintSarif().render(replace(report, models=(model,))))["results"]
    (related,) = result["relatedLocations"]

    assert related["physicalLocation"]["artifactLocation"]["uri"] == "release.gate.yaml"
    assert related["physicalLocation"]["region"] == {"startLine": 6, "startColumn": 3}
    assert related["message"]["text"] == "candidate int4"


def test_a_model_that_was_refused_is_an_error_beside_what_was_found():
    refused = LintedModel("bad.onnx", error="bad.onnx: is cut short", exit_code=2)
    report = lint_report(finding(severity=Severity.WARN))
    run = run_of(LintSarif().render(replace(report, models=(*report.models, refused), exit_code=2)))

    assert [(result["ruleId"], result["level"]) for result in run["results"]] == [
        ("refused", "error"),
        ("FG201", "warning"),
    ]
    notices = run["invocations"][0]["toolExecutionNotifications"]
    assert [notice["message"]["text"] for notice in notices] == ["bad.onnx: is cut short"]


def test_fingerprints_stay_when_lines_and_figures_change_and_differ_by_place_and_target():
    def prints(*findings: Finding, line: int = 6) -> list[str]:
        report = lint_report(*findings)
        model = replace(report.models[0], place=Place("release.gate.yaml", line, 3))
        run = run_of(LintSarif().render(replace(report, models=(model,))))
        return [result["partialFingerprints"]["primaryLocationLineHash"] for result in run["results"]]

    first = prints(finding())
    assert first == prints(finding(message="has two", figures=(), why="else"), line=60)
    others = [finding("blk.v"), finding(target="mcu-4mb"), finding(code="FG202"), finding(model="other.onnx")]
    with_rules = lint_report(rules=(RULE, replace(RULE, code="FG202")))
    assert with_rules.rules[1].code == "FG202"
    assert all(first != prints(other) for other in others if other.code == "FG201")
    assert len(set(prints(finding(), finding(), finding()))) == 3


def test_more_results_than_readers_take_are_cut_worst_first_and_said():
    warned = [finding(f"w{index}", severity=Severity.WARN) for index in range(sarif_log.MOST_RESULTS)]
    run = run_of(LintSarif().render(lint_report(*warned, finding("last"))))

    assert len(run["results"]) == sarif_log.MOST_RESULTS
    assert run["results"][0]["level"] == "error"
    (notice,) = run["invocations"][0]["toolExecutionNotifications"]
    assert notice["message"]["text"].startswith("1 results are left out")


def test_a_log_is_never_larger_than_readers_take():
    long = [finding("n" * 900 + str(index), message="m" * 900) for index in range(sarif_log.MOST_RESULTS)]
    text = LintSarif().render(lint_report(*long))

    assert len(text) <= sarif_log.MOST_BYTES
    assert len(run_of(text)["results"]) > 1000


def test_paths_are_against_the_working_folder_and_never_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def uri(path: str) -> tuple[str, str]:
        report = lint_report(finding(model=path))
        (result,) = run_of(LintSarif().render(report))["results"]
        location = result["locations"][0]["physicalLocation"]["artifactLocation"]
        return location["uri"], location["uriBaseId"]

    assert uri(str(tmp_path / "a b" / "m.onnx")) == ("a%20b/m.onnx", "%SRCROOT%")
    assert uri("./x/../m.onnx") == ("m.onnx", "%SRCROOT%")
    assert uri("/somewhere/else/m.onnx") == ("else/m.onnx", "OUTSIDE")
    assert uri("../m.onnx") == ("m.onnx", "OUTSIDE")
    assert uri("zoo:trm-addition") == ("zoo%3Atrm-addition", "%SRCROOT%")
    assert uri("a\n::error\x1b.onnx")[0] == "a%0A%3A%3Aerror%1B.onnx"


# ---------------------------------------------------------------- the gate


def test_every_check_that_does_not_pass_is_a_result_at_its_line_of_the_policy():
    run = run_of(LOGS["gate"]())
    told = [
        (
            result["ruleId"],
            result["level"],
            result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"],
            result["locations"][0]["physicalLocation"]["region"]["startLine"],
        )
        for result in run["results"]
    ]

    assert told == [
        ("carry_fidelity", "error", "release.gate.yaml", 10),
        ("sram_peak", "error", "release.gate.yaml", 12),
        ("halt_agreement", "error", "release.gate.yaml", 1),
        ("halt_agreement", "error", "release.gate.yaml", 1),
        ("carry_fidelity", "warning", "release.gate.yaml", 1),
        ("carry_fidelity", "warning", "release.gate.yaml", 1),
    ]
    first = run["results"][0]
    assert first["message"]["text"].startswith("carry-fidelity int4: 0.9250 < 0.97")
    assert first["relatedLocations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "int4.safetensors"
    assert first["properties"]["figures"]["observed"] == pytest.approx(0.925)


def test_a_release_that_may_go_has_no_results():
    assert run_of(LOGS["gate, passed"]())["results"] == []


def test_a_run_that_was_stopped_has_one_error_that_says_why():
    (result,) = run_of(LOGS["gate, refused"]())["results"]

    assert (result["ruleId"], result["level"]) == ("gate.verdict", "error")
    assert result["message"]["text"] == "BLOCKED (exit 2): ref.pt: is a folder"


def test_lint_findings_stand_beside_the_line_of_the_policy_whose_check_counts_them():
    found = Linted((finding(), finding("soft", severity=Severity.WARN)), ("FG201",))
    made = policy(CLEAN, candidates=("int4",))
    count = measurement(
        (1.0,), candidate="int4", metric="lint", options=CLEAN.options, per_probe=False, floor_values=(), curve=()
    )
    data = measured(count, candidates=("int4",))
    record = ModelRecord("int4", facts("int4"), data.candidates[0].depth, linted=found)
    data = replace(data, candidates=(record,))
    run = run_of(Sarif().render(Report(judge(made, data), made, data, CREATED)))
    by_rule = {(result["ruleId"], result["level"]): result for result in run["results"]}

    error, warned = by_rule["FG201", "error"], by_rule["FG201", "warning"]
    (related,) = error["relatedLocations"]
    assert related["physicalLocation"]["region"] == {"startLine": 20, "startColumn": 3}
    assert related["message"]["text"] == "check clean"
    assert "relatedLocations" not in warned
    assert by_rule["lint", "error"]["locations"][0]["physicalLocation"]["region"]["startLine"] == 20


def test_a_waived_check_is_suppressed_and_says_why():
    report = gate_report()
    results = tuple(
        replace(result, outcome=Outcome.WAIVED, reason="accepted by QA until March")
        for result in report.verdict.results
    )
    verdict = replace(report.verdict, results=results[:1])
    (result, *_) = [
        one
        for one in run_of(Sarif().render(replace(report, verdict=verdict)))["results"]
        if one["ruleId"] != "gate.verdict"
    ]

    assert result["level"] == "note"
    assert result["suppressions"] == [
        {"kind": "external", "status": "accepted", "justification": "accepted by QA until March"}
    ]


def test_a_blocked_verdict_without_a_blocking_check_still_shows_an_error():
    report = passing()
    verdict = replace(report.verdict, passed=False, exit_code=4, reason="something else")
    (result,) = run_of(Sarif().render(replace(report, verdict=verdict)))["results"]

    assert (result["ruleId"], result["level"]) == ("gate.verdict", "error")


def test_a_pass_with_a_blocking_check_is_not_written():
    report = gate_report()
    untrue = replace(report.verdict, passed=True, exit_code=0)

    with pytest.raises(Internal, match="does not say what the verdict says"):
        Sarif().render(replace(report, verdict=untrue))


# ---------------------------------------------------------------- strangers' texts


TEXTS = st.text(st.characters(codec=None), max_size=40) | st.sampled_from(
    ["\x1b[2J", "::error::x", "##[error]", "a\nb", "\u202e", "x" * 5000, "\ud800", "%0A::x", "\\u003a:", ":::::"]
)


@settings(max_examples=80, deadline=None)
@given(TEXTS, TEXTS, TEXTS, TEXTS)
def test_no_text_of_a_stranger_acts_on_a_reader(name, message, path, candidate):
    named = finding(name or "x", message=message or "m", model=path or "m", candidate=candidate, target=candidate)
    model = LintedModel(path or "m", candidate, linted=Linted((named,), ("FG201",)), place=Place(path, 3))
    refused = LintedModel(path or "m", error=message or "e", exit_code=2)
    report = lint_report(models=(model, refused), exit_code=2, reason=message)

    for text in (
        LintSarif().render(report),
        LintTerminal(width=60).render(report),
        Sarif().render(replace(stopped(), error=message or "e")),
        LintJson().render(report),
    ):
        assert "::" not in text
        assert "##[" not in text
        assert all(one.isprintable() or one == "\n" or unicodedata.category(one) == "Zs" for one in text)


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=30), st.text(max_size=30))
def test_json_keeps_every_name_exactly_and_reads_back_as_the_same_record(name, message):
    report = lint_report(finding(name or "x", message=message or ":: ##["))
    text = LintJson().render(report)

    assert record_json.load(text.encode(), LintReport, LINT_SCHEMA, where="found.json") == report


# ---------------------------------------------------------------- the terminal's width


def test_lines_are_wrapped_but_names_are_never_broken():
    long = "L_level.layers.0." + "very_long_name_" * 5
    report = lint_report(finding(long, message="is wrong " * 20))
    lines = LintTerminal(width=60).render(report).splitlines()

    assert any(long in line for line in lines)
    assert all(len(line) <= 60 or long in line for line in lines)


@pytest.mark.parametrize(("places", "shown"), [(3, 3), (0, 25), (100, 25)])
def test_of_many_places_the_first_are_shown_and_the_rest_is_counted(places, shown):
    report = lint_report(*(finding(f"w{index:02}") for index in range(25)))
    text = LintTerminal(places=places).render(report)

    assert text.count("tensor w") == shown
    assert ("and 22 more places" in text) is (places == 3)
    assert "error FG201 per-tensor-low-bits in 25 places" in text


def test_the_schema_is_not_in_the_project():
    assert not list(Path(__file__).parents[1].glob("**/sarif-2.1.0*.json"))
