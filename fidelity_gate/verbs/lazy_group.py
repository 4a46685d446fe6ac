"""A group of commands that imports one only when it is asked for: `--help` must not pay for any of them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import click

from fidelity_gate.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping


class LazyGroup(click.Group):
    """A group by a table: name -> where its command is (`module:function`), and what help says of it."""

    def __init__(
        self,
        *args: Any,  # noqa: ANN401  (whatever click gives a group)
        table: Mapping[str, tuple[str, str]],
        heading: str = "Commands",
        **attributes: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(*args, **attributes)
        self.table = table
        self.heading = heading

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the table's order."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, imported now; None where there is none."""
        if cmd_name not in self.table:
            return None
        module, _, attribute = self.table[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments name; raises UsageError with the nearest where there is none."""
        if args[0] not in self.table and not args[0].startswith("-"):
            from fidelity_gate.registry import unknown  # a mistake may cost what help must not

            what = f"{self.name} has no verb" if ctx.parent else "no verb is named"
            raise unknown(args[0], self.table, what=what, kind=UsageError)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what the table says of them."""
        with formatter.section(self.heading):
            formatter.write_dl([(name, told) for name, (_, told) in self.table.items()])
