"""`fidelity-gate lint`: files, folders and policies looked at to the end; exit codes; reports; no torch."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import lint_made
import numpy as np
import pytest
from onnx import helper

from fidelity_gate import registry
from fidelity_gate.analysis.linting import ROOM
from fidelity_gate.cli import answer
from fidelity_gate.policy.loading import load_policy_text
from fidelity_gate.records import Found, Location, LocationKind
from fidelity_gate.zoo.catalog import entry

ROOT = Path(__file__).resolve().parents[1]
ATTENTION, MIXING = "zoo:trm-attention-sudoku", "zoo:trm-mlp-sudoku"
VOCABULARY = ("--select", "FG507")  # answers with another number of tokens: needs a reference, and nothing else
CODES = sorted(registry.table_of(ROOM))
POLICY = """\
apiVersion: fidelity-gate/v1
name: sudoku-release
reference: {reference}
candidates:
  one: {{path: one.safetensors, uncompressed: true}}
  two: {{path: sub/two.safetensors, uncompressed: true}}
inputs: {{use: npz, path: eval.npz}}
recursion: {{h_cycles: 2, l_cycles: 2, steps: 8}}
lint: {{select: [FG507]}}
checks:
  carry-fidelity: {{metric: carry_fidelity, aggregate: mean, require: {{min: 0.97}}}}
  clean: {{metric: lint, require: {{max: 0}}}}
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a working folder with two models of the zoo, one of them in a folder below."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    shutil.copy(entry("trm-attention-sudoku").weights, tmp_path / "one.safetensors")
    shutil.copy(entry("trm-attention-sudoku").weights, tmp_path / "sub" / "two.safetensors")
    return tmp_path


def linted(capsys, *args: str) -> tuple[int, str, str]:
    code = answer(["lint", *args])
    out, err = capsys.readouterr()
    return code, out, err


def record(capsys, *args: str) -> tuple[int, dict]:
    code, out, _ = linted(capsys, *args, "--report", "json")
    return code, json.loads(out)


def steps(folder: Path, name: str, *, node: str = "add") -> Path:
    """Write a step graph with one state."""
    state = lint_made.value("z_H", [1, 4, 8])
    out = lint_made.value("z_H_out", [1, 4, 8])
    nodes = [
        helper.make_node("MatMul", ["z_H", "w"], ["h"], name=node),
        helper.make_node("Add", ["h", "z_H"], ["z_H_out"], name="sum"),
    ]
    return lint_made.save_onnx(folder, name, nodes, [state], [out], {"w": np.eye(8, dtype=np.float32)})


# ---------------------------------------------------------------- exit codes


def test_a_clean_model_passes_and_says_what_was_checked(folder, capsys):
    code, out, err = linted(capsys, "one.safetensors", "--reference", ATTENTION, *VOCABULARY)

    assert code == 0
    assert err == ""
    assert out == ("one.safetensors nothing found\n\n1 rule checked\nPASSED: nothing found in 1 model by 1 rule\n")


def test_an_error_fails_and_says_where_why_and_how_to_mend_it(folder, capsys):
    code, out, _ = linted(capsys, "one.safetensors", "--reference", MIXING, *VOCABULARY)
    rule = registry.find(ROOM, "FG507")

    assert code == 1
    assert "one.safetensors\n  error FG507 vocabulary-differs\n    answers with 6 tokens" in out
    assert f"    why: {rule.why}\n" in out
    assert f"    fix: {rule.fix}\n" in out
    assert out.splitlines()[-1] == "FAILED (exit 1): 1 error in 1 model"


@pytest.mark.parametrize(("fail_on", "code"), [("error", 0), ("warn", 1)])
def test_fail_on_says_what_blocks(folder, capsys, fail_on, code):
    options = (*VOCABULARY, "--severity", "FG507=warn", "--fail-on", fail_on)

    assert linted(capsys, "one.safetensors", "--reference", MIXING, *options)[0] == code


def test_a_rule_that_is_off_does_not_run(folder, capsys):
    code, _, err = linted(capsys, "one.safetensors", *VOCABULARY, "--severity", "FG=off")

    assert code == 2
    assert "these settings leave no rule to look with" in err


def test_a_model_that_no_rule_can_look_at_is_undecided_not_clean(folder, capsys):
    code, out, _ = linted(capsys, "one.safetensors", *VOCABULARY)

    assert code == 3
    assert "none of 1 lint rules could look at it (FG507: no reference was given)" in out
    assert out.splitlines()[-1] == "UNDECIDED (exit 3): 1 model could not be looked at"


