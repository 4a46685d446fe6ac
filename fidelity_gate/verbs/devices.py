"""`fidelity-gate devices`: what real devices said of a model: recorded, listed, shown, fetched; or a simulated one."""

from __future__ import annotations

import importlib

import click

from fidelity_gate.errors import UsageError
from fidelity_gate.registry import unknown

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


class _Devices(click.Group):
    """A group that imports a command only when it is asked for: some of them bring a server along."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not args[0].startswith("-"):
            raise unknown(args[0], COMMANDS, what="devices has no verb", kind=UsageError)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, told) for name, (_, told) in COMMANDS.items()])


@click.group(cls=_Devices, epilog=EPILOG, invoke_without_command=True)
@click.pass_context
def devices(context: click.Context) -> None:
    """Record, list, show and fetch what real devices said of a model."""
    if context.invoked_subcommand is None:
        raise UsageError("devices needs a verb of its own", hint=f"{', '.join(COMMANDS)}; see devices --help")
