"""`policy test`: expectation files say what a policy makes of figures, ours hold, and a wrong one is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from made import measured, measurement

from fidelity_gate import cli, measurements_file
from fidelity_gate.policy.expecting import ExpectationsBlock, read_expectations
from fidelity_gate.policy.loading import examine
from fidelity_gate.records import ModelRecord, Severity
from fidelity_gate.verbs.policy import policy

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "policies" / "tests"
POLICY = """apiVersion: fidelity-gate/v1
name: p
candidates: {int8: a, int4: b}
recursion: {h_cycles: 2, l_cycles: 2, steps: 3}
targets: [soc-8mb]
checks:
  mean: {metric: carry_fidelity, aggregate: mean, require: {min: 0.9}}
  tail: {metric: carry_fidelity, aggregate: p05, require: {min: 0.5}}
  answers: {metric: answer_agreement, options: {level: puzzle}, aggregate: mean, require: {min: 95 %}}
  sram: {metric: sram_peak, require: {max: target.sram}}
  drop: {metric: cell_accuracy_drop, aggregate: mean, require: {max: 1 %}, severity: warn}
"""
HEAD = "apiVersion: fidelity-gate/expect-v1\npolicy: p.yaml\n"
FIGURES = "figures: {carry_fidelity: 0.99, answer_agreement: 100 %, sram_peak: 1 MiB, cell_accuracy_drop: 0}\n"


def run(*args: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(policy, ["test", *map(str, args)], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.return_value or 0, result.output


def outcome_of(folder: Path, cases: str, head: str = HEAD + FIGURES) -> tuple[int, str]:
    (folder / "p.yaml").write_text(POLICY)
    path = folder / "p.expect.yaml"
    path.write_text(f"{head}cases:\n{cases}")
    return run(path)


# ---------------------------------------------------------------- ours


def test_our_own_policies_make_of_figures_what_we_expect() -> None:
    code, output = run(TESTS)
    assert code == 0, output
    assert output.splitlines()[-1].endswith(" as expected, 0 not")
    assert len(output.splitlines()) > 25


SHIPPED = sorted(
    path for path in (ROOT / "policies").rglob("*.yaml") if path.parent != TESTS and path.name != "base.yaml"
)


def expected_of(path: Path) -> list[ExpectationsBlock]:
    """Return every file of expectations about a policy."""
    found = [read_expectations(file.read_bytes(), str(file)) for file in sorted(TESTS.glob("*.expect.yaml"))]
    return [one.block for one in found if Path(one.policy).resolve() == path]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_check_of_every_policy_that_ships_is_expected_to_pass_and_to_fail(path: Path) -> None:
    cases = [case for block in expected_of(path) for case in block.cases.values()]
    assert {0, 1} <= {case.expect.exit for case in cases}
    failing = {
        name.partition("@")[0]
        for case in cases
        for name, outcomes in case.expect.checks.items()
        if "fail" in (outcomes.values() if isinstance(outcomes, dict) else [outcomes])
    }
    policy = examine(path.read_bytes(), str(path)).policy
    assert policy is not None
    assert failing == {check.id for check in policy.checks if check.severity is Severity.ERROR}


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("min: 0.93}}", "min: 0.5}}"),
        ("aggregate: p05, require: {min: 0.80}", "aggregate: p05, require: {min: 0.3}"),
        ("require: {max: 0}", "require: {max: 1}"),
        ("max: target.sram", "max: 9 MiB"),
        ("minimum_probes: 100", "minimum_probes: 50"),
        ("limit: 0.99}", "limit: 0.9}"),
        ("require: {min: 95 %}}", "require: {min: 90 %}}"),
    ],
)
def test_a_base_policy_that_was_loosened_no_longer_does_what_is_expected(tmp_path: Path, old: str, new: str) -> None:
    text = (ROOT / "policies" / "base-recursive.yaml").read_text(encoding="utf-8")
    assert old in text
    loosened = text.replace(old, new, 1).replace(
        "targets: [soc-8mb]\n", "" if "9 MiB" in new else "targets: [soc-8mb]\n"
    )
    (tmp_path / "base-recursive.yaml").write_text(loosened)
    (tmp_path / "tests").mkdir()
    expectations = (
        (TESTS / "base-recursive.expect.yaml").read_text(encoding="utf-8").replace("fits-sram@soc-8mb", "fits-sram")
    )
    (tmp_path / "tests" / "base-recursive.expect.yaml").write_text(expectations)
    code, output = run(tmp_path)
    assert code == 1
    assert "FAIL" in output


# ---------------------------------------------------------------- cases


def test_a_case_that_comes_out_as_expected_is_one_line(tmp_path: Path) -> None:
    code, output = outcome_of(tmp_path, "  good:\n    expect: {exit: 0, others: pass}\n")
    assert (code, output) == (0, f"ok    {tmp_path}/p.expect.yaml:5:3: good\n1 case: 1 as expected, 0 not\n")


def test_a_difference_names_the_check_the_candidate_and_both_outcomes(tmp_path: Path) -> None:
    case = "  bad:\n    figures_of: {int4: {carry_fidelity: 0.8}}\n"
    case += "    expect: {exit: 0, checks: {mean: pass, sram: fail}, others: pass}\n"
    code, output = outcome_of(tmp_path, case)
    assert code == 1
    lines = output.splitlines()
    assert lines[0] == f"FAIL  {tmp_path}/p.expect.yaml:5:3: bad"
    assert lines[1].strip().startswith("exit: expected 0, got 1 (")
    assert "mean int4: expected pass, got fail (mean int4: 0.8000 < 0.9)" in output
    assert "sram int8@soc-8mb: expected fail, got pass" in output
    assert lines[-1] == "1 case: 0 as expected, 1 not"


def test_others_are_all_that_is_not_named(tmp_path: Path) -> None:
    case = "  bad:\n    figures: {answer_agreement: 90 %}\n    expect: {exit: 1, others: pass}\n"
    assert "answers int8: expected pass like all others, got fail" in outcome_of(tmp_path, case)[1]
    assert outcome_of(tmp_path, case.replace(", others: pass", ""))[0] == 0


@pytest.mark.parametrize(
    ("figures", "outcome"),
    [
        ("carry_fidelity: 0.9", "mean: pass, tail: pass"),
        ("carry_fidelity: 0.8999999", "mean: fail, tail: pass"),
        ("carry_fidelity: [{value: 1, probes: 95}, {value: 0, probes: 5}]", "mean: pass, tail: fail"),
        ("carry_fidelity: [{value: 1, probes: 96}, {value: 0, probes: 4}]", "mean: pass, tail: pass"),
        ("carry_fidelity: not-measured", "mean: not-measured, tail: not-measured"),
        ("answer_agreement: 94 %", "answers: fail"),
        ("answers: 95 %", "answers: pass"),
        ("sram_peak: 8 MiB", "sram@soc-8mb: pass"),
        ("sram_peak: 8.01 MiB", "sram: fail"),
        ("cell_accuracy_drop: 2 %", "drop: warn"),
    ],
)
def test_figures_are_judged_as_measurements_are(tmp_path: Path, figures: str, outcome: str) -> None:
    blocked = any(word in outcome for word in ("fail", "not-measured"))
    code = 3 if "not-measured" in outcome else int(blocked)
    case = f"  x:\n    figures: {{{figures}}}\n    expect: {{exit: {code}, checks: {{{outcome}}}, others: pass}}\n"
    assert outcome_of(tmp_path, case) == (0, f"ok    {tmp_path}/p.expect.yaml:5:3: x\n1 case: 1 as expected, 0 not\n")


def test_a_metric_without_a_figure_was_not_measured(tmp_path: Path) -> None:
    case = "  x:\n    expect: {exit: 3, checks: {answers: not-measured}}\n"
    assert outcome_of(tmp_path, case, HEAD + FIGURES.replace("answer_agreement: 100 %, ", ""))[0] == 0


def test_few_probes_and_a_chaotic_reference_decide_nothing(tmp_path: Path) -> None:
    expect = "expect: {exit: 3, checks: {mean: inconclusive, sram: pass}}\n"
    assert outcome_of(tmp_path, f"  x:\n    probes: 50\n    {expect}")[0] == 0
    assert outcome_of(tmp_path, f"  x:\n    noise_floor: 0.98\n    {expect}")[0] == 0
    assert outcome_of(tmp_path, f"  x:\n    {expect}")[0] == 1


def test_a_saved_measurement_is_judged_as_it_is(tmp_path: Path) -> None:
    text = POLICY.replace(", int4: b", "").split("  tail:")[0].replace("targets: [soc-8mb]\n", "")
    (tmp_path / "q.yaml").write_text(text)
    (tmp_path / "saved").mkdir()
    one = measurement((0.95,) * 100, options=(("at", "last"), ("stream", "first"), ("tokens", "mean")))
    (tmp_path / "saved" / "m.json").write_bytes(measurements_file.dump(measured(one, probes=100)))
    path = tmp_path / "q.expect.yaml"
    head = HEAD.replace("p.yaml", "q.yaml")
    path.write_text(f"{head}cases:\n  x: {{measurements: saved/m.json, expect: {{exit: 0, checks: {{mean: pass}}}}}}\n")
    assert run(path)[0] == 0
    path.write_text(path.read_text().replace("mean: pass", "mean: fail"))
    assert run(path)[0] == 1


def test_measurements_of_another_run_are_refused_by_the_judge_and_can_be_expected(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(POLICY)
    (tmp_path / "m.json").write_bytes(measurements_file.dump(replace(measured(), noise_floor=None)))
    path = tmp_path / "p.expect.yaml"
    path.write_text(f"{HEAD}cases:\n  x: {{measurements: m.json, expect: {{exit: 2}}}}\n")
    assert run(path)[0] == 0


# ---------------------------------------------------------------- waivers, and parts of the probes

WAIVED = """waiver_rules: {max_days: 30}
waivers:
  w:
    check: answers
    candidate: int4
    digest: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
    floor: {min: 90 %}
    reason: the app asks again
    ticket: ML-1
    owner: ada
    created: 2026-11-01
    expires: 2026-11-20
