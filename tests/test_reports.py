"""Reports: every reader sees what the verdict says, whatever the names are."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import FIDELITY, FITS, facts, measured, measurement, policy, sram

from fidelity_gate import record_json
from fidelity_gate.errors import Internal, Refused
from fidelity_gate.judge import conclude, judge
from fidelity_gate.records import (
    Bound,
    CheckResult,
    CurvePoint,
    Depth,
    ModelSpec,
    NoiseFloor,
    Outcome,
    Place,
    Report,
    Severity,
    Verdict,
)
from fidelity_gate.reports import json as json_report
from fidelity_gate.reports.json import Json
from fidelity_gate.reports.junit import JUnit
from fidelity_gate.reports.terminal import Terminal

CREATED = "2026-01-02T03:04:05+00:00"
MIB = 2.0**20
REPORTERS = (Terminal(), Terminal(color=True, unicode=False, width=80), JUnit(), JUnit(strict=True), Json())
CODES = {1: Outcome.FAIL, 2: Outcome.REFUSED, 3: Outcome.NOT_MEASURED, 4: Outcome.INTERNAL}


def passing() -> Report:
    made, data = policy(), measured()
    return Report(judge(made, data), made, data, CREATED)


def blocked() -> Report:
    made = policy(
        FIDELITY,
        replace(FITS, bound=Bound(maximum=8 * MIB, text="max: target.sram = 8 MiB")),
        replace(FIDELITY, id="soft", severity=Severity.WARN, bound=Bound(minimum=0.999)),
        replace(FIDELITY, id="quiet", severity=Severity.OFF),
        replace(FIDELITY, id="halting", metric="halt_agreement"),
        candidates=("int8", "int4"),
    )
    data = measured(
        measurement(),
        measurement((0.969996, 0.969996), candidate="int4"),
        sram(8 * MIB),
        sram(8 * MIB + 1, candidate="int4"),
        candidates=("int8", "int4"),
    )
    return Report(judge(made, data), made, data, CREATED)


def stopped(code: int) -> Report:
    """Return the report of a run that ended before it was judged."""
    verdict = Verdict("", "", (), 0, 0, passed=False, exit_code=code, reason="ref.pt: is a folder")
    return Report(verdict, None, None, CREATED, error="ref.pt: is a folder", error_kind=CODES[code])


def of(*results: CheckResult, **fields: object) -> Report:
    return Report(conclude(policy(**fields), results), policy(**fields), None, CREATED)


def tree(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)  # noqa: S314  (our own text)


def cases(text: str) -> dict[tuple[str, str], ElementTree.Element]:
    found = list(tree(text).iter("testcase"))
    named = {(case.get("classname"), case.get("name")): case for case in found}
    assert len(named) == len(found)
    return named


def failures(text: str) -> list[ElementTree.Element]:
    return list(tree(text).iter("failure"))


# ---------------------------------------------------------------- terminal


def test_the_last_line_of_the_table_is_the_verdict() -> None:
    assert Terminal().render(passing()).splitlines()[-1] == "PASSED: the one required check is met"
    assert Terminal().render(blocked()).splitlines()[-1] == (
        "BLOCKED (exit 1): 2 of 6 required checks are met; carry-fidelity int4: 0.969996 < 0.97"
    )
    assert Terminal().render(stopped(2)) == "BLOCKED (exit 2): ref.pt: is a folder\n"


def test_the_table_shows_failures_first_then_what_was_not_measured_then_warnings() -> None:
    lines = Terminal().render(blocked()).splitlines()
    outcomes = [line.split()[0] for line in lines if re.match(r" (fail|not-measured|warn|pass|off) ", line)]

    assert outcomes == ["fail"] * 2 + ["not-measured"] * 2 + ["warn"] * 2 + ["pass"] * 2


def test_the_table_says_observed_required_margin_and_the_worst_probe() -> None:
    text = Terminal().render(blocked())

    assert re.search(r"fail +carry-fidelity +int4 +0\.969996 +>= 0\.97 +-4e-06\n", text)
    assert re.search(r"pass +fits +int8@soc-8mb +8 MiB +<= 8 MiB +\+0 B\n", text)
    assert re.search(r"fail +fits +int4@soc-8mb +8\.0+\d* MiB +<= 8 MiB +-1 B\n", text)
    assert "(8.389 MB)" in text
    assert "halting int8: not measured: halt_agreement was not measured with these options" in text
    assert "quiet" not in text


def test_where_all_probes_are_equal_none_of_them_is_the_worst() -> None:
    made, data = policy(), measured(measurement((0.98, 0.98)))
    row = next(
        line for line in Terminal().render(Report(judge(made, data), made, data)).splitlines() if ">= 0.97" in line
    )
    assert "#" not in row
    data = measured(measurement((0.98, 0.975)))
    row = next(
        line for line in Terminal().render(Report(judge(made, data), made, data)).splitlines() if ">= 0.97" in line
    )
    assert row.endswith("#1")


def test_a_figure_is_never_rounded_onto_the_wrong_side_of_its_bound() -> None:
    for value in (0.97 - 1e-9, 0.97 - 1e-16, 0.96999):
        made = policy()
        data = measured(measurement((value, value)))
        text = Terminal().render(Report(judge(made, data), made, data))
        (shown, wanted) = re.search(r"int8: (\S+) < (\S+)$", text.strip()).groups()
        assert float(shown) < float(wanted) == 0.97


def test_the_table_tells_what_was_compared_the_noise_floor_and_fidelity_by_step() -> None:
    text = Terminal().render(passing())

    assert text.startswith("sudoku-release: 1 candidate against reference.safetensors, 2 probes, H=2 L=2 steps=3\n")
    assert (
        "noise floor: the reference against itself, its carry perturbed by 1e-06: "
        "mean fidelity 1, worst 1, limit 0.99\n" in text
    )
    assert "  int8  1 █▇ 0.9800 (step 1 to 2)\n" in text


def test_another_depth_is_said() -> None:
    report = passing()
    shallow = replace(report.measured.candidates[0], depth=Depth(1, 2, 3), alignment="at the last step")
    text = Terminal().render(replace(report, measured=replace(report.measured, candidates=(shallow,))))

    assert "int8 runs at H=1 L=2 steps=3, compared at the last step\n" in text


def test_what_a_metric_and_a_model_have_to_say_is_said() -> None:
    report = blocked()
    told = tuple(replace(one, detail=f"about {one.metric} of {one.candidate}") for one in report.measured.measurements)
    noted = replace(report.measured.reference, facts=replace(report.measured.reference.facts, notes=("took the EMA",)))
    report = replace(report, measured=replace(report.measured, measurements=told, reference=noted))
    text = Terminal().render(report)

    assert "reference: took the EMA\n" in text
    assert "carry-fidelity int4: 0.969996 < 0.97 (about carry_fidelity of int4)\n" in text
    assert "soft int8: 0.9850 < 0.999 (about carry_fidelity of int8)\n" in text
    assert "carry-fidelity int8" not in text
    body = cases(JUnit().render(report))["sudoku-release.int4", "carry-fidelity"].find("failure").text
    assert "measured about carry_fidelity of int4" in body


def test_a_noise_floor_that_was_not_measured_is_said() -> None:
    report = passing()
    for floor in (None, NoiseFloor(1e-6, 0.99, ())):
        text = Terminal().render(replace(report, measured=replace(report.measured, noise_floor=floor)))
        assert "noise floor: not measured\n" in text


def test_bars_fall_with_fidelity_and_stay_within_their_range() -> None:
    report = passing()
    curve = tuple(CurvePoint(step, mean, 0.0, 0.0) for step, mean in enumerate((1.0, 0.5, -0.2, 1.00001), 1))
    data = replace(report.measured, measurements=(measurement(curve=curve),))

    assert "1 █▅▁█ 1.0000 (step 1 to 4)" in Terminal().render(replace(report, measured=data))


def test_without_unicode_the_table_is_ascii_and_without_colour_it_has_no_escapes() -> None:
    for report in (passing(), blocked(), stopped(3)):
        assert Terminal(unicode=False).render(report).isascii()
        assert "\x1b" not in Terminal().render(report)
        assert "\x1b[" in Terminal(color=True).render(report)


@pytest.mark.parametrize("width", [80, 110, 200])
def test_no_line_of_the_table_is_wider_than_the_terminal(width: int) -> None:
    text = Terminal(width=width).render(blocked())

    table = text.split("halting int8: not measured", maxsplit=1)[0].splitlines()[1:]
    assert max(len(line) for line in table) <= width


# ---------------------------------------------------------------- JUnit


def test_every_check_is_a_case_named_by_ids_alone_and_the_verdict_is_one_too() -> None:
    named = cases(JUnit().render(blocked()))

    assert set(named) == {
        ("sudoku-release.int8", "carry-fidelity"),
        ("sudoku-release.int4", "carry-fidelity"),
        ("sudoku-release.int8.soc-8mb", "fits"),
        ("sudoku-release.int4.soc-8mb", "fits"),
        ("sudoku-release.int8", "soft"),
        ("sudoku-release.int4", "soft"),
        ("sudoku-release.int8", "halting"),
        ("sudoku-release.int4", "halting"),
        ("sudoku-release", "gate.verdict"),
    }


def test_blocking_outcomes_are_failures_with_a_message_and_a_body() -> None:
    named = cases(JUnit().render(blocked()))

    missed = named["sudoku-release.int4", "carry-fidelity"].find("failure")
    assert (missed.get("type"), missed.get("message")) == ("check", "carry-fidelity int4: 0.969996 < 0.97")
    assert missed.text.splitlines() == [
        "carry-fidelity int4: 0.969996 < 0.97",
        "metric carry_fidelity",
        "aggregate mean",
    ]
    assert "required max: target.sram = 8 MiB" in named["sudoku-release.int4.soc-8mb", "fits"].find("failure").text
    assert named["sudoku-release.int8", "halting"].find("failure").get("type") == "not-measured"
    verdict = named["sudoku-release", "gate.verdict"].find("failure")
    assert verdict.get("type") == "check"
    assert verdict.get("message").startswith("BLOCKED (exit 1): 2 of 6 required checks are met")


def test_each_case_has_one_outcome_and_the_counts_are_the_verdicts() -> None:
    root = tree(JUnit().render(blocked()))

    (suite,) = root
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("9", "5", "0")
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("9", "5", "0")
    assert "disabled" not in suite.attrib
    assert suite.get("timestamp") == "2026-01-02T03:04:05"
    assert all(len(case) == 1 for case in suite)
    assert not list(root.iter("error"))


def test_a_warning_passes_and_says_warn() -> None:
    named = cases(JUnit().render(blocked()))

    (out,) = named["sudoku-release.int4", "soft"]
    assert (out.tag, out.text) == ("system-out", "WARN soft int4: 0.9700 < 0.999")


def test_a_passing_report_has_cases_and_no_failure() -> None:
    text = JUnit().render(passing())

    assert len(cases(text)) == 2
    assert not failures(text)
    assert cases(text)["sudoku-release", "gate.verdict"].findtext("system-out") == (
        "PASSED: the one required check is met"
    )


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        (Outcome.FAIL, "check"),
        (Outcome.REFUSED, "refused"),
        (Outcome.NOT_MEASURED, "not-measured"),
        (Outcome.INCONCLUSIVE, "not-measured"),
        (Outcome.INTERNAL, "internal"),
    ],
)
def test_every_blocking_outcome_has_its_type_in_the_case_and_in_the_verdict(outcome: Outcome, kind: str) -> None:
    report = of(CheckResult(FIDELITY, "int8", outcome, reason="because"))

    assert [failure.get("type") for failure in failures(JUnit().render(report))] == [kind, kind]


def test_a_waived_check_is_skipped_with_its_reason() -> None:
    waived = CheckResult(FIDELITY, "int8", Outcome.WAIVED, reason="waived until 2026-02-01 by ana: T-1")
    text = JUnit().render(of(waived, CheckResult(replace(FIDELITY, id="b"), "int8", Outcome.PASS)))

    skipped = cases(text)["sudoku-release.int8", "carry-fidelity"].find("skipped")
    assert skipped.get("message") == "carry-fidelity int8: waived until 2026-02-01 by ana: T-1"


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("strict", [False, True])
def test_a_run_that_was_stopped_has_exactly_one_failure(code: int, strict: bool) -> None:
    (failure,) = failures(JUnit(strict=strict).render(stopped(code)))

    kinds = {1: "check", 2: "refused", 3: "not-measured", 4: "internal"}
    assert failure.get("type") == kinds[code]
    assert failure.get("message") == f"BLOCKED (exit {code}): ref.pt: is a folder"


def test_a_verdict_that_contradicts_itself_is_never_shown_as_passing() -> None:
    good = passing()
    liars = [
        replace(good, error="broken"),
        replace(good, error_kind=Outcome.INTERNAL),
        replace(good, verdict=replace(good.verdict, passed=False)),
        replace(good, verdict=replace(good.verdict, exit_code=3)),
        replace(good, verdict=replace(good.verdict, exit_code=99)),
    ]
    for report in liars:
        assert len(failures(JUnit().render(report))) == 1
        assert Terminal().render(report).splitlines()[-1].startswith("BLOCKED")


def test_file_and_line_lead_to_the_policy_unless_strict() -> None:
    placed = replace(FIDELITY, place=Place("release.gate.yaml", 12, 3))
    report = of(CheckResult(placed, "int8", Outcome.FAIL, observed=0.5))

    case = cases(JUnit().render(report))["sudoku-release.int8", "carry-fidelity"]
    assert (case.get("file"), case.get("line")) == ("release.gate.yaml", "12")
    assert "policy release.gate.yaml:12:3" in case.find("failure").text
    strict = cases(JUnit(strict=True).render(report))["sudoku-release.int8", "carry-fidelity"]
    assert set(strict.attrib) == {"classname", "name"}


@pytest.mark.parametrize("report", [passing(), blocked(), *map(stopped, CODES)])
def test_the_strict_profile_is_valid_under_the_schema_of_jenkins(report: Report, shared) -> None:
    lxml = pytest.importorskip("lxml.etree")
    schema = lxml.XMLSchema(lxml.parse(str(shared / "schemas" / "junit-10.xsd")))

    schema.assertValid(lxml.fromstring(JUnit(strict=True).render(report).encode()))


def test_a_foreign_reader_counts_the_same() -> None:
    junitparser = pytest.importorskip("junitparser")
    found = junitparser.JUnitXml.fromstring(JUnit().render(blocked()).encode())

    assert (found.tests, found.failures, found.errors) == (9, 5, 0)


def test_names_that_meet_in_one_case_are_numbered_so_that_none_hides() -> None:
    results = (
        CheckResult(FIDELITY, "a.b", Outcome.PASS),
        CheckResult(replace(FIDELITY, target="b"), "a", Outcome.FAIL, observed=0.5),
        CheckResult(FIDELITY, "a b", Outcome.PASS),
        CheckResult(FIDELITY, "a\tb", Outcome.FAIL, observed=0.5),
        CheckResult(replace(FIDELITY, id="gate.verdict"), "", Outcome.FAIL, observed=0.5),
    )
    text = JUnit().render(of(*results))

    assert len(cases(text)) == 6
    assert len(failures(text)) == 4


def test_a_junit_report_that_does_not_say_the_verdict_is_not_given_out(monkeypatch) -> None:
    from junit_xml import TestCase

    monkeypatch.setattr(TestCase, "add_failure_info", lambda *_args, **_kwargs: None)
    with pytest.raises(Internal, match="does not say what the verdict says"):
        JUnit().render(blocked())


# ---------------------------------------------------------------- JSON


@pytest.mark.parametrize("report", [passing(), blocked(), *map(stopped, CODES)])
def test_the_json_report_is_read_back_as_the_same_record(report: Report) -> None:
    text = Json().render(report)

    assert json_report.load(text.encode(), "v.json") == report
    assert json.loads(text)["schema"] == "fidelity-gate/report/v1"
    assert text.isascii()
    assert Json().render(report) == text


def test_the_json_report_lists_checks_that_are_off() -> None:
    outcomes = {
        entry["check"]["id"]: entry["outcome"] for entry in json.loads(Json().render(blocked()))["verdict"]["results"]
    }

    assert outcomes["quiet"] == "off"


def test_json_never_writes_a_number_it_has_no_word_for() -> None:
    bad = of(CheckResult(FIDELITY, "int8", Outcome.FAIL, observed=float("nan")))

    with pytest.raises(Internal):
        Json().render(bad)


def test_a_saved_report_is_read_strictly(tmp_path) -> None:
    path = tmp_path / "verdict.json"
    path.write_text(Json().render(passing()).replace('"passed":true', '"passed":1'))
    with pytest.raises(Refused, match=r"verdict.passed: must be true or false"):
        json_report.read(str(path))
    path.write_bytes(record_json.dump(measured(), "fidelity-gate/measurements/v1"))
    with pytest.raises(Refused, match="fidelity-gate/measurements/v1"):
        json_report.read(str(path))


# ---------------------------------------------------------------- names from strangers

HOSTILE = (
    "\x1b[2J\x1b[31mPASSED",
    "a]]>b<!--&<script>alert(1)</script>",
    "::error file=x::owned",
    "x ##[error]owned",
    "a\nPASSED: all 3 required checks are met",
    "a\r\nb\u2028c\u0085d",
    "\ud800lone\udfff",
    "\ufffe\uffff\U0001ffff",
    "\u202egnp.exe",
    "\x00\x01\x7f\x9b",
    "[bold red]x[/] [link=http://e.vil]y[/link]",
    "| a | b |\n|---|---|",
    "😀 naïve 日本語",
    "%0A::error::x",
    "x" * 100_000,
    "{0} {0.__class__} %s %n",
    "",
    " ",
)


def with_name(name: str) -> Report:
    """Return a blocked report with this name everywhere a stranger can put one."""
    place = Place(name, 3, 1)
    check = replace(FIDELITY, id=name, metric=name, target=name, options=((name, name),), place=place)
    check = replace(check, bound=Bound(minimum=0.97, text=name))
    results = tuple(
        CheckResult(check, name, outcome, name, observed, reason=reason)
        for outcome in Outcome
        for observed, reason in ((0.5, ""), (None, name))
    )
    made = replace(policy(), name=name, path=name, candidates=(ModelSpec(name, name),))
    data = measured(measurement(candidate=name, detail=name))
    data = replace(data, reference=replace(data.reference, facts=replace(facts("r"), path=name)))
    odd = replace(data.candidates[0], name=name, depth=Depth(9, 9, 9), alignment=name)
    verdict = conclude(made, results)
    return Report(verdict, made, replace(data, candidates=(odd,)), created=name, error=name)


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_no_name_moves_a_cursor_starts_a_command_or_breaks_a_file(name: str) -> None:
    report = with_name(name)
    for reporter in (Terminal(), JUnit(), JUnit(strict=True)):
        text = reporter.render(report)
        text.encode("utf-8")
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202e\ufffe\uffff]", text)
        assert "::" not in text
        assert "##[" not in text
        assert len(text) < 400_000
    assert Terminal().render(report).splitlines()[-1].startswith("BLOCKED")
    assert len(failures(JUnit().render(report))) == 11
    assert json_report.load(Json().render(report).encode(), "v.json") == report


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.text(st.characters(exclude_categories=()), max_size=30))
def test_any_name_leaves_every_report_whole(name: str) -> None:
    report = with_name(name)
    for reporter in REPORTERS:
        assert reporter.render(report).encode("utf-8")
    assert len(failures(JUnit().render(report))) == 11


def test_the_json_report_starts_no_workflow_command_and_reads_back_as_it_was() -> None:
    hostile = replace(passing(), error="##[error]::error::x")
    text = Json().render(hostile)
    assert "::" not in text
    assert "##[" not in text
    assert json_report.load(text.encode(), "r.json") == hostile


@pytest.mark.parametrize("unicode", [True, False])
def test_in_a_narrow_window_names_break_where_their_parts_end_and_figures_never(unicode):
    names = ("int4-naive", "int4-calibrated")
    made = policy(*(replace(FIDELITY, id=name) for name in ("carry-fidelity-tail", "same_answers")), candidates=names)
    data = measured(*(measurement((0.5139, 0.5139), candidate=name) for name in names), candidates=names)
    report = Report(judge(made, data), made, data)
    lines = Terminal(width=80, unicode=unicode).render(report).splitlines()
    table = [line for line in lines[1:] if not line.startswith(("carry-fidelity", "same_answers", "noise", "BLOCKED"))]
    assert all(len(line) <= 80 for line in table[:12])
    words = " ".join(table).replace("|", " ").split()
    assert words.count("0.5139") == words.count("-0.4561") == 4
    parts = {"carry", "fidelity", "tail", "int4", "naive", "calibrated", "same", "answers"}
    assert {part for word in words for part in re.split("[-_]", word)} & parts == parts


def test_a_name_without_parts_is_broken_at_the_width_of_its_column():
    made = policy(replace(FIDELITY, id="x" * 60), candidates=("y" * 60,))
    data = measured(measurement(candidate="y" * 60), candidates=("y" * 60,))
    table = Terminal(width=80).render(Report(judge(made, data), made, data)).splitlines()[2:8]
    assert max(map(len, table)) <= 80
    assert sum(line.count("x") for line in table) == 60
