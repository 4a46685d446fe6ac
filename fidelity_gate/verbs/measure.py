"""`fidelity-gate measure`: step the models side by side and save what was measured."""

from __future__ import annotations

import click

from fidelity_gate import measurements_file
from fidelity_gate.files import delete_stale, write_atomically
from fidelity_gate.records import MeasureStatus
from fidelity_gate.verbs import stages
from fidelity_gate.verbs.orders import refuse_overwriting

EPILOG = """\b
Examples:
  fidelity-gate measure release.yaml -o measurements.json
  fidelity-gate measure release.yaml --candidate int8=build/int8.safetensors -o measurements.json
  fidelity-gate judge measurements.json --policy release.yaml
"""


@click.command(epilog=EPILOG)
@click.argument("policy")
@click.option("-o", "--output", required=True, metavar="FILE", help="Where to save the measurements (JSON).")
@click.option("--reference", metavar="PATH", help="The reference model, instead of the policy's.")
@click.option("--candidate", "candidates", multiple=True, metavar="NAME=PATH", help="A candidate's file; repeatable.")
@click.option("--inputs", metavar="PATH", help="The file of probes, instead of the policy's.")
@click.option(
    "--allow-code", is_flag=True, help="Run Python that the policy names (hooked models). Never for strangers."
)
def measure(  # noqa: PLR0913  (one argument an option: click's way)
    *,
    policy: str,
    output: str,
    reference: str | None,
    candidates: tuple[str, ...],
    inputs: str | None,
    allow_code: bool,
) -> int:
    """Measure everything that POLICY asks for, and judge nothing: no check that already fails stops it."""
    read = (policy, reference or "", inputs or "", *(text.partition("=")[2] for text in candidates))
    refuse_overwriting(output, read, option="--output")
    delete_stale(output)
    resolved = stages.prepare(policy, reference=reference, candidates=candidates, inputs=inputs)
    measured = stages.measure(resolved, allow_code=allow_code)
    write_atomically(output, measurements_file.dump(measured))
    missing = sum(one.status is not MeasureStatus.MEASURED for one in measured.measurements)
    told = f", {missing} not measured" if missing else ""
    count = len(measured.measurements)
    named = "1 measurement" if count == 1 else f"{count} measurements"
    click.echo(f"{named} on {measured.provenance.probes} probes{told}", err=True)
    return 0