checks:"""


@pytest.mark.parametrize(
    ("case", "expect"),
    [
        ("", "exit: 0, others: pass"),
        ("figures_of: {int4: {answer_agreement: 92 %}}", "exit: 0, checks: {answers: {int4: waived}}, others: pass"),
        ("figures_of: {int4: {answer_agreement: 90 %}}", "exit: 0, checks: {answers: {int4: waived}}, others: pass"),
        ("figures_of: {int4: {answer_agreement: 89 %}}", "exit: 1, checks: {answers: {int4: fail}}, others: pass"),
        ("figures_of: {int8: {answer_agreement: 92 %}}", "exit: 1, checks: {answers: {int8: fail}}, others: pass"),
        ("figures_of: {int4: {answers: not-measured}}", "exit: 3, checks: {answers: {int4: not-measured}}"),
        ("day: 2026-11-20", "exit: 0, others: pass"),
        ("day: 2026-11-21", "exit: 2"),
        ("day: 2026-10-31", "exit: 2"),
        (f"digests: {{int4: {'b' * 64}}}", "exit: 0"),
        (f"digests: {{int4: {'c' * 64}}}", "exit: 2"),
    ],
)
def test_waivers_count_in_cases_as_they_do_in_runs(tmp_path: Path, case: str, expect: str) -> None:
    (tmp_path / "p.yaml").write_text(POLICY.replace("checks:", WAIVED, 1))
    text = f"{HEAD}{FIGURES}day: 2026-11-10\ncases:\n  x:\n    {case or 'probes: 100'}\n    expect: {{{expect}}}\n"
    (tmp_path / "p.expect.yaml").write_text(text)
    assert run(tmp_path)[1].startswith("ok ")


def test_a_case_without_a_day_is_refused_where_the_policy_has_waivers(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(POLICY.replace("checks:", WAIVED, 1))
    (tmp_path / "p.expect.yaml").write_text(f"{HEAD}{FIGURES}cases:\n  x: {{expect: {{exit: 0}}}}\n")
    code, output = run(tmp_path)
    assert code == 2
    assert "cases.x: says no day, and the policy has waivers (day: 2026-11-01" in output


def test_a_saved_measurement_is_judged_on_the_day_of_its_case(tmp_path: Path) -> None:
    waived = WAIVED.replace("answers", "mean").replace("int4", "int8").replace("min: 90 %", "min: 0.8")
    text = POLICY.replace(", int4: b", "").split("  tail:")[0].replace("targets: [soc-8mb]\n", "")
    second = "  share: {metric: compressed_share, require: {min: 90 %}}\n"
    (tmp_path / "p.yaml").write_text(text.replace("checks:", waived, 1) + second)
    options = (("at", "last"), ("stream", "first"), ("tokens", "mean"))
    fidelity = measurement((0.85,) * 100, options=options)
    share = replace(
        measurement((1.0,), metric="compressed_share", options=()), unit="fraction", per_probe=False, floored=False
    )
    found = measured(fidelity, share, probes=100)
    found = replace(found, candidates=(named(found.candidates[0], "b" * 64),))
    (tmp_path / "m.json").write_bytes(measurements_file.dump(found))
    case = "  x: {measurements: m.json, day: 2026-11-10, expect: {exit: 0, checks: {mean: waived}, others: pass}}\n"
    (tmp_path / "p.expect.yaml").write_text(f"{HEAD}cases:\n{case}")
    assert run(tmp_path)[1].startswith("ok ")
    (tmp_path / "p.expect.yaml").write_text(f"{HEAD}cases:\n{case.replace('11-10', '11-21')}")
    assert "exit: expected 0, got 2" in run(tmp_path)[1]


def named(record: ModelRecord, digest: str) -> ModelRecord:
    return replace(record, facts=replace(record.facts, digest=digest))


def test_a_check_of_a_part_of_the_probes_gets_figures_for_that_part(tmp_path: Path) -> None:
    text = POLICY.split("  mean:")[0].replace("targets: [soc-8mb]\n", "devices: {d: {use: qai_hub, device: D}}\n")
    check = "metric: device_answer_agreement, options: {device: d, probes: 8, level: puzzle}, aggregate: mean"
    (tmp_path / "p.yaml").write_text(f"{text}  part: {{{check}, require: {{min: 80 %}}}}\n")
    path = tmp_path / "p.expect.yaml"
    case = "cases:\n  x: {figures: {part: 87.5 %}, expect: {exit: 0, others: pass}}\n"
    path.write_text(f"{HEAD}probes: 200\n{case}")
    assert run(path)[1].startswith("ok ")
    path.write_text(f"{HEAD}probes: 200\n{case.replace('87.5', '87')}")
    assert "of 8 probes that share is not a whole number of them" in run(path)[1]


# ---------------------------------------------------------------- which files, which cases


def test_a_folder_is_searched_and_cases_can_be_chosen(tmp_path: Path) -> None:
    below = tmp_path / "below"
    below.mkdir()
    outcome_of(below, "  one:\n    expect: {exit: 0}\n  two:\n    expect: {exit: 1}\n")
    assert run(tmp_path)[0] == 1
    assert run(tmp_path, "-k", "one")[0] == 0
    assert cli.answer(["policy", "test", str(tmp_path), "-k", "three"]) == 2


def test_a_folder_without_expectations_is_no_success(tmp_path: Path) -> None:
    assert cli.answer(["policy", "test", str(tmp_path)]) == 2


def test_expectations_are_no_policies_to_lint(tmp_path: Path) -> None:
    outcome_of(tmp_path, "  x:\n    expect: {exit: 0}\n")
    result = CliRunner().invoke(policy, ["lint", str(tmp_path)], standalone_mode=False)
    assert result.output.startswith("warning") or "1 policy: 0 errors" in result.output


# ---------------------------------------------------------------- what is wrong


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("  x: {expect: {exit: 0, checks: {meen: pass}}}\n", "5:34: cases.x.expect.checks.meen: 'meen' is not a check"),
        ("  x: {expect: {exit: 0, checks: {mean: passed}}}\n", "'passed' is no outcome (did you mean pass?)"),
        ("  x: {expect: {exit: 0, checks: {mean: {int9: pass}}}}\n", "'int9' is not a candidate (did you mean int8"),
        ("  x: {expect: {exit: 5}}\n", "cases.x.expect.exit: the number 5 is not known here (known: 0, 1, 2, 3)"),
        ("  x: {expect: {exit: 0}, digests: {int4: abc}}\n", "'abc' is no SHA-256 (64 digits, 0 to 9 and a to f"),
        (f"  x: {{expect: {{exit: 0}}, digests: {{int9: {'a' * 64}}}}}\n", "'int9' is not a candidate (did you mean"),
        ("  x: {expect: {exit: 0}, day: 2026-02-30}\n", "cases.x.day: is no day of the calendar"),
        ("  x: {expect: {exit: 0}, day: 31.1.2026}\n", "cases.x.day: '31.1.2026' is no day (written like 2026-01-31)"),
        ("  x: {expect: {exit: 0}, figures: {carry_fidelty: 1}}\n", "did you mean carry_fidelity?"),
        ("  x: {expect: {exit: 0}, figures: {carry_fidelity: 1.5}}\n", "carry_fidelity cannot be 1.5"),
        ("  x: {expect: {exit: 0}, figures: {sram_peak: 5}}\n", "'5' has no unit"),
        ("  x: {expect: {exit: 0}, figures: {answer_agreement: 99.5 %}}\n", "not a whole number of them"),
        ("  x: {expect: {exit: 0}, figures: {mean: 0.9, tail: 0.8}}\n", "look at the same values of carry_fidelity"),
        ("  x: {expect: {exit: 0}, figures: {carry_fidelity: [{value: 1, probes: 3}]}}\n", "have 3 probes"),
        ("  x: {expect: {exit: 0}, figures: {carry_fidelity: [1, 2]}}\n", "the number 1 is no figure"),
        ("  x: {expect: {exit: 0}, figures: {sram_peak: [{value: 1 MiB, probes: 100}]}}\n", "is one number"),
        ("  x: {expect: {exit: 0}, figures_of: {int9: {}}}\n", "'int9' is not a candidate"),
        ("  x: {expect: {exit: 0}, figrues: {}}\n", "unknown key 'figrues' (did you mean figures"),
        ("  x: {expect: {exit: 0}, measurements: m.json, probes: 5}\n", "measurements or figures, not both"),
        ("  x: {expect: {exit: 0}, measurements: m.json}\n", "there is no such file"),
        ("  x: {}\n", "cases.x.expect: is missing"),
    ],
)
def test_a_wrong_expectation_is_told_and_refused(
    tmp_path: Path, case: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a line is cut where the folder's name is long
    code, output = outcome_of(Path(), case)
    assert code == 2
    assert said in output
    assert output.startswith("error: ")


def test_a_policy_that_names_no_candidates_needs_them_of_the_file(tmp_path: Path) -> None:
    case = "  x: {expect: {exit: 0}}\n"
    assert "names its candidates itself" in outcome_of(tmp_path, case, f"{HEAD}candidates: [a]\n{FIGURES}")[1]
    (tmp_path / "p.yaml").write_text(POLICY.replace("candidates: {int8: a, int4: b}\n", ""))
    path = tmp_path / "p.expect.yaml"
    path.write_text(f"{HEAD}{FIGURES}cases:\n{case}")
    assert "names no candidates" in run(path)[1]
    path.write_text(f"{HEAD}candidates: [a]\n{FIGURES}cases:\n{case}")
    assert run(path)[0] == 0


def test_one_wrong_file_does_not_keep_the_others_from_being_judged(tmp_path: Path) -> None:
    outcome_of(tmp_path, "  x: {expect: {exit: 0}}\n")
    (tmp_path / "a.expect.yaml").write_text("nonsense: 1\n")
    (tmp_path / "z.expect.yaml").write_text(
        f"{HEAD.replace('p.yaml', 'missing.yaml')}cases:\n  x: {{expect: {{exit: 0}}}}\n"
    )
    code, output = run(tmp_path)
    assert code == 2
    assert output.splitlines()[-1] == "1 case: 1 as expected, 0 not; 2 errors"
    assert any(line.startswith(f"error: {tmp_path}/z.expect.yaml:2:9: ") for line in output.splitlines())


@pytest.mark.parametrize("data", [b"", b"\0", b"a: &a [*a]", b"[" * 50_000, b"#" * 70_000, b"\xff\xfe"])
def test_hostile_files_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.expect.yaml"
    path.write_bytes(data)
    code, output = run(path)
    assert code == 2
    assert output.startswith(f"error: {path}")
