"""Reports that GitHub reads: annotations within its budget, and a summary that no name can turn into markup."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import FIDELITY, measured, measurement, policy
from markdown_it import MarkdownIt
from test_reports import blocked, passing, stopped, with_name

from fidelity_gate.errors import UsageError
from fidelity_gate.judge import judge
from fidelity_gate.records import Bound, Place, Report, Severity
from fidelity_gate.reports.github import GitHub
from fidelity_gate.reports.markdown import Markdown, escaped

PARSER = MarkdownIt("gfm-like", {"linkify": False}).enable("table")
# As the runner reads a line: https://github.com/actions/runner, ActionCommand.TryParseV2.
COMMAND = re.compile(r"^::(?P<name>[a-z]+)(?: (?P<properties>.*?))?::(?P<message>.*)$")
UNESCAPED = (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%"))
NAMES = [
    "<img src=x onerror=alert(1)>",
    "[a](https://b.c)",
    "**b**",
    "a|b",
    "`c`",
    "@octocat",
    "</details>",
    "$x$",
    "~~s~~",
]


def commands(text: str) -> list[tuple[str, dict[str, str], str]]:
    found = []
    for line in text.splitlines():
        match = COMMAND.match(line)
        assert match, line
        pairs = (pair.partition("=") for pair in (match["properties"] or "").split(","))
        found.append((match["name"], {key: plain(value) for key, _, value in pairs if key}, plain(match["message"])))
    return found


def plain(text: str) -> str:
    for code, character in UNESCAPED:
        text = text.replace(code, character)
    return text


@cache
def many(count: int, severity: Severity = Severity.ERROR) -> Report:
    checks = [replace(FIDELITY, id=f"check-{n}", severity=severity, bound=Bound(minimum=0.9999)) for n in range(count)]
    made, data = policy(FIDELITY, *checks), measured(measurement((0.97, 0.97)))
    return Report(judge(made, data), made, data)


def kinds(text: str) -> set[str]:
    """Return every kind of token that the text has, inline ones too."""
    return {inner.type for token in PARSER.parse(text) for inner in (token, *(token.children or ()))}


# ---------------------------------------------------------------- annotations


def test_what_blocks_is_an_error_and_what_warns_a_warning_at_its_line() -> None:
    checks = (
        replace(FIDELITY, place=Place("release.yaml", 12, 3)),
        replace(FIDELITY, id="soft", severity=Severity.WARN),
    )
    made, data = policy(*checks), measured(measurement((0.5, 0.5)))
    found = commands(GitHub().render(Report(judge(made, data), made, data)))
    assert [(level, told.get("file"), told.get("line")) for level, told, _ in found] == [
        ("error", "release.yaml", "12"),
        ("warning", None, None),
    ]
    assert found[0][2].startswith("carry-fidelity int8: 0.5000 < 0.9")


def test_a_pass_says_nothing() -> None:
    assert GitHub().render(passing()) == ""


@pytest.mark.parametrize("code", [1, 2, 3, 4])
def test_a_run_that_was_stopped_is_one_error(code: int) -> None:
    ((level, _, said),) = commands(GitHub().render(stopped(code)))
    assert (level, said) == ("error", f"BLOCKED (exit {code}): ref.pt: is a folder")


@pytest.mark.parametrize(
    ("error", "file", "line"),
    [
        ("policies/release.yaml:21:3: checks.size: is no number", "policies/release.yaml", "21"),
        ("a b,c.gate.yml:7: is no policy", "a b,c.gate.yml", "7"),
        ("ref.pt: is a folder", None, None),
        ("a.yaml: there is no such file", None, None),
        ("a.yaml:0:1: is no policy", None, None),
        ("::error::a.yaml:1:1: x", None, None),
    ],
)
def test_what_is_wrong_in_a_policy_is_told_at_its_line(error, file, line) -> None:
    ((level, properties, said),) = commands(GitHub().render(replace(stopped(2), error=error)))
    assert (level, properties.get("file"), properties.get("line")) == ("error", file, line)
    assert said.startswith("BLOCKED (exit 2)")


@pytest.mark.parametrize("count", [1, 9, 10, 11, 500])
def test_a_level_has_ten_annotations_at_most_and_the_last_counts_the_others(count: int) -> None:
    for severity, level in ((Severity.ERROR, "error"), (Severity.WARN, "warning")):
        found = [said for name, _, said in commands(GitHub().render(many(count, severity))) if name == level]
        assert len(found) == min(count, 10)
        if count > 10:
            assert found[-1] == f"{count - 9} more, see the summary"


@settings(deadline=None, max_examples=60)
@given(
    st.text(max_size=60) | st.sampled_from(["::set-env name=A::b", "##[error]x", "a\n::error::b", "%0A::add-mask::x"])
)
def test_no_name_begins_or_ends_a_command(name: str) -> None:
    text = GitHub().render(with_name(name))
    lines = text.splitlines()
    assert len(commands(text)) == len(lines) == text.count("\n")
    assert all(line.count("::") == 2 and "##[" not in line for line in lines)


# ---------------------------------------------------------------- the summary


def test_the_summary_begins_with_the_verdict() -> None:
    assert Markdown().render(passing()).startswith("## PASSED: sudoku-release\n")
    text = Markdown().render(blocked())
    assert text.startswith("## BLOCKED: sudoku-release\n")
    assert text.splitlines()[2].startswith(r"BLOCKED \(exit 1\)\:")


def test_the_summary_has_a_row_a_check_what_blocks_first() -> None:
    tokens = PARSER.parse(Markdown().render(blocked()))
    cells = [token.content for token in tokens if token.type == "inline"]
    words = [cell.strip("*") for cell in cells if re.fullmatch(r"\*\*[A-Za-z -]+\*\*|pass", cell)]
    assert words == ["FAIL", "FAIL", "NOT-MEASURED", "NOT-MEASURED", "warn", "warn", "pass", "pass"]


def test_the_summary_says_what_was_compared() -> None:
    text = Markdown().render(passing())
    assert "| reference |" in text
    assert "| int8 |" in text
    assert "noise floor" in text


def test_the_summary_says_nothing_of_fidelity_where_no_model_was_stepped() -> None:
    report = passing()
    assert report.measured is not None
    of_files = replace(report, measured=replace(report.measured, measurements=(), noise_floor=None))
    assert "Carry fidelity by step" in Markdown().render(report)
    assert "Carry fidelity by step" not in Markdown().render(of_files)


def test_a_stopped_run_has_a_summary_too() -> None:
    text = Markdown().render(stopped(2))
    assert "BLOCKED" in text.splitlines()[0]
    assert r"ref.pt\: is a folder" in text


@pytest.mark.parametrize("limit", [4_000, 100_000, 1_000_000])
def test_five_thousand_checks_stay_under_the_limit_and_say_what_is_missing(limit: int) -> None:
    text = Markdown(limit).render(many(5_000))
    assert len(text.encode()) <= limit
    rows = len(re.findall(r"^\| (\*\*FAIL\*\*|pass) ", text, re.MULTILINE))
    said = re.search(r"\*\*([0-9,]+) more rows did not fit", text)
    assert said is None or rows + int(said[1].replace(",", "")) == 5_001
    assert said is not None or rows == 5_001
    assert text.count("<details>") == text.count("</details>")


@pytest.mark.parametrize("limit", [0, 3_999, 1_000_001])
def test_a_limit_that_cannot_work_is_refused(limit: int) -> None:
    with pytest.raises(UsageError, match="bytes"):
        Markdown(limit)


@pytest.mark.parametrize("name", NAMES)
def test_no_name_is_markup(name: str) -> None:
    shown = PARSER.parse(f"a {escaped(name)} b")[1]
    assert {token.type for token in shown.children or ()} <= {"text", "text_special"}
    assert "".join(token.content for token in shown.children or ()) == f"a {name} b"


@settings(deadline=None, max_examples=60)
@given(st.text(max_size=60) | st.sampled_from(NAMES))
def test_no_name_adds_a_kind_of_markup_to_the_summary(name: str) -> None:
    assert kinds(Markdown().render(with_name(name))) <= kinds(Markdown().render(with_name("plain")))
