"""The option `--report`, the same for every command that leaves reports; its help names what the room has."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, TypeVar

import click

from fidelity_gate.verbs.orders import DEFAULT, OPTION, ROOM

if TYPE_CHECKING:
    from collections.abc import Callable

    Command = TypeVar("Command", bound=Callable[..., object])


def report_option(room: str = ROOM) -> Callable[[Command], Command]:
    """Return the option that gives a command its `reports`.

    Args:
        room: whose plugs the types are; other packages may add more of them.
    """
    table = importlib.import_module(f"fidelity_gate.{room}").TABLE
    names = sorted(table, key=lambda name: (name not in DEFAULT, name))
    text = f"{', '.join(names[:-1])} or {names[-1]}; repeatable."
    return click.option(OPTION, "reports", multiple=True, metavar="TYPE[:DEST]", help=text)
