"""The files for CI, and the examples on their pages: schemas, actionlint, zizmor, and the rules of this house."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from actions import Expression, filled, read_yaml
from docs_pages import Written as Shown
from docs_pages import blocks, things_to_do

from fidelity_gate.verbs.ci_gate import Order
from fidelity_gate.verbs.ci_places import Given
from fidelity_gate.verbs.ci_runner import FORMS
from fidelity_gate.verbs.ci_verdict import Run
from fidelity_gate.verbs.orders import parse_orders

ROOT = Path(__file__).resolve().parents[1]
ACTIONS = [ROOT / "ci" / name for name in ("action.yml", "require/action.yml", "reference/action.yml")]
WORKFLOWS = sorted((ROOT / "ci" / "workflows").glob("*.yml"))
PAGES = [ROOT / "docs" / name for name in ("ci-github.md", "ci-gitlab.md", "ci-jenkins.md", "ci-pre-commit.md")]
PIN = re.compile(r"uses: (\S+)@([0-9a-f]{40})( # v\d+\.\d+\.\d+)?$")
OURS = "example-org/fidelity-gate"


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """Return a repository with the files and every example of the pages, as somebody would have copied them."""
    folder = tmp_path_factory.mktemp("files")
    shutil.copytree(ROOT / "ci" / "workflows", folder / ".github" / "workflows")
    shutil.copytree(ROOT / "ci", folder / "ci", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    for page in PAGES:
        for shown in things_to_do(page):
            if isinstance(shown, Shown):
                path = folder / shown.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(shown.text)
    return folder


def tool(name, *arguments, **options):
    path = Path(sys.executable).parent / name
    done = subprocess.run([str(path), *map(str, arguments)], capture_output=True, text=True, check=False, **options)
    return done.returncode, done.stdout + done.stderr


def workflows_of(repository):
    return sorted((repository / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [
        ("github-actions", "ci/**/action.yml"),
        ("github-workflows", ".github/workflows/*.yml"),
        ("gitlab-ci", "**/*gitlab*.yml"),
    ],
)
def test_every_file_and_every_example_is_what_its_schema_says(repository, schema, pattern) -> None:
    files = sorted(repository.glob(pattern))
    assert len(files) >= 2
    code, said = tool("check-jsonschema", "--builtin-schema", f"vendor.{schema}", *files)
    assert code == 0, said


def test_the_schema_refuses_what_is_wrong(tmp_path) -> None:
    wrong = tmp_path / "action.yml"
    wrong.write_text((ROOT / "ci" / "action.yml").read_text().replace("using: composite", "using: bash"))
    assert tool("check-jsonschema", "--builtin-schema", "vendor.github-actions", wrong)[0] == 1


def test_actionlint_finds_nothing_in_workflows_and_examples(repository) -> None:
    code, said = tool("actionlint", "-no-color", "-shellcheck=", *workflows_of(repository), cwd=repository)
    assert code == 0, said


def test_zizmor_finds_nothing_of_weight_and_in_our_own_files_not_even_what_auditors_ask(repository, tmp_path) -> None:
    examples = [path for path in workflows_of(repository) if not (ROOT / "ci" / "workflows" / path.name).exists()]
    plain = ("--offline", "--no-progress", "--format", "json")
    environment = {**os.environ, "HOME": str(tmp_path)}
    # Examples call `./.github/...`, which GitHub Enterprise knows too; the newer `$/` is of low severity.
    for more, files in ((("--min-severity", "medium"), examples), (("--persona", "auditor"), [*ACTIONS, *WORKFLOWS])):
        assert len(files) >= 2
        code, said = tool("zizmor", *plain, *more, *files, env=environment)
        assert code == 0, said
    wrong = tmp_path / "action.yml"
    wrong.write_text((ROOT / "ci" / "action.yml").read_text().replace('"$RUNNER_TEMP/', '"${{ inputs.policy }}/'))
    assert tool("zizmor", *plain, wrong, env=environment)[0] != 0


def test_scripts_get_what_people_write_through_variables_alone() -> None:
    for path in ACTIONS + WORKFLOWS:
        for run in _values(read_yaml(path), "run"):
            assert "${{" not in run, path
            assert "GITHUB_ENV" not in run
            assert "GITHUB_PATH" not in run
    for script in (ROOT / "ci").glob("*.sh"):
        text = script.read_text()
        assert "set -euo pipefail" in text
        assert "eval" not in text
        assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
        assert os.access(script, os.X_OK)


def test_every_action_of_others_is_pinned_by_its_commit_and_the_same_everywhere() -> None:
    found = {}
    texts = [path.read_text() for path in ACTIONS + WORKFLOWS] + [page.read_text() for page in PAGES]
    for line in (line.strip().removeprefix("- ") for text in texts for line in text.splitlines()):
        if not line.startswith("uses:") or line.startswith("uses: ./"):
            continue
        match = PIN.fullmatch(line)
        assert match, line
        assert match[1].startswith(OURS) or match[3], line
        found.setdefault(match[1].removesuffix("/restore").removesuffix("/save"), set()).add(match[2])
    assert len(found) >= 6
    assert all(len(commits) == 1 for commits in found.values())


def test_workflows_ask_for_no_more_than_they_need_and_keep_no_credentials(repository) -> None:
    for path in workflows_of(repository):
        workflow = read_yaml(path)
        assert workflow["permissions"] == {}, path
        for name, job in workflow["jobs"].items():
            granted = {key for key, value in job["permissions"].items() if value == "write"}
            assert granted == ({"id-token", "attestations"} if name == "attest" else set()), (path, name)
    for path in [*ACTIONS, *workflows_of(repository)]:
        for step in _steps(read_yaml(path)):
            if "actions/checkout@" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False


def test_the_required_job_always_runs_after_the_gate(repository) -> None:
    for name in ("fidelity-gate.yml", "gate.yml"):
        jobs = read_yaml(repository / ".github" / "workflows" / name)["jobs"]
        job = jobs["required"]
        assert (job["needs"], job["if"], job["permissions"]) == ("gate", "always()", {})
        (step,) = job["steps"]
        assert step["uses"].startswith(f"{OURS}/ci/require@")
        assert step["with"]["gate-result"] == "${{ needs.gate.result }}"
        assert jobs["gate"]["outputs"]["verdict-digest"] == "${{ steps.gate.outputs.verdict-digest }}"


def test_the_gate_goes_on_where_a_reference_was_fetched_or_none_was_asked_for(repository) -> None:
    gate = read_yaml(repository / ".github" / "workflows" / "fidelity-gate.yml")["jobs"]["gate"]
    condition = gate["if"].removeprefix("${{").removesuffix("}}")
    goes_on = {
        result: bool(Expression(condition, {"needs": {"reference": {"result": result}}}).value())
        for result in ("success", "skipped", "failure", "cancelled", "")
    }
    assert goes_on == {"success": True, "skipped": True, "failure": False, "cancelled": False, "": False}
    (given,) = (step["with"]["reference"] for step in gate["steps"] if step.get("id") == "gate")
    asked = {"reference": "ref.pt", "reference-url": "", "reference-file": "r.pt"}
    contexts = {"inputs": asked, "runner": {"temp": "/temp"}}
    assert filled(given, contexts) == "ref.pt"
    asked["reference-url"] = "https://a/b"
    assert filled(given, contexts) == "/temp/fidelity-gate-reference/r.pt"


@pytest.mark.parametrize("result", ["success", "failure", "cancelled", "skipped", "", "success failure", "$(true)"])
def test_the_one_job_over_a_matrix_passes_only_where_every_gate_did(repository, result) -> None:
    job = read_yaml(repository / ".github" / "workflows" / "matrix.yml")["jobs"]["all"]
    assert (job["needs"], job["if"]) == ("fidelity", "always()")
    (step,) = job["steps"]
    variables = {
        name: filled(value, {"needs": {"fidelity": {"result": result}}}) for name, value in step["env"].items()
    }
    done = subprocess.run(["bash", "-e", "-c", step["run"]], env=variables, check=False)
    assert (done.returncode == 0) == (result == "success")


def test_the_workflows_give_the_actions_only_inputs_that_they_have(repository) -> None:
    known = {f"{OURS}/{path.parent.relative_to(ROOT)}": path for path in ACTIONS}
    seen = 0
    for path in workflows_of(repository):
        for step in _steps(read_yaml(path)):
            action = known.get(step.get("uses", "").partition("@")[0])
            if action is not None:
                inputs = read_yaml(action)["inputs"]
                assert set(step["with"]) <= set(inputs)
                assert {name for name, one in inputs.items() if one.get("required")} <= set(step["with"])
                seen += 1
    assert seen >= 6


def test_the_page_lists_every_input_and_output_and_the_step_writes_every_output() -> None:
    action = read_yaml(ACTIONS[0])
    text = PAGES[0].read_text()
    listed = {
        name for row in re.findall(r"^\| (`[^|]*`) \|", text, re.MULTILINE) for name in re.findall("`([^`]+)`", row)
    }
    assert listed == set(action["inputs"]) | set(action["outputs"]) | set(read_yaml(ACTIONS[2])["inputs"])
    for name, one in action["outputs"].items():
        assert one["value"] == f"${{{{ steps.gate.outputs.{name} }}}}"
        assert name in FORMS


@pytest.mark.parametrize("name", ["fidelity-gate.yml", "release.yml"])
def test_the_command_in_a_workflow_that_was_copied_alone_puts_in_where_the_project_is(name: str, tmp_path) -> None:
    copy = tmp_path / ".github" / "workflows" / name
    copy.parent.mkdir(parents=True)
    shutil.copy(ROOT / "ci" / "workflows" / name, copy)
    (line,) = re.findall(r"^#   (sed .*)$", copy.read_text(), re.MULTILINE)
    line = line.replace("OWNER", "me").replace("SHA", "a" * 40)
    subprocess.run(["bash", "-c", line], cwd=tmp_path, check=True)
    text = "\n".join(one for one in copy.read_text().splitlines() if "sed -i" not in one)
    assert "example-org" not in text
    assert "0" * 40 not in text
    used = [step["uses"] for step in _steps(read_yaml(copy)) if "fidelity" in step.get("uses", "")]
    wanted = {f"me/fidelity-gate/{part}@{'a' * 40}" for part in ("ci", "ci/require", "ci/reference")}
    assert len(used) >= 2
    assert set(used) <= wanted


def test_the_hook_runs_policy_lint_over_policies_alone() -> None:
    (hook,) = read_yaml(ROOT / ".pre-commit-hooks.yaml")
    assert (hook["entry"], hook["language"]) == ("fidelity-gate policy lint", "python")
    assert set(hook) <= {*("id", "name", "description", "entry", "language", "files", "exclude", "require_serial")}
    names = (
        "release.gate.yaml",
        "policies/a.yml",
        "x/policies/a.yaml",
        "policies/a.expect.yaml",
        "policies/zoo/a.yaml",
        "a.yaml",
    )
    taken = [name for name in names if re.search(hook["files"], name) and not re.search(hook["exclude"], name)]
    assert taken == list(names[:3])
    (repository,) = read_yaml_text(PAGES[3], ".pre-commit-config.yaml")["repos"]
    assert repository["hooks"] == [{"id": hook["id"]}]


def test_every_yaml_on_the_pages_has_a_name_by_which_it_is_checked() -> None:
    for page in PAGES:
        shown = [one for one in things_to_do(page) if isinstance(one, Shown)]
        assert len(shown) == sum(block.language == "yaml" for block in blocks(page))
        assert not re.search(r"^[ \t]+```", page.read_text(), re.MULTILINE)  # nobody would look into such a block


def test_the_reports_of_ci_are_of_all_the_files_that_are_uploaded(tmp_path) -> None:
    order = Order(Given("p.yaml", "", "", (), tmp_path, None), Run("c"), tmp_path)
    assert len(parse_orders(order.reports)) == len(order.files)
    assert all(file.name.startswith("fidelity-gate") for file in (*order.files.values(), order.verdict_file))
    gitlab = read_yaml(ROOT / "ci" / "gitlab.yml")[".fidelity-gate"]
    assert gitlab["artifacts"]["reports"]["junit"].endswith(order.files["junit"].name)
    assert f"'fidelity-gate-reports/{order.files['junit'].name}'" in (ROOT / "ci" / "Jenkinsfile").read_text()
    assert json.dumps(gitlab["rules"]) == '[{"when": "always"}]'


def read_yaml_text(page, name):
    from ruamel.yaml import YAML

    (text,) = [one.text for one in things_to_do(page) if isinstance(one, Shown) and one.name == name]
    return YAML(typ="safe", pure=True).load(text)


def _values(node, key):
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key and isinstance(value, str):
                yield value
            yield from _values(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from _values(value, key)


def _steps(made):
    if "runs" in made:
        yield from made["runs"]["steps"]
    for job in made.get("jobs", {}).values():
        yield from job.get("steps", [])
