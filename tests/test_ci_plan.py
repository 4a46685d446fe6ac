"""Whose policy counts: every event of GitHub, and what the action makes of the answer."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from actions import Expression, filled, outputs_of, read_yaml

from fidelity_gate import cli
from fidelity_gate.errors import UsageError
from fidelity_gate.verbs.ci_plan import Event, policy_source

STEPS = read_yaml(Path(__file__).resolve().parents[1] / "ci" / "action.yml")["runs"]["steps"]
CHECKOUT = next(step for step in STEPS if step.get("uses", "").startswith("actions/checkout@"))
MAIN = {"repository": {"default_branch": "main"}}

EVENTS = (
    ({"event_name": "pull_request", "base_ref": "main", "event": MAIN}, "refs/heads/main"),
    ({"event_name": "pull_request", "base_ref": "old", "event": MAIN, "ref_protected": True}, "refs/heads/old"),
    ({"event_name": "pull_request_target", "base_ref": "main", "ref": "refs/heads/main"}, "refs/heads/main"),
    ({"event_name": "merge_group", "event": {"merge_group": {"base_ref": "refs/heads/main"}}}, "refs/heads/main"),
    ({"event_name": "push", "ref": "refs/heads/main", "event": MAIN}, "the commit"),
    ({"event_name": "push", "ref": "refs/heads/old", "ref_protected": True, "event": MAIN}, "the commit"),
    ({"event_name": "push", "ref": "refs/heads/topic", "event": MAIN}, "refs/heads/main"),
    ({"event_name": "push", "ref": "refs/tags/v1", "event": MAIN}, "refs/heads/main"),
    ({"event_name": "workflow_dispatch", "ref": "refs/heads/topic", "event": MAIN}, "refs/heads/main"),
    ({"event_name": "schedule", "ref": "refs/heads/main"}, "the commit"),
)
UNKNOWN = ({"event_name": "merge_group", "event": MAIN}, {"event_name": "push", "ref": "refs/heads/x"})


def event_of(github):
    plan = next(step for step in STEPS if step.get("id") == "plan")
    contexts = {"github": github, "inputs": {"policy-from": "base"}}
    told = {name: filled(value, contexts) for name, value in plan["env"].items()}
    names = ("FG_EVENT", "FG_REF", "FG_REF_PROTECTED", "FG_BASE_REF", "FG_QUEUE_REF", "FG_DEFAULT_BRANCH")
    name, ref, protected, base, queue, default = (told[one] for one in names)
    return Event(name, ref, protected == "true", base, queue, default)


def checked_out(github, source, wanted="base"):
    contexts = {"github": github, "inputs": {"policy-from": wanted}, "steps": {"plan": {"outputs": {"from": source}}}}
    return Expression(CHECKOUT["with"]["ref"].strip()[3:-2], contexts).value()


@pytest.mark.parametrize(("github", "ref"), EVENTS)
def test_every_event_takes_the_policy_from_what_nobody_but_reviewers_can_change(github, ref) -> None:
    given = {"sha": "the commit", "base_ref": "", "ref": "", "ref_protected": False} | github
    assert checked_out(given, policy_source("base", event_of(given))) == ref


@pytest.mark.parametrize("github", UNKNOWN)
def test_an_event_that_does_not_say_its_base_is_refused(github) -> None:
    with pytest.raises(UsageError, match="does not say which branch"):
        policy_source("base", event_of({"sha": "x", "base_ref": "", "ref_protected": False} | github))


def test_a_ref_is_taken_as_it_is_and_an_answer_that_nobody_gave_checks_out_nothing() -> None:
    github = {"sha": "the commit", "base_ref": "main", "event": MAIN}
    event = event_of({"event_name": "pull_request", "ref": "", "ref_protected": False} | github)
    assert policy_source("workspace", event) == "workspace"
    assert checked_out(github, policy_source("v1", event), wanted="v1") == "v1"
    assert checked_out(github, "") == "refs/heads/no-such-branch"
    assert checked_out({**github, "event": {}}, "queue") == "refs/heads/no-such-branch"


def test_the_step_says_so_in_closed_words_and_names_a_folder_that_nobody_can_guess(tmp_path, monkeypatch) -> None:
    told = []
    for index in range(2):
        output = tmp_path / str(index)
        monkeypatch.setenv("GITHUB_OUTPUT", str(output))
        monkeypatch.setenv("FG_BASE_REF", "x'; $(id)")
        assert cli.answer(["ci", "plan"]) == 0
        told.append(outputs_of(output.read_text()))
    assert all(one["from"] == "base" for one in told)
    assert all(re.fullmatch(r"\.fidelity-gate-[0-9a-f]{16}", one["checkout"]) for one in told)
    assert told[0]["checkout"] != told[1]["checkout"]


def test_downloads_are_cached_in_runs_of_the_default_branch_alone_where_no_pull_request_can_have_filled_it() -> None:
    names = ("wanted", "downloads", "saved")
    cached = [step for step in STEPS if "cache" in step.get("uses", "") or step.get("id") == "wanted"]
    assert [step.get("id", "saved") for step in cached] == list(names)

    def wanted(inputs, **github):
        """Return which of the steps run; one that is skipped says nothing."""
        steps = {"wanted": {"outputs": {}}, "downloads": {"outputs": {}}}
        contexts = {"inputs": inputs, "github": {"event": MAIN, **github}, "steps": steps}
        done = []
        for name, step in zip(names, cached, strict=True):
            if Expression(step["if"], contexts).value():
                done.append(name)
                steps[name] = {"outputs": {"digest": "1"} if name == "wanted" else {}}
        return tuple(done)

    main = {"ref": "refs/heads/main", "event_name": "push"}
    asked = {"install": "true", "cache": "true"}
    assert wanted({"install": "true", "cache": "false"}, **main) == ()
    assert wanted({"install": "false", "cache": "true"}, **main) == ()
    assert wanted(asked, **main) == names
    assert wanted(asked, ref="refs/heads/main", event_name="schedule") == ("wanted", "downloads")
    assert wanted(asked, ref="refs/heads/main", event_name="schedule", event={}) == ()
    for ref, name in (("refs/pull/1/merge", "pull_request"), ("refs/heads/topic", "push"), ("refs/tags/main", "push")):
        assert wanted(asked, ref=ref, event_name=name) == ()
    assert wanted(asked, ref="refs/heads/gh-readonly-queue/main/pr-1", event_name="merge_group") == ()