def test_a_folder_is_looked_at_to_the_end_and_the_worst_outcome_wins(folder, capsys):
    (folder / "broken.safetensors").write_bytes(b"\x00" * 20)
    (folder / "empty.onnx").write_bytes(b"")
    code, found = record(capsys, ".", "--reference", MIXING, *VOCABULARY)

    assert code == 2
    assert [(model["path"], model["exit_code"]) for model in found["models"]] == [
        ("broken.safetensors", 2),
        ("empty.onnx", 2),
        ("one.safetensors", 1),
        ("sub/two.safetensors", 1),
    ]
    assert [model["error"].partition(":")[0] for model in found["models"]] == [
        "broken.safetensors",
        "empty.onnx",
        "",
        "",
    ]


def test_refusals_are_on_stderr_when_every_report_goes_to_a_file(folder, capsys):
    (folder / "empty.onnx").write_bytes(b"")
    code, out, err = linted(capsys, ".", "--reference", ATTENTION, *VOCABULARY, "--report", "json:found.json")

    assert (code, out) == (2, "")
    assert err == "fidelity-gate: error: empty.onnx: holds zero bytes (the download or the copy did not finish)\n"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ((), "no model was given"),
        (("nothing.onnx", "--target", "mcu-4"), "mcu-4mb"),
        (("one.safetensors", "--select", "FG99"), "--select: no lint rule is named 'FG99'"),
        (("one.safetensors", "--severity", "FG507"), "is not CODE=LEVEL"),
        (("one.safetensors", "--severity", "FG507=fatal"), "is not CODE=LEVEL"),
        (("one.safetensors", "--option", "FG507=1"), "is not CODE.NAME=VALUE"),
        (("one.safetensors", "--option", "FG507.tokens=1"), "FG507 has no option 'tokens'"),
        (("one.safetensors", "--reference", "gone.safetensors"), "gone.safetensors: there is no such file"),
        (("one.safetensors", "--model", "x"), "is not KEY=VALUE"),
        (("hollow",), "hollow: holds no models"),
        (("one.safetensors", "--report", "junit"), "junit"),
        (("one.safetensors", "--report", "json:one.safetensors"), "has the name of a model"),
    ],
)
def test_what_cannot_be_meant_is_refused(folder, capsys, args, said):
    (folder / "hollow").mkdir()
    (folder / "hollow" / "readme.txt").write_text("nothing")
    code, _, err = linted(capsys, *args)

    assert code == 2
    assert said in err
    assert err.count("\n") == 1
    assert (folder / "one.safetensors").stat().st_size > 0


def test_a_refusal_is_in_every_report_and_an_older_report_is_gone(folder, capsys):
    for name in ("found.json", "found.sarif"):
        (folder / name).write_text("yesterday's")
    reports = ("--report", "json:found.json", "--report", "sarif:found.sarif")
    code, _, _ = linted(capsys, "one.safetensors", "--select", "FG99", *reports)

    assert code == 2
    found = json.loads((folder / "found.json").read_text())
    assert found["exit_code"] == 2
    assert "FG99" in found["error"]
    (run,) = json.loads((folder / "found.sarif").read_text())["runs"]
    assert run["invocations"][0]["executionSuccessful"] is False
    assert run["invocations"][0]["exitCode"] == 2


def test_a_rule_that_breaks_is_a_bug_and_the_next_model_is_looked_at(folder, capsys, monkeypatch):
    rule = registry.find(ROOM, "FG507")

    def check(self, subject):
        if subject.name == "one.safetensors":
            raise ZeroDivisionError("by zero")
        return iter(())

    monkeypatch.setattr(rule, "check", check)
    code, found = record(capsys, ".", "--reference", MIXING, *VOCABULARY)

    assert code == 4
    assert [model["exit_code"] for model in found["models"]] == [4, 0]
    assert "lint rule FG507 broke: ZeroDivisionError: by zero" in found["models"][0]["error"]


# ---------------------------------------------------------------- which files


def test_folders_are_searched_for_models_by_name_and_by_their_first_bytes(folder, capsys):
    whole = (folder / "one.safetensors").read_bytes()
    (folder / "step_500").write_bytes(whole)
    (folder / "weights.bin").write_bytes(whole)
    for name in ("data.bin", "step_12"):
        (folder / name).write_bytes(b"not a model at all")
    for name in ("notes.txt", "step_5_all_preds.0", ".hidden.safetensors"):
        (folder / name).write_bytes(whole)
    (folder / ".cache").mkdir()
    (folder / ".cache" / "old.safetensors").write_bytes(whole)
    _, found = record(capsys, ".", "--reference", ATTENTION, *VOCABULARY)

    assert [model["path"] for model in found["models"]] == [
        "one.safetensors",
        "step_500",
        "sub/two.safetensors",
        "weights.bin",
    ]


