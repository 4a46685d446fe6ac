"""`fidelity-gate ci`: what the files in `ci/` of this project call, and what shell should not do there."""

from __future__ import annotations

import click

from fidelity_gate.errors import UsageError
from fidelity_gate.verbs.lazy_group import LazyGroup

EPILOG = """\b
Examples:
  fidelity-gate ci run policies/release.yaml --reports reports --commit "$(git rev-parse HEAD)"
  fidelity-gate ci require reports/fidelity-gate-verdict.json --commit "$(git rev-parse HEAD)"

GitHub, GitLab and Jenkins: docs/ci-github.md, docs/ci-gitlab.md, docs/ci-jenkins.md.
"""
# Name -> where its command is, and what the group's help says of it without importing it.
COMMANDS = {
    "run": ("fidelity_gate.verbs.ci_run:run", "The gate with every report and a verdict file."),
    "require": ("fidelity_gate.verbs.ci_require:require", "Whether a verdict file says passed, on this commit."),
    "plan": ("fidelity_gate.verbs.ci_plan:plan", "A step of the GitHub action: whose policy counts."),
    "github": ("fidelity_gate.verbs.ci_github:github", "A step of the GitHub action: the gate itself."),
}


@click.group(cls=LazyGroup, table=COMMANDS, epilog=EPILOG, invoke_without_command=True)
@click.pass_context
def ci(context: click.Context) -> None:
    """Run the gate in a CI, and hold later jobs to what it said."""
    if context.invoked_subcommand is None:
        raise UsageError("ci needs a verb of its own", hint=f"{', '.join(COMMANDS)}; see ci --help")
