"""The policy verb: lint tells errors and weaknesses, init writes what lint accepts, nothing loads torch."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner

from fidelity_gate import cli
from fidelity_gate.policy.json_schema import schema_text
from fidelity_gate.policy.loading import examine
from fidelity_gate.policy.yaml_reader import read_tree
from fidelity_gate.verbs.policy import policy
from fidelity_gate.verbs.policy_init import DEFAULT_PATH

ROOT = Path(__file__).resolve().parents[1]
CASES = ROOT / "tests" / "cases" / "policy"
SHIPPED = sorted((ROOT / "policies").glob("*.yaml"))
STARTER = (ROOT / "policies" / "starter.yaml").read_text(encoding="utf-8")
HEAD = "apiVersion: fidelity-gate/v1\nname: p\nrecursion: {h_cycles: 1, l_cycles: 1, steps: 2}\n"
FIDELITY = "  f: {metric: carry_fidelity, aggregate: mean, require: {min: 0.9}}\n"
TAIL = "  t: {metric: carry_fidelity, aggregate: worst, require: {min: 0.5}}\n"
NORM = "  n: {metric: carry_norm_ratio, aggregate: mean, require: {min: 0.9, max: 1.1}}\n"
ANSWERS = "  a: {metric: answer_agreement, options: {level: puzzle}, aggregate: mean, require: {min: 0.95}}\n"
SHARE = "  s: {metric: compressed_share, require: {min: 90 %}}\n"
SIZE = "  z: {metric: model_size, require: {max: 1 MB}}\n"


def run(*args: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(policy, [str(arg) for arg in args], standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.return_value or 0, result.output


def rules(checks: str, *, head: str = HEAD) -> list[str]:
    found = examine(f"{head}checks:\n{checks}".encode(), "p.yaml")
    assert found.problems == ()
    return [advice.rule for advice in found.advice]


# ---------------------------------------------------------------- weaknesses


def test_a_policy_that_sees_everything_has_no_weakness() -> None:
    assert rules(FIDELITY + TAIL + NORM + ANSWERS + SHARE) == []


@pytest.mark.parametrize(
    ("checks", "rule"),
    [
        (FIDELITY + NORM + ANSWERS + SHARE, "mean-only"),
        (FIDELITY + TAIL + ANSWERS + SHARE, "scale-blind"),
        (FIDELITY + TAIL + NORM + SHARE, "answers-unseen"),
        (FIDELITY + TAIL + NORM + ANSWERS, "share-unseen"),
        (SHARE + SIZE, "files-only"),
        (FIDELITY + TAIL + NORM.replace(", max: 1.1", "") + ANSWERS + SHARE, "one-sided"),
        (FIDELITY + TAIL + NORM + ANSWERS.replace("0.95", "99.5 %") + SHARE, "unresolved"),
        (FIDELITY + TAIL + NORM + ANSWERS + SHARE + SIZE.replace("MB}", "MB}, severity: off"), "switched-off"),
    ],
)
def test_each_weakness_is_told_alone(checks: str, rule: str) -> None:
    assert rules(checks) == [rule]


def test_a_policy_whose_candidates_are_all_uncompressed_is_not_asked_for_their_share() -> None:
    plain = "{path: b.onnx, uncompressed: true}"
    assert rules(FIDELITY + TAIL + NORM + ANSWERS, head=f"{HEAD}candidates: {{a: {plain}}}\n") == []
    found = rules(FIDELITY + TAIL + NORM + ANSWERS, head=f"{HEAD}candidates: {{a: {plain}, c: c.onnx}}\n")
    assert found == ["share-unseen"]


@pytest.mark.parametrize(("count", "minimum", "found"), [(40, 100, True), (100, 100, False), (40, 40, False)])
def test_a_count_that_is_less_than_what_the_policy_wants_is_told_at_its_line(
    count: int, minimum: int, found: bool
) -> None:
    more = "" if minimum == 100 else f"minimum_probes: {minimum}\n"
    head = f"{HEAD}inputs: {{use: npz, path: e.npz, count: {count}}}\n{more}"
    advice = examine(f"{head}checks:\n{FIDELITY + TAIL + NORM + ANSWERS + SHARE}".encode(), "p.yaml").advice
    told = [(one.rule, one.place.line) for one in advice if one.rule == "too-few-inputs"]
    assert told == ([("too-few-inputs", 4)] if found else [])
    static = examine(f"{head}checks:\n{SHARE + SIZE}".encode(), "p.yaml").advice
    assert "too-few-inputs" not in [one.rule for one in static]


@pytest.mark.parametrize(
    "check", ["require: {max: target.flash}", "targets: [soc8], require: {max: target.flash}"], ids=["all", "named"]
)
def test_a_target_that_is_misspelt_is_told_once_where_it_is_listed(check: str) -> None:
    text = f"{HEAD}targets: [soc8]\nchecks:\n  z: {{metric: model_size, {check}}}\n"
    problems = [str(problem) for problem in examine(text.encode(), "p.yaml").problems]
    assert [("soc-8mb" in one, one.startswith("p.yaml:4:")) for one in problems] == [(True, True)]


def test_a_policy_of_consecutive_similarity_alone_is_told_that_it_is_blind() -> None:
    checks = "  c: {metric: consecutive_similarity, aggregate: worst, require: {min: 0.1, max: 0.999}}\n"
    assert "only-consecutive" in rules(checks + SHARE)


def test_few_probes_and_idle_limits_are_told() -> None:
    head = HEAD + "minimum_probes: 5\ntargets: [{name: b, flash: 1 MB, latency: 1 ms}]\n"
    flash = SIZE.replace("1 MB", "target.flash")
    answers = ANSWERS.replace("0.95", "0.8")
    assert sorted(rules(FIDELITY + TAIL + NORM + answers + SHARE + flash, head=head)) == ["few-probes", "idle-limit"]


LINT = "  l: {metric: lint, require: {max: 0}}\n"
WHOLE = FIDELITY + TAIL + NORM + ANSWERS + SHARE


def test_a_lint_block_that_no_check_reads_is_told_at_its_own_line() -> None:
    head = HEAD + "lint: {ignore: [FG4]}\n"
    found = examine(f"{head}checks:\n{WHOLE}".encode(), "p.yaml")
    assert [(advice.rule, advice.place.line) for advice in found.advice] == [("idle-lint", 4)]
    assert rules(WHOLE + LINT, head=head) == []
    assert rules(WHOLE + LINT.replace("0}", "0}, severity: off"), head=head) == ["idle-lint", "switched-off"]


def test_a_number_of_findings_that_is_let_through_is_told() -> None:
    assert rules(WHOLE + LINT.replace("max: 0", "max: 3")) == ["any-findings"]


def test_an_energy_model_that_no_check_uses_is_told() -> None:
    assert rules(WHOLE, head=HEAD + "energy_models: {npu: {mj_per_gflop: 0.4}}\n") == ["idle-energy-model"]


def test_show_tells_properties_of_targets_lint_settings_and_energy_models() -> None:
    output = run("show", "--table", CASES / "pass" / "lint-targets-and-energy.yaml")[1]
    assert "static only, tile 64, INT8 from 300 tokens, 3 operators, opset up to 18" in output
    assert "only FG4, FG505, FG506; not FG402; FG4 error; FG404 off; FG505 warn; FG505 share=0.2" in output
    assert "0.4 mJ for 1 GFLOP (measured on the board, 2026-10)" in output


def test_every_weakness_is_explained_in_the_docs() -> None:
    modules = sorted((ROOT / "fidelity_gate" / "policy").glob("advice*.py"))
    source = "".join(module.read_text(encoding="utf-8") for module in modules)
    documented = (ROOT / "docs" / "policy.md").read_text(encoding="utf-8")
    found = set(re.findall(r'Advice\(\s*"([a-z-]+)"', source))
    assert len(found) > 20
    assert [rule for rule in sorted(found) if f"`{rule}`" not in documented] == []


# ---------------------------------------------------------------- the verb


def test_lint_of_a_sound_policy_exits_0_and_counts() -> None:
    code, output = run("lint", CASES / "pass" / "minimal.yaml")
    assert code == 0
    assert output.splitlines()[-1] == "1 policy: 0 errors, 2 warnings"


def test_strict_lint_exits_2_for_warnings() -> None:
    assert run("lint", "--strict", CASES / "pass" / "minimal.yaml")[0] == 2


def test_lint_of_a_folder_tells_every_error_of_every_file_and_exits_2() -> None:
    code, output = run("lint", CASES)
    assert code == 2
    count = sum(1 for _ in CASES.rglob("*.yaml"))
    assert output.splitlines()[-1].startswith(f"{count} policies: ")
    told = {line.split(":")[1].strip() for line in output.splitlines() if line.startswith("error: ")}
    assert {str(file) for file in (CASES / "error").iterdir()} <= told


def test_lint_tells_all_errors_of_one_file(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(f"{HEAD}minimum_prbes: 1\nchecks:\n{FIDELITY.replace('mean', 'men')}")
    code, output = run("lint", path)
    assert code == 2
    assert output.splitlines()[-1] == "1 policy: 2 errors, 0 warnings"
    assert f"error: {path}:4:1: minimum_prbes: unknown key" in output


def test_lint_of_a_missing_file_is_an_error_and_of_an_empty_folder_too(tmp_path: Path) -> None:
    assert run("lint", tmp_path / "missing.yaml")[0] == 2
    assert cli.answer(["policy", "lint", str(tmp_path)]) == 2


def test_lint_output_holds_no_control_characters(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_bytes(b'apiVersion: "\\e[31m::error::"\n')
    assert "\x1b" not in run("lint", path)[1]


def test_init_writes_a_policy_that_lint_accepts_without_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("init")[0] == 0
    code, output = run("lint", "--strict", DEFAULT_PATH)
    assert (code, output) == (0, "1 policy: 0 errors, 0 warnings\n")


def test_every_example_in_what_init_writes_is_one_when_its_sign_is_taken_away() -> None:
    examples = re.findall(r"^ *#[^ #\n].*$", STARTER, re.MULTILINE)
    assert len(examples) >= 10
    whole = re.sub(r"^( *)#(?=[^ #\n])", r"\1", STARTER, flags=re.MULTILINE)
    found = examine(whole.encode(), "p.yaml")
    assert [str(problem) for problem in found.problems] == []
    assert found.policy is not None
    assert {"no-worse", "in-time", "exact-drop", "lost-token"} <= {check.id for check in found.policy.checks}
    assert max(map(len, STARTER.splitlines())) <= 130


def test_init_calls_the_file_by_its_name_in_the_commands_that_it_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("init", "my gate.yaml")[1].endswith("fidelity-gate policy lint 'my gate.yaml'\n")
    assert "#   fidelity-gate run 'my gate.yaml' " in (tmp_path / "my gate.yaml").read_text()


def test_init_replaces_nothing_unless_it_is_forced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("precious")
    assert cli.answer(["policy", "init", str(path)]) == 2
    assert path.read_text() == "precious"
    assert "--force" in capsys.readouterr().err
    assert cli.answer(["policy", "init", str(path), "--force"]) == 0
    assert path.read_text(encoding="utf-8") == STARTER.replace("THIS_FILE", str(path))


def test_init_writes_to_standard_output_and_refuses_other_names(tmp_path: Path) -> None:
    assert run("init", "-")[1] == STARTER.replace("THIS_FILE", DEFAULT_PATH)
    assert cli.answer(["policy", "init", str(tmp_path / "model.safetensors")]) == 2


def test_show_tells_one_check_a_target_and_where_names_come_from() -> None:
    output = run("show", "--table", CASES / "pass" / "everything.yaml")[1]
    assert len(re.findall(r"^ sram ", output, re.MULTILINE)) == 2
    assert "H=1 L=6 steps=16" in output
    assert "(from the command line)" in run("show", "--table", CASES / "pass" / "minimal.yaml")[1]


def test_show_as_json_is_the_resolved_policy() -> None:
    shown = json.loads(run("show", "--json", CASES / "pass" / "everything.yaml")[1])
    assert shown["recursion"] == {"h_cycles": 3, "l_cycles": 6, "steps": 16}
    assert [check["target"] for check in shown["checks"] if check["id"] == "sram"] == ["soc-8mb", "board"]


def test_show_of_a_wrong_policy_is_refused() -> None:
    assert cli.answer(["policy", "show", str(CASES / "error" / "anchor.yaml")]) == 2


@pytest.mark.parametrize("verb", ["lint", "schema", "init", "show", "explain", "diff", "test"])
def test_help_ends_with_examples(verb: str) -> None:
    assert f"fidelity-gate policy {verb}" in CliRunner().invoke(policy, [verb, "--help"]).output


def test_the_policy_verb_loads_neither_torch_nor_a_runtime() -> None:
    heavy = ("torch", "bitsandbytes", "onnxruntime", "onnx")
    code = (
        "import sys; from fidelity_gate import cli\n"
        f"code = cli.answer(['policy', 'lint', {str(CASES / 'pass')!r}]) or cli.answer(['policy', 'schema'])\n"
        f"sys.exit(code or (3 if [name for name in {heavy!r} if name in sys.modules] else 0))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()


# ---------------------------------------------------------------- shipped policies and the schema


@pytest.mark.parametrize("file", SHIPPED, ids=[file.stem for file in SHIPPED])
def test_a_shipped_policy_has_neither_errors_nor_weaknesses(file: Path) -> None:
    found = examine(file.read_bytes(), str(file))
    assert [str(problem) for problem in found.problems] == []
    assert [advice.rule for advice in found.advice] == []


def test_the_committed_schema_is_the_one_that_is_printed() -> None:
    committed = (ROOT / "policies" / "schema.json").read_text(encoding="utf-8")
    assert committed == schema_text(), "run: fidelity-gate policy schema > policies/schema.json"


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = json.loads(schema_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize(
    "file", [*sorted((CASES / "pass").glob("*.yaml")), *SHIPPED], ids=lambda file: f"{file.parent.name}-{file.stem}"
)
def test_the_schema_accepts_what_the_gate_accepts(file: Path, validator: jsonschema.Draft202012Validator) -> None:
    validator.validate(read_tree(file.read_bytes(), "p.yaml").plain())


@pytest.mark.parametrize(
    "name",
    [
        "unknown-key-at-the-top",
        "unknown-key-in-a-check",
        "unknown-key-in-a-candidate",
        "future-api-version",
        "no-recursion",
        "empty-checks",
        "depth-is-zero",
        "name-with-a-dot",
        "unknown-metric",
        "unknown-option",
        "wrong-option-value",
        "no-aggregate",
        "unknown-aggregate",
        "aggregate-on-one-value",
        "unknown-source",
        "lint-unknown-key",
        "lint-unknown-code",
        "lint-severity-of-no-rule",
        "lint-severity-unknown",
        "lint-unknown-option",
        "target-unknown-property",
        "energy-model-unknown-key",
        "energy-model-with-a-dot",
    ],
)
def test_the_schema_refuses_what_an_editor_can_see(name: str, validator: jsonschema.Draft202012Validator) -> None:
    plain = read_tree((CASES / "error" / f"{name}.yaml").read_bytes(), "p.yaml").plain()
    assert not validator.is_valid(plain)


def test_every_key_of_the_schema_is_described() -> None:
    schema = json.loads(schema_text())
    blocks = {"PolicyBlock": schema, **schema["$defs"]}
    silent = [
        f"{block}.{key}"
        for block, body in blocks.items()
        for key, value in body.get("properties", {}).items()
        if "description" not in value and "$ref" not in value
    ]
    assert silent == []
