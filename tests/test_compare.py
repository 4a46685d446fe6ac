"""Comparing two saved runs: what changed, whether it may be compared, and what a regression is."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made import FIDELITY, FITS, facts, measured, measurement, policy, sram
from pages import CREATED, looked, rich, stopped

from fidelity_gate import measurements_file, record_json
from fidelity_gate.cli import answer
from fidelity_gate.comparing import Run, compare
from fidelity_gate.errors import UsageError
from fidelity_gate.judge import judge
from fidelity_gate.records import (
    Aggregate,
    Bound,
    Change,
    Comparison,
    Depth,
    Direction,
    MeasureStatus,
    Outcome,
    Report,
    RunSpec,
    SavedRun,
    Severity,
)
from fidelity_gate.reports.comparison.html import ComparisonHtml
from fidelity_gate.reports.comparison.json import SCHEMA, ComparisonJson
from fidelity_gate.reports.comparison.markdown import ComparisonMarkdown
from fidelity_gate.reports.comparison.terminal import ComparisonTerminal
from fidelity_gate.reports.json import Json

MIB = 2.0**20


def of(data, made=None) -> Run:
    """Return a judged run."""
    made = made or policy()
    verdict = judge(made, data)
    file = SavedRun(
        "a.json", "verdict", made.name, CREATED, passed=verdict.passed, exit_code=verdict.exit_code, reason="r"
    )
    return Run(file, data, verdict)


def unjudged(data) -> Run:
    return Run(SavedRun("m.json", "measurements", "sudoku-release"), data)


def changes(before: Run, after: Run) -> dict[str, Change]:
    return {f"{one.result.check.id} {one.result.candidate}": one.change for one in compare(before, after).checks}


def fidelity(value: float, other: float | None = None) -> Run:
    return of(measured(measurement((value, value if other is None else other))))


def compared_page() -> str:
    """Return a page that compares two rich runs, of which one was measured on other inputs."""
    before, after = rich(), rich(("int8", "int4"))
    moved = tuple(
        replace(one, values=tuple(v - 0.01 for v in one.values)) if one.metric == "carry_fidelity" else one
        for one in after.measured.measurements
    )
    told = replace(after.measured.provenance, inputs_digest="j" * 64)
    data = replace(after.measured, measurements=moved, provenance=told)
    return ComparisonHtml().render(compare(of(before.measured, before.policy), of(data, after.policy)))


# ---------------------------------------------------------------- checks


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        (0.98, 0.98, Change.SAME),
        (0.98, 0.99, Change.BETTER),
        (0.98, 0.97, Change.WORSE),
        (0.98, 0.96, Change.REGRESSION),
        (0.96, 0.98, Change.MENDED),
        (0.96, 0.95, Change.WORSE),
        (0.97, 0.97 - 1e-16, Change.REGRESSION),
    ],
)
def test_a_regression_is_an_outcome_that_got_worse_and_nothing_less(before, after, change):
    assert changes(fidelity(before), fidelity(after)) == {"carry-fidelity int8": change}


def test_a_check_that_was_met_and_is_gone_is_a_regression():
    both = of(measured(measurement(), sram()), policy(FIDELITY, FITS))
    one = of(measured(measurement()), policy(FIDELITY))
    assert changes(both, one)["fits int8"] is Change.REGRESSION
    assert changes(one, both)["fits int8"] is Change.ADDED
    missed = of(measured(measurement(), sram(200.0)), policy(FIDELITY, FITS))
    assert changes(missed, one)["fits int8"] is Change.REMOVED


def test_switching_a_check_off_mends_nothing():
    off = replace(FIDELITY, severity=Severity.OFF)
    kept = replace(FITS, id="kept")
    good, bad = (of(measured(measurement((value,) * 2), sram()), policy(FIDELITY, kept)) for value in (0.99, 0.5))
    silenced = of(measured(measurement((0.5, 0.5)), sram()), policy(off, kept))
    assert changes(good, silenced)["carry-fidelity int8"] is Change.REGRESSION
    assert changes(bad, silenced)["carry-fidelity int8"] is Change.REMOVED
    assert changes(silenced, bad)["carry-fidelity int8"] is Change.ADDED
    assert changes(silenced, silenced)["carry-fidelity int8"] is Change.SAME


def test_a_bound_that_was_lowered_mends_nothing():
    loose = policy(replace(FIDELITY, bound=Bound(minimum=0.5)))
    data = measured(measurement((0.9, 0.9)))
    assert changes(of(data), of(data, loose)) == {"carry-fidelity int8": Change.DIFFERENT}
    warned = policy(replace(FIDELITY, severity=Severity.WARN), FITS)
    both = measured(measurement((0.9, 0.9)), sram())
    assert changes(of(both, policy(FIDELITY, FITS)), of(both, warned))["carry-fidelity int8"] is Change.DIFFERENT


def test_not_measured_after_a_pass_is_a_regression():
    gone = replace(measurement(), status=MeasureStatus.NOT_MEASURED, values=(), reason="stopped")
    assert changes(fidelity(0.99), of(measured(gone))) == {"carry-fidelity int8": Change.REGRESSION}


def test_what_got_worse_stands_first():
    names = ("a", "b", "c", "d")
    before = of(
        measured(*(measurement((0.98, 0.98), candidate=name) for name in names), candidates=names),
        policy(candidates=names),
    )
    values = {"a": 0.98, "b": 0.99, "c": 0.5, "d": 0.975}
    after = of(
        measured(*(measurement((values[name],) * 2, candidate=name) for name in names), candidates=names),
        policy(candidates=names),
    )
    found = compare(before, after)
    assert [one.result.candidate for one in found.checks] == ["c", "d", "b", "a"]
    assert found.regressions == 1


def test_probes_are_paired_where_they_are_the_same_ones():
    (one,) = compare(of(measured(measurement((0.98, 0.98)))), of(measured(measurement((0.99, 0.975))))).checks
    assert (one.paired.worse, one.paired.better, one.paired.probes) == (1, 1, 2)
    other = measured(measurement((0.99, 0.975)))
    other = replace(other, provenance=replace(other.provenance, inputs_digest="j" * 64))
    (one,) = compare(of(measured(measurement((0.98, 0.98)))), of(other)).checks
    assert one.paired is None


OUTCOMES = st.floats(0.5, 1.0)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(OUTCOMES, OUTCOMES), min_size=1, max_size=5))
def test_there_is_a_regression_exactly_where_something_that_passed_does_not_any_more(pairs):
    names = tuple(f"c{k}" for k in range(len(pairs)))
    made = policy(candidates=names)
    before, after = (
        of(
            measured(
                *(measurement((pair[at],) * 2, candidate=n) for n, pair in zip(names, pairs, strict=True)),
                candidates=names,
            ),
            made,
        )
        for at in (0, 1)
    )
    lost = sum(
        one.outcome is Outcome.PASS and two.outcome is not Outcome.PASS
        for one, two in zip(before.verdict.results, after.verdict.results, strict=True)
    )
    assert compare(before, after).regressions == lost
    assert compare(before, before).regressions == 0
    assert {one.change for one in compare(before, before).checks} == {Change.SAME}


# ---------------------------------------------------------------- what may be compared


def changed(**fields: object):
    """Return a run with something else beside its candidates."""
    data = measured()
    told = {name: fields.pop(name) for name in list(fields) if hasattr(data.provenance, name)}
    return replace(data, provenance=replace(data.provenance, **told), **fields)


@pytest.mark.parametrize(
    ("other", "what", "comparable"),
    [
        (changed(inputs_digest="j" * 64), "inputs", False),
        (changed(reference=replace(measured().reference, facts=facts("other"))), "reference", False),
        (changed(reference=replace(measured().reference, depth=Depth(1, 1, 9))), "reference's depth", False),
        (changed(run=RunSpec(dtype="bfloat16")), "element type", False),
        (changed(run=RunSpec(seed=3)), "run", True),
        (changed(policy_digest="q" * 64), "policy", True),
        (changed(machine=(("vectors", "AVX2"),)), "machine vectors", True),
        (changed(libraries=(("torch", "3"),)), "library torch", True),
        (changed(tool_version="9"), "tool", True),
        (changed(noise_floor=None), "noise floor", True),
    ],
)
def test_what_the_runs_do_not_share_is_said_and_whether_they_may_be_compared(other, what, comparable):
    found = compare(unjudged(measured()), unjudged(other))
    assert [one.what for one in found.differences] == [what]
    assert found.comparable is comparable
    told = ComparisonTerminal().render(found)
    assert f"  {what}: " in told
    assert ("not comparable" in told) is not comparable
    assert told.splitlines()[-1].startswith("NOT COMPARABLE: ") is not comparable


def test_the_same_probes_from_another_file_are_the_same_inputs():
    assert compare(unjudged(measured()), unjudged(changed(inputs_source="copy.npz"))).comparable


def test_candidates_are_told_by_what_they_are_not_any_more():
    data = measured()
    other = replace(
        data.candidates[0], facts=replace(facts("int8"), digest="f" * 64, size_bytes=2000), depth=Depth(1, 2, 3)
    )
    found = compare(unjudged(data), unjudged(replace(data, candidates=(other,)))).models
    assert [(one.model, one.what) for one in found] == [("int8", "digest"), ("int8", "size"), ("int8", "depth")]
    gone = compare(unjudged(data), unjudged(replace(data, candidates=()))).models
    assert [(one.what, one.after) for one in gone] == [("candidate", "none")]


def test_figures_without_a_check_are_compared_by_the_metrics_direction():
    before = measured(measurement((0.9, 0.9)), sram(100.0))
    after = measured(measurement((0.95, 0.9)), sram(110.0))
    found = {one.metric: one for one in compare(unjudged(before), unjudged(after)).figures}
    assert found["carry_fidelity"].change is Change.BETTER
    assert found["sram_peak"].change is Change.WORSE
    assert compare(unjudged(before), unjudged(before)).figures[0].change is Change.SAME
    ratio = {"metric": "carry_norm_ratio", "direction": Direction.BOTH}
    near, far = (unjudged(measured(measurement((value,) * 2, **ratio))) for value in (1.1, 0.8))
    assert compare(near, far).figures[0].change is Change.WORSE
    assert compare(of(before), of(after)).figures[0].metric == "sram_peak"  # fidelity has a check


# ---------------------------------------------------------------- reports


def test_the_table_shows_what_changed_and_counts_the_rest():
    names = ("int8", "int4")
    before = of(measured(*(measurement(candidate=n) for n in names), candidates=names), policy(candidates=names))
    after = of(
        measured(measurement(), measurement((0.969996, 0.969996), candidate="int4"), candidates=names),
        policy(candidates=names),
    )
    told = ComparisonTerminal().render(compare(before, after))
    assert told.splitlines()[-1] == "1 regression, 1 same"
    assert "0.969996 fail" in told
    assert ">= 0.97" in told
    assert " same " not in told
    assert " same " in ComparisonTerminal(all=True).render(compare(before, after))


@pytest.mark.parametrize("unicode", [True, False])
@pytest.mark.parametrize("width", [72, 80, 100, 118, 160])
def test_in_a_narrow_window_no_column_of_a_comparison_is_cut(width, unicode):
    candidate = "int4-calibrated"
    made = policy(
        FIDELITY, replace(FIDELITY, id="carry-fidelity-of-the-tail", aggregate=Aggregate.P05), candidates=(candidate,)
    )
    runs = [
        of(measured(measurement((v, v), candidate=candidate), candidates=(candidate,)), made) for v in (0.9936, 0.6385)
    ]
    found = compare(*runs)
    lines = ComparisonTerminal(width=width, unicode=unicode).render(found).splitlines()[2:-1]
    assert max(map(len, lines)) <= width
    words = " ".join(lines).replace("|", " ").split()
    for figure in ("0.9936", "0.6385", "0.97", "-0.3551", "-2", "required"):
        assert words.count(figure) == (1 if figure == "required" else 2), figure
    assert "int4-calibrated" in words or {"int4-", "calibrated"} <= set(words)


def test_without_unicode_the_table_is_ascii_and_plain_text_has_no_escapes():
    told = ComparisonTerminal(unicode=False).render(compare(fidelity(0.98), fidelity(0.5)))
    assert told.isascii()
    assert "\x1b" not in told
    assert "\x1b" in ComparisonTerminal(color=True).render(compare(fidelity(0.98), fidelity(0.5)))


def test_markdown_says_what_it_comes_to_then_what_changed_and_folds_the_rest():
    names = ("int8", "int4")
    before = of(measured(*(measurement(candidate=n) for n in names), candidates=names), policy(candidates=names))
    data = measured(measurement(), measurement((0.969996, 0.969996), candidate="int4"), candidates=names)
    after = of(replace(data, tool_version="0.0.9"), policy(candidates=names))
    lines = ComparisonMarkdown().render(compare(before, after)).splitlines()
    assert lines[0] == "## 1 regression, 1 same"
    assert "| before | a.json | PASSED\\: r | 2026-01-02 03\\:04 | sudoku-release |" in lines
    (row,) = [line for line in lines if line.startswith("| **REGRESSION** |")]
    assert row == (
        "| **REGRESSION** | carry-fidelity | int4 | 0.9850 | 0.969996 fail | \\>= 0.97 | -0.0150 | \\+0 -2 |"
    )
    assert not any(line.startswith("| same ") for line in lines)
    assert "<details><summary>What else the runs do not share</summary>" in lines
    assert ComparisonMarkdown().render(compare(before, before)).splitlines()[-1] == "No check changed."


def test_markdown_says_first_that_runs_are_not_comparable():
    before = fidelity(0.98)
    told_of = replace(before.measured.provenance, inputs_digest="j" * 64)
    other = of(replace(before.measured, provenance=told_of))
    lines = ComparisonMarkdown().render(compare(before, other)).splitlines()
    assert lines[0].startswith("## NOT COMPARABLE")
    assert lines[2] == "**The numbers of these two runs are not comparable.**"
    assert lines[4].startswith("- inputs")


def test_markdown_of_very_many_changes_fits_a_comment_and_counts_what_does_not():
    names = tuple(f"candidate-{k}" for k in range(50))
    checks = [replace(FIDELITY, id=f"check-{k}") for k in range(100)]
    made = policy(*checks, candidates=names)
    runs = [
        of(measured(*(measurement((v, v), candidate=n) for n in names), candidates=names), made) for v in (0.98, 0.5)
    ]
    told = ComparisonMarkdown().render(compare(*runs))
    assert len(told.encode()) <= 60_000
    assert told.startswith("## 5000 regressions")
    shown = told.count("**REGRESSION**")
    assert f"**{5000 - shown:,} more rows did not fit here" in told
    with pytest.raises(UsageError, match="must be from"):
        ComparisonMarkdown(limit=10)


def test_the_json_comes_back_as_the_same_record():
    found = compare(of(rich().measured, rich().policy), fidelity(0.5))
    text = ComparisonJson().render(found)
    assert record_json.load(text.encode(), Comparison, SCHEMA, where="c.json") == found


def test_the_page_is_well_formed_and_says_that_the_runs_are_not_comparable():
    page = compared_page()
    look = looked(page)
    assert look.faults == []
    words = " ".join(" ".join(look.text).split())
    assert "The numbers of these two runs are not comparable." in words
    assert "NOT COMPARABLE: " in words
    levels = [int(tag[1]) for tag, _ in look.seen if tag in ("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert max(levels) <= 3


@pytest.mark.parametrize("name", ["</script><script>alert(1)</script>", "\x1b[31m\u202e::error::", "x" * 100_000])
def test_no_name_becomes_markup_or_acts_in_a_comparison(name):
    made = policy(replace(FIDELITY, id=name), candidates=(name,), name=name)
    data = measured(measurement(candidate=name), candidates=(name,))
    other = of(measured(measurement((0.5, 0.5), candidate=name), candidates=(name,)), made)
    found = compare(of(data, made), replace(other, file=replace(other.file, path=name, reason=name)))
    page = ComparisonHtml().render(found)
    assert looked(page).faults == []
    assert "<script" not in page
    told = ComparisonMarkdown().render(found)
    assert "<script" not in told.replace("\\<", "")
    for text in (page, told, ComparisonTerminal().render(found)):
        assert "\x1b" not in text
        assert "\u202e" not in text
        assert "::error" not in text
        assert len(text) < 100_000


# ---------------------------------------------------------------- the command


@pytest.fixture
def saved(tmp_path, monkeypatch):
    """Return a writer of verdicts and measurements, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def write(name: str, value: float | None = None, **told: object) -> str:
        data = measured(measurement((value or 0.98,) * 2))
        data = replace(data, provenance=replace(data.provenance, **told))
        report = Report(judge(policy(), data), policy(), data, CREATED)
        content = measurements_file.dump(data).decode() if "measure" in name else Json().render(report)
        (tmp_path / name).write_text(content)
        return name

    return write


