"""`fidelity-gate devices show`: recorded profiles as a table, which meet a budget, and what else they say."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from fidelity_gate.errors import NotMeasured, UsageError
from fidelity_gate.registry import unknown
from fidelity_gate.verbs.devices_budgets import MEMORY, SIZE, STATISTICS, STEP, Budget, Reading, exit_code
from fidelity_gate.verbs.devices_given import Filter, profiles_of
from fidelity_gate.verbs.stdout import write_stdout

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fidelity_gate.device_findings import DeviceFinding
    from fidelity_gate.device_records.saved import SavedProfile
    from fidelity_gate.records import Target
    from fidelity_gate.verbs.devices_budgets import Standing

EPILOG = """\b
Examples:
  fidelity-gate devices show records/s24.json
  fidelity-gate devices show records/*.json --max-step 30ms --max-memory 200MiB
  fidelity-gate devices show policies/examples/trm-table11.json --max-step 30ms
  fidelity-gate devices show aihub_profiles.json --model 'resnet*' --precision w8a8 --json

FILE holds records, rows that somebody published, or a saved run of the gate. Times are of one run of the graph; a step
is as many runs as the record says. --max-memory holds the largest figure that a record has against the budget, and
names it. Findings say where a quantized model is slower than its float twin, or runs layers on the CPU, and why, as far
as the records tell; they decide nothing.

Exit codes: 0 shown, and every budget is met; 1 a budget is missed; 2 refused; 3 a figure for a budget is not known.
"""
HEXAGON = "hexagon-npu"


@click.command(epilog=EPILOG)
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--max-step", default="", metavar="TIME", help="Say which make an ACT step in that time: 30ms.")
@click.option("--max-memory", default="", metavar="SIZE", help="Say which peak under that: 200MiB.")
@click.option("--max-size", default="", metavar="SIZE", help="Say whose model file is under that: 8MiB.")
@click.option(
    "--statistic",
    type=click.Choice(STATISTICS),
    default="p50",
    show_default=True,
    help="Of the timed runs; where there are none, the one figure of the source counts.",
)
@click.option("--runs-per-step", type=click.IntRange(min=1), help="Runs that make an ACT step, where nothing says it.")
@click.option(
    "--target", default=HEXAGON, show_default=True, metavar="NAME", help="Whose known wants explain findings."
)
@click.option("--model", default="", metavar="PATTERN", help="Only models of this name; * stands for anything.")
@click.option("--device", default="", metavar="PATTERN", help="Only these devices.")
@click.option("--runtime", default="", metavar="PATTERN", help="Only these runtimes.")
@click.option("--precision", default="", metavar="PATTERN", help="Only these precisions.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON, in seconds and bytes.")
def show(  # noqa: PLR0913  (one argument an option: click's way)
    *,
    files: tuple[str, ...],
    max_step: str,
    max_memory: str,
    max_size: str,
    statistic: str,
    runs_per_step: int | None,
    target: str,
    model: str,
    device: str,
    runtime: str,
    precision: str,
    as_json: bool,
) -> int:
    """Show the profiles in FILE, which of them meet a budget, and what they say that nobody asked for."""
    from fidelity_gate.device_records.comparing import findings

    budgets = _budgets((STEP, max_step), (MEMORY, max_memory), (SIZE, max_size))
    known = tuple(record for file in files for record in profiles_of(file))
    wanted = Filter(model, device, runtime, precision)
    chosen = tuple(record for record in known if wanted.takes(record))
    if not known:
        raise NotMeasured("holds no profile", where=", ".join(files), hint="devices record writes them")
    if not chosen:
        raise NotMeasured(f"none of {len(known)} profiles is one of these", hint="patterns: --device 'Samsung*'")
    reading = Reading(statistic, runs_per_step)
    standings = tuple(reading.standing(record, budget) for budget in budgets for record in chosen)
    # What a filter left out is still compared with: what is told of a profile does not depend on what else is shown.
    found = tuple(findings(chosen, known, (_target(target),)))
    now = datetime.now(UTC)
    if as_json:
        from fidelity_gate.verbs import devices_tables

        write_stdout(devices_tables.as_json(chosen, standings, found, now) + "\n")
    else:
        write_stdout(_text(chosen, standings, found, now) + "\n")
    return int(exit_code(standings))


def _text(
    records: Sequence[SavedProfile], standings: Sequence[Standing], found: Sequence[DeviceFinding], now: datetime
) -> str:
    from fidelity_gate.verbs.devices_tables import budget_text, evidence, faults, findings_text, table

    parts = [table(records, now), "\n".join(evidence(records))]
    parts += ["\n".join(["not usable", *(f"  {line}" for line in wrong)])] if (wrong := faults(records)) else []
    for budget in dict.fromkeys(one.budget for one in standings):
        parts.append(budget_text(budget, [one for one in standings if one.budget == budget]))
    return "\n\n".join(part for part in [*parts, findings_text(found)] if part)


def _budgets(*written: tuple[str, str]) -> tuple[Budget, ...]:
    """Return the budgets that the command line gives; raises UsageError for what is no quantity."""
    from fidelity_gate.policy.quantities import QuantityError, parse_quantity

    found = []
    for what, text in written:
        if not text:
            continue
        unit = Budget(what, 0).unit
        option = {STEP: "--max-step", MEMORY: "--max-memory", SIZE: "--max-size"}[what]
        try:
            limit = parse_quantity(text, unit)
        except QuantityError as error:
            raise UsageError(error.what, field=option, hint=error.hint) from error
        if limit <= 0:
            raise UsageError("must be above 0", field=option)
        found.append(Budget(what, limit))
    return tuple(found)


def _target(name: str) -> Target:
    from fidelity_gate.policy.targets import SHIPPED

    if name not in SHIPPED:
        raise unknown(name, SHIPPED, what="no target that ships is named", field="--target", kind=UsageError)
    return SHIPPED[name]
