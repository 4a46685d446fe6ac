"""`fidelity-gate devices`: what real devices said of a model: recorded, listed, shown, fetched; or a simulated one."""

from __future__ import annotations

import click

from fidelity_gate.errors import UsageError
from fidelity_gate.verbs.lazy_group import LazyGroup

EPILOG = """\b
Examples:
  fidelity-gate devices list                                   (the kinds of device a policy may name)
  fidelity-gate devices list --service 'Samsung Galaxy S2*'    (the devices of Qualcomm AI Hub)
  fidelity-gate devices record measurements.json -o records/s24.json
  fidelity-gate devices show records/s24.json --max-step 30ms
  fidelity-gate devices resume jabc123 -o records/s24.json
  fidelity-gate devices simulate

A policy gates what was recorded with `use: recorded`: docs/recorded-devices.md.
"""
# Name -> where its command is, and what the group's help says of it without importing it.
COMMANDS = {
    "list": ("fidelity_gate.verbs.devices_list:list_devices", "Say which devices there are, and which records."),
    "show": ("fidelity_gate.verbs.devices_show:show", "Show recorded profiles, and which meet a budget."),
    "record": ("fidelity_gate.verbs.devices_record:record", "Save what devices said, to be gated again."),
    "resume": ("fidelity_gate.verbs.devices_resume:resume", "Fetch a job of the service that was left behind."),
    "simulate": ("fidelity_gate.verbs.devices_simulate:simulate", "Run a device service of this machine, for trials."),
}


@click.group(cls=LazyGroup, table=COMMANDS, epilog=EPILOG, invoke_without_command=True)
@click.pass_context
def devices(context: click.Context) -> None:
    """Record, list, show and fetch what real devices said of a model."""
    if context.invoked_subcommand is None:
        raise UsageError("devices needs a verb of its own", hint=f"{', '.join(COMMANDS)}; see devices --help")