def test_a_file_that_is_named_twice_is_looked_at_once(folder, capsys):
    _, found = record(
        capsys, "sub/two.safetensors", ".", "./one.safetensors", ATTENTION, "--reference", ATTENTION, *VOCABULARY
    )

    assert [model["path"] for model in found["models"]] == ["sub/two.safetensors", "one.safetensors", ATTENTION]


def test_the_record_says_what_was_looked_at_and_what_was_skipped(folder, capsys):
    code, found = record(capsys, "one.safetensors")
    (model,) = found["models"]

    assert found["schema"] == "fidelity-gate/lint/v1"
    assert found["exit_code"] == code
    assert model["digest"] == sha256((folder / "one.safetensors").read_bytes()).hexdigest()
    assert model["size_bytes"] == (folder / "one.safetensors").stat().st_size
    assert model["linted"]["skipped"]["FG507"] == "no reference was given"
    assert sorted([*model["linted"]["checked"], *model["linted"]["skipped"]]) == CODES
    assert [rule["code"] for rule in found["rules"]] == CODES


def test_the_zoo_is_clean_of_errors(capsys):
    """A healthy float32 model, held against itself."""
    code, out, _ = linted(capsys, ATTENTION, MIXING, "--reference", ATTENTION, "--ignore", "FG5")

    assert code == 0, out


# ---------------------------------------------------------------- a policy


@pytest.fixture
def policy(folder):
    def write(reference: str = MIXING) -> str:
        text = POLICY.format(reference=reference)
        load_policy_text(text, "release.yaml")
        (folder / "release.yaml").write_text(text)
        return "release.yaml"

    return write


def test_a_policy_alone_lints_its_candidates_by_its_own_settings(folder, policy, capsys):
    code, found = record(capsys, "--policy", policy())

    assert code == 1
    assert found["policy_name"] == "sudoku-release"
    assert [rule["code"] for rule in found["rules"]] == ["FG507"]
    assert [(model["candidate"], model["path"]) for model in found["models"]] == [
        ("one", "one.safetensors"),
        ("two", "sub/two.safetensors"),
    ]
    assert [model["place"]["line"] for model in found["models"]] == [5, 6]


def test_other_models_can_be_held_against_a_policy(folder, policy, capsys):
    code, found = record(capsys, "one.safetensors", "--policy", policy(), "--reference", ATTENTION)

    assert code == 0
    assert [model["path"] for model in found["models"]] == ["one.safetensors"]


@pytest.mark.parametrize(
    "option",
    [
        ("--select", "FG5"),
        ("--ignore", "FG507"),
        ("--severity", "FG507=off"),
        ("--option", "FG201.bits=4"),
        ("--target", "mcu-4mb"),
    ],
)
def test_the_command_line_changes_nothing_that_a_policy_says(folder, policy, capsys, option):
    code, _, err = linted(capsys, "--policy", policy(), *option)

    assert code == 2
    assert f"error: {option[0]}: is for the policy to say" in err


def test_a_policy_that_is_wrong_is_refused(folder, capsys):
    (folder / "release.yaml").write_text("apiVersion: fidelity-gate/v1\nname: x\nlint: {select: [FG99]}\n")

    assert linted(capsys, "--policy", "release.yaml")[0] == 2


# ---------------------------------------------------------------- what it says


def test_why_and_fix_are_said_once_a_rule(folder, capsys):
    _, out, _ = linted(capsys, ".", "--reference", MIXING, *VOCABULARY)

    assert out.count("error FG507") == 2
    assert out.count("why: ") == out.count("fix: ") == 1


def test_skipped_rules_are_grouped_by_what_they_lacked(folder, capsys):
    steps(folder, "step")
    code, out, _ = linted(capsys, "one.safetensors", "step.onnx", "--select", "FG201,FG501,FG507,FG508")

    assert code == 0
    assert "2 rules checked, 3 skipped\n" in out
    assert "  skipped: FG501, FG507 (no reference was given)\n" in out
    assert "  skipped: FG508 (the file is not a step graph; 1 of 2 models)\n" in out


HOSTILE = [
    "\x1b[2Jgone",
    "a\n::error file=x::owned",
    "x ##[error]owned",
    "\u202emirrored",
    "n" * 100_000,
    "]]><script>",
    "nul\x00byte",
]


