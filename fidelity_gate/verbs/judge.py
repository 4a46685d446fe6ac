"""`fidelity-gate judge`: a saved measurement against a policy, without torch."""

from __future__ import annotations

import click

from fidelity_gate import measurements_file
from fidelity_gate.verbs.orders import Desk, parse_orders
from fidelity_gate.verbs.reporting import ReportingCommand, report_option
from fidelity_gate.verbs.stages import briefly, judged, prepare_for

EPILOG = """\b
Examples:
  fidelity-gate judge measurements.json --policy release.yaml
  fidelity-gate judge measurements.json --policy stricter.yaml --report junit:gate.xml

The policy must ask for the same run: the same candidates, depth, seed, threads, batch and noise perturbation. Another
policy than the one that was measured must name the same reference and the same inputs, too.
"""


@click.command(cls=ReportingCommand, epilog=EPILOG)
@click.argument("measurements")
@click.option("--policy", required=True, metavar="POLICY", help="The policy to judge by.")
@report_option()
def judge(*, measurements: str, policy: str, reports: tuple[str, ...]) -> int:
    """Judge the file MEASUREMENTS against a policy, in well under a second."""
    orders = parse_orders(reports, keep=(measurements, policy))
    with briefly(), Desk(orders) as desk:
        measured = measurements_file.read(measurements)
        desk.policy = prepare_for(policy, measured)
        return desk.close(judged(desk.policy, measured))
