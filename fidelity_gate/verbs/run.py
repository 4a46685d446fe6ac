"""`fidelity-gate run`: measure, judge and report. The gate."""

from __future__ import annotations

import click

from fidelity_gate import measurements_file
from fidelity_gate.files import delete_stale, write_atomically
from fidelity_gate.verbs.keeping import add_to_history, checked_revision, with_history
from fidelity_gate.verbs.orders import Desk, parse_orders, refuse_overwriting
from fidelity_gate.verbs.reporting import ReportingCommand, report_option
from fidelity_gate.verbs.stages import judged, measure, prepare

EPILOG = """\b
Examples:
  fidelity-gate run release.yaml
  fidelity-gate run release.yaml --candidate int8=build/int8.safetensors --report junit:gate.xml --report terminal
  fidelity-gate run release.yaml --measurements measurements.json --report json:verdict.json
  fidelity-gate run release.yaml --history history.jsonl --revision "$(git rev-parse HEAD)"

What files alone say (sizes, lint) is judged first; where that fails, the models are not run: --keep-going runs them.

Exit codes: 0 may ship, 1 a check failed, 2 refused, 3 could not decide, 4 a bug of this tool.
"""


@click.command(cls=ReportingCommand, epilog=EPILOG)
@click.argument("policy")
@click.option("--reference", metavar="PATH", help="The reference model, instead of the policy's.")
@click.option("--candidate", "candidates", multiple=True, metavar="NAME=PATH", help="A candidate's file; repeatable.")
@click.option("--inputs", metavar="PATH", help="The file of probes, instead of the policy's.")
@report_option()
@click.option("--measurements", metavar="FILE", help="Save what was measured, for `fidelity-gate judge`.")
@click.option("--history", metavar="FILE", help="Compare with, and add to, this file of runs, instead of the policy's.")
@click.option("--revision", metavar="TEXT", help="What the history calls this run: a commit, a tag.")
@click.option("--keep-going", is_flag=True, help="Run the models even where the files alone fail a check already.")
@click.option(
    "--allow-code", is_flag=True, help="Run Python that the policy names (hooked models). Never for strangers."
)
def run(  # noqa: PLR0913  (one argument an option: click's way)
    *,
    policy: str,
    reference: str | None,
    candidates: tuple[str, ...],
    inputs: str | None,
    reports: tuple[str, ...],
    measurements: str | None,
    history: str | None,
    revision: str | None,
    keep_going: bool,
    allow_code: bool,
) -> int:
    """Measure the candidates of POLICY beside their reference, judge, and report."""
    read = (policy, reference or "", inputs or "", history or "", *(text.partition("=")[2] for text in candidates))
    orders = parse_orders(reports, keep=(*read, measurements or ""))
    with Desk(orders) as desk:
        if measurements:
            refuse_overwriting(measurements, read, option="--measurements")
            delete_stale(measurements)
        named = checked_revision(revision)
        desk.policy = prepare(policy, reference=reference, candidates=candidates, inputs=inputs)
        desk.policy = with_history(desk.policy, history)
        measured = measure(desk.policy, allow_code=allow_code, keep_going=keep_going)
        if measurements:
            write_atomically(measurements, measurements_file.dump(measured))
        report = judged(desk.policy, measured)
        add_to_history(report, named)
        return desk.close(report)