@pytest.mark.parametrize("name", HOSTILE, ids=["ansi", "workflow", "marker", "bidi", "long", "xml", "nul"])
def test_a_hostile_name_reaches_no_report_raw(folder, capsys, name, monkeypatch):
    """Whether the reader of a format lets it through (safetensors) or refuses the file (ONNX)."""

    def check(self, subject):
        yield Found(Location(LocationKind.NODE, name, f"in {name}"), f"{name} is wrong")

    monkeypatch.setattr(registry.find(ROOM, "FG507"), "check", check)
    steps(folder, "step", node=name)
    options = ("step.onnx", "one.safetensors", "--reference", ATTENTION, *VOCABULARY)
    reports = ("--report", "terminal,color=true:out.txt", "--report", "sarif:out.sarif", "--report", "json:out.json")
    code, _, _ = linted(capsys, *options, *reports)
    text = (folder / "out.txt").read_text()

    assert code in (1, 2)
    for report in ("out.txt", "out.sarif", "out.json"):
        found = (folder / report).read_text()
        assert "::" not in found
        assert "##[" not in found
        assert len(found) < 200_000
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", re.sub(r"\x1b\[[0-9;]+m", "", text))
    assert "\x1b[2J" not in text
    (run,) = json.loads((folder / "out.sarif").read_text())["runs"]
    for result in run["results"]:
        assert all(character.isprintable() for character in result["message"]["text"])
    (_, model) = json.loads((folder / "out.json").read_text())["models"]
    assert model["linted"]["findings"][0]["location"]["name"][:900] == name[:900]


def test_colours_are_only_asked_for_on_a_terminal(folder, capsys):
    _, out, _ = linted(capsys, "one.safetensors", "--reference", MIXING, *VOCABULARY)
    assert "\x1b" not in out

    _, out, _ = linted(capsys, "one.safetensors", "--reference", MIXING, *VOCABULARY, "--report", "terminal,color=true")
    assert "\x1b[1;31merror FG507\x1b[0m" in out


# ---------------------------------------------------------------- rules explained


def test_list_shows_every_rule_with_its_severity_and_needs(capsys):
    code, out, _ = linted(capsys, "--list")

    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["code", *CODES]
    (row,) = [line for line in out.splitlines() if line.startswith("FG507")]
    assert re.match(r"FG507 +error +vocabulary-differs +reference +a candidate", row)


def test_list_shows_what_the_settings_leave(capsys):
    code, out, _ = linted(capsys, "--list", "--select", "FG5", "--severity", "FG507=warn", "--ignore", "FG501")
    rows = dict(line.split()[:2] for line in out.splitlines()[1:])

    assert code == 0
    assert sorted(rows) == [code for code in CODES if code.startswith("FG5") and code != "FG501"]
    assert rows["FG507"] == "warn"


@pytest.mark.parametrize("code", CODES)
def test_explain_says_everything_that_a_rule_says_of_itself(capsys, code):
    rule = registry.find(ROOM, code)
    exit_code, out, _ = linted(capsys, "--explain", code)
    said = " ".join(out.split())

    assert exit_code == 0
    assert out.startswith(f"{code} {rule.title} ({rule.severity.value};")
    assert rule.why in said
    assert rule.fix in said
    assert all(option in out for option in registry.option_types(rule))
    assert linted(capsys, "--explain", rule.title)[1] == out


def test_explaining_what_there_is_not_names_the_nearest(capsys):
    code, _, err = linted(capsys, "--explain", "vocabulary-difers")

    assert code == 2
    assert "did you mean vocabulary-differs?" in err


# ---------------------------------------------------------------- no runtime


@pytest.mark.parametrize("kind", ["safetensors", "artifact", "onnx"])
def test_lint_loads_neither_torch_nor_onnxruntime(folder, kind):
    path = {
        "safetensors": lambda: "one.safetensors",
        "artifact": lambda: _compressed(folder),
        "onnx": lambda: steps(folder, "step").name,
    }[kind]()
    program = (
        "import sys; from fidelity_gate.cli import answer; code = answer(['lint', sys.argv[1], '--reference', "
        "'one.safetensors', '--target', 'mcu-4mb', '--report', 'sarif:out.sarif']); "
        "sys.exit(code if code > 1 else 90 + len({'torch', 'onnxruntime', 'scipy', 'rich'} & set(sys.modules)))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program, path], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 90, done.stderr


def _compressed(folder: Path) -> str:
    assert answer(["compress", "one.safetensors", "--recipe", "int8", "-o", str(folder / "int8.safetensors")]) == 0
    return "int8.safetensors"
