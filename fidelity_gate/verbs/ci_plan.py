"""`fidelity-gate ci plan`: whose policy counts, as a step of the GitHub action."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import click

from fidelity_gate.errors import UsageError
from fidelity_gate.verbs.ci_runner import of_process


@dataclass(frozen=True, slots=True)
class Event:
    """What started the workflow, as far as it decides whose policy counts."""

    name: str
    ref: str
    protected: bool
    base: str
    queue: str
    default: str


@click.command()
def plan() -> None:
    """Say which commit the policy is taken from (a step of the GitHub action, which sets FG_ variables)."""
    runner = of_process()
    event = Event(
        runner.text("FG_EVENT"),
        runner.text("FG_REF"),
        runner.text("FG_REF_PROTECTED") == "true",
        runner.text("FG_BASE_REF"),
        runner.text("FG_QUEUE_REF"),
        runner.text("FG_DEFAULT_BRANCH"),
    )
    source = policy_source(runner.text("FG_POLICY_FROM") or "base", event)
    checkout = "" if source == "workspace" else f".fidelity-gate-{secrets.token_hex(8)}"
    runner.say({"from": source, "checkout": checkout})
    click.echo(f"the policy is taken from: {source}", err=True)


def policy_source(wanted: str, event: Event) -> str:
    """Return where policy, reference and inputs come from.

    `base` is what a pull request cannot change: its base branch; the base of a merge queue; the commit itself where it
    is on the default branch or on a protected one; and the default branch for everything else, because a check that
    a push to somebody's branch gets counts for the pull request of the same commit.

    Raises:
        UsageError: nobody says which branch that is.
    """
    if wanted != "base":
        return "workspace" if wanted == "workspace" else "ref"
    if event.base:
        return "base"
    if event.name == "merge_group":
        return _known("queue", event.queue)
    if event.protected or event.name == "schedule" or (event.default and event.ref == f"refs/heads/{event.default}"):
        return "commit"
    return _known("default", event.default)


def _known(source: str, ref: str) -> str:
    if not ref:
        hint = "policy-from: a branch, a tag or a commit"
        raise UsageError("the event does not say which branch is the base", field="policy-from", hint=hint)
    return source
