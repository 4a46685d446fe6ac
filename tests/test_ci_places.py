"""What judges comes from the trusted checkout, what is judged from the workspace; no path leads across."""

from __future__ import annotations

import ci_repository
import pytest
from actions import git

from fidelity_gate.errors import PolicyError, UsageError
from fidelity_gate.verbs.ci_places import Given, head_of, placed

POLICY = """\
apiVersion: fidelity-gate/v1
name: quick
reference: {reference}
candidates: {{int8: {candidate}, int4: zoo:trm-addition}}
inputs: {{use: npz, path: {inputs}}}
recursion: {{h_cycles: 1, l_cycles: 2, steps: 2}}
devices: {{phone: {{use: recorded, path: {records}, device: a phone, runtime: tflite, max_age: 9 d}}}}
baseline: {{path: {baseline}}}
history: {{path: {history}}}
checks:
  no-larger: {{metric: model_size, require: {{max_regression: 1 %}}, against: baseline}}
  as-fast: {{metric: latency, options: {{device: phone}}, require: {{max_regression: 5 %}}, against: history}}
"""


@pytest.fixture
def folders(tmp_path):
    workspace, trusted = tmp_path / "workspace", tmp_path / "trusted"
    (trusted / "policies").mkdir(parents=True)
    workspace.mkdir()
    return workspace, trusted


def given(folders, written=None, **more):
    workspace, trusted = folders
    own = {"reference": "../ref.safetensors", "candidate": "../dist/int8.safetensors", "inputs": "eval.npz"}
    own |= {"records": "phone.json", "baseline": "main.json", "history": "runs.jsonl"}
    (trusted / "policies" / "release.yaml").write_text(POLICY.format(**own | (written or {})))
    rest = {"policy": "policies/release.yaml", "reference": "", "inputs": "", "candidates": ()} | more
    return Given(workspace=workspace, trusted=trusted, **rest)


def test_the_candidates_of_the_policy_are_the_workspaces_and_the_rest_is_the_checkouts(folders) -> None:
    found = placed(given(folders))
    assert (found.folder, found.policy, found.reference) == (folders[1], "policies/release.yaml", "")
    assert dict(found.candidates) == {"int8": str(folders[0] / "dist" / "int8.safetensors")}


def test_candidates_that_are_given_count_instead_of_the_policys(folders) -> None:
    found = placed(given(folders, candidates=("int8=a=b.safetensors", "int4=zoo:trm-addition")))
    assert dict(found.candidates) == {"int8": str(folders[0] / "a=b.safetensors"), "int4": "zoo:trm-addition"}


def test_a_policy_that_the_branch_itself_brings_counts_once_it_is_merged(folders) -> None:
    asked = given(folders, policy="policies/new.yaml")
    assert placed(asked).policy == "policies/new.yaml"  # there is none, which is the gate's to say
    (folders[0] / "policies").mkdir()
    (folders[0] / "policies" / "new.yaml").write_text("")
    with pytest.raises(UsageError, match="is not in the commit that judges, only here"):
        placed(asked)


def test_a_policy_that_is_wrong_is_left_for_the_gate_to_refuse(folders) -> None:
    asked = given(folders)
    (folders[1] / "policies" / "release.yaml").write_text("checks: {}")
    assert placed(asked).candidates == ()


def test_in_the_workspace_alone_everything_is_taken_as_it_is_given(folders) -> None:
    asked = Given("../p.yaml", "../ref", "npz:path=x", ("int8=../a",), folders[0], None)
    found = placed(asked)
    assert (found.folder, found.policy, found.reference) == (folders[0], "../p.yaml", "../ref")
    assert found.candidates == (("int8", "../a"),)


@pytest.mark.parametrize(
    "paths",
    [
        {"reference": "{workspace}/ref.safetensors"},
        {"inputs": "{workspace}/eval.npz"},
        {"candidate": "../../int8.safetensors"},
        {"reference": "../../workspace/ref.safetensors"},
        {"reference": "link/ref.safetensors"},
        {"inputs": "../../workspace/eval.npz"},
        {"records": "{workspace}/phone.json"},
        {"records": "../../workspace/phone.json"},
        {"baseline": "{workspace}/main.json"},
        {"history": "link/runs.jsonl"},
    ],
)
def test_a_policy_whose_own_paths_leave_the_checkout_for_what_is_judged_is_refused(folders, paths) -> None:
    (folders[1] / "policies" / "link").symlink_to(folders[0])
    paths = {key: value.format(workspace=folders[0]) for key, value in paths.items()}
    with pytest.raises(PolicyError, match=r"lies in the workspace|leads out of the repository"):
        placed(given(folders, paths))


@pytest.mark.parametrize(
    "more",
    [
        {"policy": "{workspace}/release.yaml"},
        {"policy": "../workspace/release.yaml"},
        {"policy": "policies/../../workspace/release.yaml"},
        {"policy": "link/release.yaml"},
        {"reference": "../workspace/ref.safetensors"},
        {"reference": "{workspace}/ref.safetensors"},
        {"reference": "{alias}/ref.safetensors"},
        {"inputs": "npz:path={workspace}/eval.npz,labels=labels"},
        {"inputs": "npz:labels=labels,path=../workspace/eval.npz"},
    ],
)
def test_what_is_given_may_not_lead_back_into_the_workspace(folders, tmp_path, more) -> None:
    workspace, trusted = folders
    (trusted / "link").symlink_to(workspace)
    (tmp_path / "alias").symlink_to(workspace)
    more = {key: value.format(workspace=workspace, alias=tmp_path / "alias") for key, value in more.items()}
    with pytest.raises(UsageError, match=r"lies in the workspace|leads out of the repository|is absolute"):
        placed(given(folders, **more))


def test_a_reference_outside_of_both_is_taken_by_its_absolute_path(folders, tmp_path) -> None:
    fetched = str(tmp_path / "fetched" / "ref.safetensors")
    assert placed(given(folders, {"reference": fetched})).folder == folders[1]
    assert placed(given(folders, reference=fetched)).reference == fetched


def test_the_commit_of_a_checkout_is_its_own_even_within_a_hook_of_another_repository(tmp_path, monkeypatch) -> None:
    for name in ("one", "other"):
        git("init", "--quiet", str(tmp_path / name))
        ci_repository.commit(tmp_path / name, {"file": name})
    wanted = git("-C", str(tmp_path / "one"), "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    assert head_of(tmp_path / "one") == wanted
    assert head_of(tmp_path / "none") == ""


def test_a_checkout_in_the_workspace_is_no_trusted_one(folders) -> None:
    inside = folders[0] / "base"
    inside.mkdir()
    for workspace, trusted in ((folders[0], inside), (inside, folders[0]), (folders[0], folders[0])):
        with pytest.raises(UsageError, match="are one in the other"):
            placed(Given("release.yaml", "", "", (), workspace, trusted))
