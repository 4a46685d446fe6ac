"""The reference pages of the command line: every verb with its options and examples, and the exit codes."""

from __future__ import annotations

import inspect
import re
import textwrap
from typing import TYPE_CHECKING

import click

from ci.reference_text import cell, code, table
from fidelity_gate import errors
from fidelity_gate.cli import PROGRAM, door
from fidelity_gate.errors import WORST_FIRST, ExitCode, GateError

if TYPE_CHECKING:
    from collections.abc import Iterator

_INDENTED = re.compile(r"^  ", re.MULTILINE)
MEANINGS = {
    ExitCode.PASSED: "every required check was measured and met, or is validly waived: it may ship",
    ExitCode.FAILED: "measured, and a check failed",
    ExitCode.REFUSED: "something given to the gate is unusable; nothing was judged",
    ExitCode.UNDECIDED: "the gate could not decide",
    ExitCode.INTERNAL: "a bug of this tool, or a report that could not be written",
    ExitCode.INTERRUPTED: "interrupted (Ctrl-C); no report is left, not even an older one",
    ExitCode.TERMINATED: "terminated (SIGTERM); likewise",
}


def page() -> str:
    """Return every command, those of groups after their group."""
    context = click.Context(door, info_name=PROGRAM)
    parts = [
        "# Commands",
        "What `--help` says of every command. Exit codes are [on a page of their own](exit-codes.md).",
        table(("command", ""), _index(context)),
        f"`{PROGRAM} --debug COMMAND ...` shows the traceback of an error, `{PROGRAM} --version` the version.",
        *(_section(path, command) for path, command in _commands(door, context)),
    ]
    return "\n\n".join(parts)


def _index(context: click.Context) -> Iterator[tuple[str, str]]:
    for name in door.list_commands(context):
        command = door.get_command(context, name)
        if command is not None and not command.hidden:
            yield f"[{name}](#{PROGRAM}-{name})", _first(command)


def _commands(group: click.Group, context: click.Context) -> Iterator[tuple[str, click.Command]]:
    """Yield (its whole name, the command), depth first, in the order of the help."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if command is None or command.hidden:
            continue
        inner = click.Context(command, parent=context, info_name=name)
        yield inner.command_path, command
        if isinstance(command, click.Group):
            yield from _commands(command, inner)


def _section(path: str, command: click.Command) -> str:
    level = "##" if path.count(" ") == 1 else "###"
    arguments = [one for one in command.params if isinstance(one, click.Argument)]
    words = [
        path,
        *(["[OPTIONS]"] if _options(command) else []),
        *(one.make_metavar(_bare(command)) for one in arguments),
    ]
    words += ["COMMAND ..."] if isinstance(command, click.Group) else []
    parts = [
        f"{level} {path}",
        inspect.cleandoc(command.help or ""),
        f"```text\n{' '.join(words)}\n```",
        table(("option", "", "when left out"), _options(command)),
        _epilog(command),
    ]
    return "\n\n".join(part for part in parts if part)


def _bare(command: click.Command) -> click.Context:
    return click.Context(command)


def _options(command: click.Command) -> list[tuple[str, str, str]]:
    found = []
    for one in command.params:
        if isinstance(one, click.Option) and not one.hidden:
            names = ", ".join([*one.opts, *one.secondary_opts])
            takes = "" if one.is_flag else f" {one.make_metavar(_bare(command))}"
            found.append((code(cell(f"{names}{takes}").replace("\\|", "|")), one.help or "", _default(one)))
    return found


def _default(option: click.Option) -> str:
    if option.required:
        return "needed"
    plain = isinstance(option.default, str | int | float) and not isinstance(option.default, bool)
    return code(str(option.default)) if plain and option.default != "" else ""


def _first(command: click.Command) -> str:
    return inspect.cleandoc(command.help or "").partition("\n\n")[0]


def _epilog(command: click.Command) -> str:
    """Return the examples as a block, and the rest of what stands under a command's help as text."""
    parts = []
    for block in re.split(r"\n\s*\n", textwrap.dedent((command.epilog or "").replace("\b\n", "")).strip()):
        head, _, rest = block.partition("\n")
        if head.endswith(":") and rest.startswith("  "):
            parts.append(f"{head}\n\n```text\n{_INDENTED.sub('', rest)}\n```")
        elif block.strip():
            parts.append(" ".join(block.split()))
    return "\n\n".join(parts)


def exit_codes() -> str:
    """Return the exit codes, and the kinds of errors behind them."""
    order = ", then ".join(str(int(one)) for one in WORST_FIRST)
    rows = [(str(int(one)), one.name.lower(), MEANINGS[one], ", ".join(_kinds(one))) for one in ExitCode]
    return "\n\n".join(
        [
            "# Exit codes",
            f"Every code but 0 blocks a release. When several apply: {order}. "
            "[Exit codes and error lines](../exit-codes.md) says when which applies.",
            table(("code", "name", "meaning", "errors (`fidelity_gate.errors`)"), rows),
            "## Errors",
            table(("error", "exit code", "when"), _errors()),
        ]
    )


def _kinds(wanted: ExitCode) -> list[str]:
    return [code(kind.__name__) for kind in _tree(GateError) if kind.exit_code == wanted and kind is not GateError]


def _errors() -> list[tuple[str, str, str]]:
    return [
        (code(kind.__name__), str(int(kind.exit_code)), (kind.__doc__ or "").partition("\n")[0])
        for kind in _tree(GateError)
        if kind is not GateError
    ]


def _tree(kind: type[GateError]) -> Iterator[type[GateError]]:
    yield kind
    for child in kind.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from _tree(child)
