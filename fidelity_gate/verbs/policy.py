"""`fidelity-gate policy`: check, show, explain, compare, test and start policies; loads neither torch nor a runtime."""

from __future__ import annotations

import click

from fidelity_gate.errors import UsageError
from fidelity_gate.verbs.policy_diff import diff
from fidelity_gate.verbs.policy_explain import explain
from fidelity_gate.verbs.policy_init import init, schema
from fidelity_gate.verbs.policy_lint import lint
from fidelity_gate.verbs.policy_show import show
from fidelity_gate.verbs.policy_test import test

VERBS = (lint, show, explain, diff, test, init, schema)

EPILOG = """\b
Examples:
  fidelity-gate policy init
  fidelity-gate policy lint release.gate.yaml
  fidelity-gate policy show release.gate.yaml
  fidelity-gate policy explain release.gate.yaml carry-fidelity
  fidelity-gate policy diff old.gate.yaml release.gate.yaml --fail-on looser
  fidelity-gate policy test policies/
"""


@click.group(epilog=EPILOG, invoke_without_command=True)
@click.pass_context
def policy(context: click.Context) -> None:
    """Check, show, explain, compare, test and start policy files."""
    if context.invoked_subcommand is None:
        names = ", ".join(verb.name or "" for verb in VERBS)
        raise UsageError("policy needs a verb of its own", hint=f"{names}; see policy --help")


for _verb in VERBS:
    policy.add_command(_verb)
