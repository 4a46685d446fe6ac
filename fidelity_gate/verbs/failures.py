"""Any exception -> the project error that says it: used once by the door, and by the reports of a run that broke."""

from __future__ import annotations

import click

from fidelity_gate.errors import GateError, Internal, OutOfMemory, UsageError

BUG_HINT = "please report this; `fidelity-gate --debug ...` shows the traceback"


def as_gate_error(error: Exception) -> GateError:
    """Return the error itself when it is ours, else the one that tells a user what it means."""
    if isinstance(error, GateError):
        return error
    if isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx else "fidelity-gate"
        return UsageError(error.format_message().rstrip("."), hint=f"see: {path} --help")
    if isinstance(error, MemoryError):
        return OutOfMemory("the machine has no memory left for this", hint="a smaller run.batch needs less")
    if isinstance(error, BrokenPipeError):
        return Internal("standard output was closed before everything was written")
    if isinstance(error, OSError):
        return Internal(f"{error.strerror or error}", where=str(error.filename or ""), hint=BUG_HINT)
    told = ": ".join(part for part in ("internal error", type(error).__name__, str(error)) if part)
    return Internal(told, hint=BUG_HINT)
