"""The option `--report`, the same for every command that leaves reports; its help names what the room has."""

from __future__ import annotations

import contextlib
import importlib
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fidelity_gate.errors import GateError
from fidelity_gate.verbs.orders import DEFAULT, OPTION, ROOM, clear, read_orders

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fidelity_gate.verbs.orders import Order

    Command = TypeVar("Command", bound=Callable[..., object])


class ReportingCommand(click.Command):
    """A command that leaves reports: those of an earlier one are gone even where its command line cannot be read."""

    def __init__(self, *args: Any, room: str = ROOM, **attributes: Any) -> None:  # noqa: ANN401  (click's own)
        super().__init__(*args, **attributes)
        self.room = room

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Return what click makes of the arguments; an unknown option or a missing argument clears the reports away."""
        given = tuple(args)
        try:
            return super().parse_args(ctx, args)
        except click.UsageError:
            with contextlib.suppress(GateError):  # what click has to say comes first
                clear(_orders_of(given, self.room))
            raise


def _orders_of(args: Sequence[str], room: str) -> tuple[Order, ...]:
    """Return the reports that a command line asks for; whatever else it names is never in the place of one."""
    marks = [place for place, arg in enumerate(args) if arg.partition("=")[0] == OPTION]
    texts = tuple(args[at].partition("=")[2] or next(iter(args[at + 1 : at + 2]), "") for at in marks)
    kept = tuple(part for arg in args if arg not in texts for part in (arg, arg.partition("=")[2]))
    return read_orders(texts, kept, room)[0]


def report_option(room: str = ROOM) -> Callable[[Command], Command]:
    """Return the option that gives a command its `reports`.

    Args:
        room: whose plugs the types are; other packages may add more of them.
    """
    table = importlib.import_module(f"fidelity_gate.{room}").TABLE
    names = sorted(table, key=lambda name: (name not in DEFAULT, name))
    text = f"{', '.join(names[:-1])} or {names[-1]}; repeatable."
    return click.option(OPTION, "reports", multiple=True, metavar="TYPE[:DEST]", help=text)