def test_a_comparison_ends_with_0_whatever_changed_unless_asked(saved, capsys):
    good, bad = saved("good.json", 0.98), saved("bad.json", 0.5)
    assert answer(["compare", good, bad]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "1 regression"
    assert answer(["compare", good, bad, "--fail-on", "regression"]) == 1
    assert answer(["compare", bad, good, "--fail-on", "regression"]) == 0
    assert answer(["compare", good, good, "--fail-on", "regression"]) == 0


def test_runs_that_are_not_comparable_are_undecided_when_asked(saved, capsys):
    good, other = saved("good.json"), saved("other.json", 0.99, inputs_digest="j" * 64)
    assert answer(["compare", good, other]) == 0
    assert answer(["compare", good, other, "--fail-on", "regression"]) == 3
    assert "the runs are not comparable: another inputs" in capsys.readouterr().err


def test_a_run_that_was_refused_afterwards_is_a_regression(saved, tmp_path):
    (tmp_path / "stopped.json").write_text(Json().render(stopped()))
    assert answer(["compare", saved("good.json"), "stopped.json", "--fail-on", "regression"]) == 1
    assert answer(["compare", "stopped.json", "good.json", "--fail-on", "regression"]) == 0


def test_measurements_are_compared_by_their_figures_and_cannot_regress(saved, capsys):
    one, other = saved("measure-a.json", 0.98), saved("measure-b.json", 0.99)
    assert answer(["compare", one, other]) == 0
    out = capsys.readouterr().out
    assert "mean of carry_fidelity" in out
    assert out.splitlines()[-1] == "1 better"
    assert answer(["compare", one, saved("verdict.json"), "--fail-on", "regression"]) == 2
    assert "only verdicts have checks that can get worse" in capsys.readouterr().err


def test_reports_go_where_they_are_asked_to(saved, tmp_path):
    args = ["compare", saved("a.json"), saved("b.json", 0.99), "--report", "html:c.html", "--report", "json:c.json"]
    assert answer(args) == 0
    assert "1 better" in (tmp_path / "c.html").read_text()
    assert json.loads((tmp_path / "c.json").read_text())["schema"] == SCHEMA


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("[]", "is neither a verdict nor measurements"),
        ('{"schema": "fidelity-gate/lint/v1"}', "is neither a verdict nor measurements"),
        ("nonsense", "is not JSON"),
        ('{"schema": "fidelity-gate/report/v1", "verdict": 3}', "policy: is missing"),
    ],
)
def test_a_file_that_is_no_run_is_refused_and_the_reports_say_so(saved, tmp_path, capsys, content, said):
    (tmp_path / "wrong.json").write_text(content)
    (tmp_path / "c.html").write_text("an older page")
    assert answer(["compare", saved("a.json"), "wrong.json", "--report", "html:c.html"]) == 2
    assert said in capsys.readouterr().err
    page = (tmp_path / "c.html").read_text()
    assert "NOT COMPARED: wrong.json" in page
    assert looked(page).faults == []


def test_a_verdict_that_was_read_keeps_its_word_where_the_other_file_is_refused(saved, tmp_path, capsys):
    (tmp_path / "release.yaml").write_text("version: 1\n")
    assert answer(["compare", saved("good.json"), "release.yaml"]) == 2
    out = capsys.readouterr().out
    (before,) = (line for line in out.splitlines() if line.startswith("before: good.json"))
    assert "PASSED" in before
    assert "after : release.yaml: not read" in out
    assert "not judged" not in out


def test_a_verdict_that_was_edited_is_refused(saved, tmp_path, capsys):
    text = (tmp_path / saved("bad.json", 0.5)).read_text()
    (tmp_path / "edited.json").write_text(text.replace('"exit_code":1', '"exit_code":0'))
    assert answer(["compare", "bad.json", "edited.json"]) == 2
    assert "the verdict is not what its own measurements say" in capsys.readouterr().err


def test_no_report_may_replace_what_is_compared(saved, capsys):
    assert answer(["compare", saved("a.json"), saved("b.json"), "--report", "json:a.json"]) == 2
    assert "is read by this command" in capsys.readouterr().err
