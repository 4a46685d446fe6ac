"""`fidelity-gate devices resume`: fetch a job of the device service that a run stopped waiting for."""

from __future__ import annotations

import click

from fidelity_gate.errors import UsageError
from fidelity_gate.text import printable
from fidelity_gate.units import format_value
from fidelity_gate.verbs.devices_record import JOB_ID, Word, of_job, save, word_options
from fidelity_gate.verbs.orders import refuse_overwriting
from fidelity_gate.verbs.stdout import write_stdout

EPILOG = """\b
Examples:
  fidelity-gate devices resume jabc123
  fidelity-gate devices resume jabc123 --model int8.onnx -o records/s24.json
  fidelity-gate devices resume jabc123 --timeout 2h -o records/s24.json

A run that stops waiting names its jobs, and they go on. Nothing is submitted, and nothing is paid for again. A policy
gates what is recorded here with `use: recorded`; running its own policy again finds the same job by itself.

Exit codes: 0 fetched, 2 no such thing as a job's id, 3 not done yet, failed (with the service's reason), or no client.
"""
DEFAULT_TIMEOUT = "30 min"


@click.command(epilog=EPILOG)
@click.argument("job")
@click.option("-o", "--output", default="", metavar="FILE", help="A file of records to add it to.")
@click.option("--timeout", default=DEFAULT_TIMEOUT, show_default=True, metavar="TIME", help="How long to wait.")
@word_options
def resume(  # noqa: PLR0913  (one argument an option: click's way)
    *, job: str, output: str, timeout: str, model: str, name: str, variant: str, precision: str
) -> int:
    """Wait for the job JOB, show what it said, and record it."""
    from fidelity_gate.devices import qai_hub_resuming

    if not JOB_ID.fullmatch(job):
        raise UsageError(f"'{printable(job, 40)}' is no id of a job", hint="as in the job's address: jabc123")
    if output:
        refuse_overwriting(output, (model,), option="--output")
    seconds = _seconds(timeout)
    run = qai_hub_resuming.resume(job, timeout=seconds, tell=_tell)
    found = of_job(run, Word(model=model, name=name, variant=variant, precision=precision))
    if output:
        save(output, (found,))
        return 0
    from fidelity_gate.verbs.devices_tables import profile_text

    write_stdout(profile_text(found) + "\n")
    return 0


def _seconds(text: str) -> float:
    from fidelity_gate.policy.quantities import QuantityError, parse_quantity

    try:
        seconds = parse_quantity(text, "duration")
    except QuantityError as error:
        raise UsageError(error.what, field="--timeout", hint=DEFAULT_TIMEOUT) from error
    if not 0 < seconds <= 7 * 86_400:
        raise UsageError(
            f"{format_value(seconds, 'duration')} is no time to wait", field="--timeout", hint="at most 168 h"
        )
    return seconds


def _tell(what: str) -> None:
    click.echo(f"waiting: {printable(what)}", err=True)
