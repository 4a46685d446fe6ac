"""`fidelity-gate report`: a saved verdict in another format; it is judged again, and must come out the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fidelity_gate.errors import Refused
from fidelity_gate.judge import judge
from fidelity_gate.reports import json as saved
from fidelity_gate.verbs.orders import Desk, parse_orders
from fidelity_gate.verbs.reporting import ReportingCommand, report_option
from fidelity_gate.wording import blocks

if TYPE_CHECKING:
    from fidelity_gate.records import Report

EPILOG = """\b
Examples:
  fidelity-gate report verdict.json --report junit:gate.xml
  fidelity-gate report verdict.json --report html:report.html
  fidelity-gate report verdict.json --report terminal

The exit code is the saved verdict's.
"""


@click.command(cls=ReportingCommand, epilog=EPILOG)
@click.argument("verdict")
@report_option()
def report(*, verdict: str, reports: tuple[str, ...]) -> int:
    """Render the file VERDICT (written by `--report json`) again."""
    orders = parse_orders(reports, keep=(verdict,))
    with Desk(orders) as desk:
        found = saved.read(verdict)
        desk.policy = found.policy
        refuse_untrue(found, verdict)
        return desk.close(found)


def refuse_untrue(found: Report, where: str) -> None:
    """Raise unless the verdict follows from what lies beside it: a file that was edited must not render as a pass."""
    if found.policy is None or found.measured is None:
        true = blocks(found) and found.verdict.exit_code != 0
    else:
        true = judge(found.policy, found.measured, found.past, found.created[:10]) == found.verdict and not found.error
    if not true:
        raise Refused("the verdict is not what its own measurements say", where=where, hint="judge or run again")
