"""Door 1, the command line: the only place that turns an error into a line and a process into an exit code.

The split: a verb (verbs/*.py) parses its options, calls stages, and returns its exit code or raises; reports and files
leave through verbs/orders.py and files.py; whatever a verb raises ends here. Nothing but this module exits.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any, NoReturn

import click

from fidelity_gate import __version__
from fidelity_gate.errors import ExitCode, GateError, UsageError
from fidelity_gate.verbs import SUMMARIES, TABLE
from fidelity_gate.verbs.lazy_group import LazyGroup

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PROGRAM = "fidelity-gate"
EPILOG = """\b
Examples:
  fidelity-gate demo
  fidelity-gate policy init release.yaml
  fidelity-gate run release.yaml --report junit:gate.xml --report terminal

Exit codes: 0 may ship, 1 a check failed, 2 refused, 3 could not decide, 4 a bug of this tool.
"""


class _Terminated(BaseException):
    """SIGTERM arrived; not an Exception, so that nothing on the way can mistake it for a failure to report."""


@click.group(
    cls=LazyGroup,
    table={name: (where, SUMMARIES[name]) for name, where in TABLE.items()},
    heading="Verbs",
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name=PROGRAM, message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def door(debug: bool) -> None:
    """Decide in CI whether a compressed recursive model may ship."""


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave the process with its exit code."""
    given = list(sys.argv[1:] if args is None else args)
    code = answer(given)
    _detach_broken_stdout()
    sys.exit(int(code))


def answer(args: Sequence[str]) -> int:
    """Return the exit code of a command line; every error is one line on stderr."""
    try:
        with _sigterm_raises():
            code = _invoke(list(args))
            sys.stdout.flush()
    except (KeyboardInterrupt, click.Abort) as stop:
        return _tell(_with_notes("interrupted", stop), ExitCode.INTERRUPTED)
    except _Terminated as stop:
        return _tell(_with_notes("terminated", stop), ExitCode.TERMINATED)
    except Exception as error:  # noqa: BLE001  (the one door: an uncaught exception would exit 1 and read as "failed")
        return _fail(error, debug=_wants_debug(args))
    return code


def _invoke(args: list[str]) -> int:
    if not args:
        raise UsageError("no verb was given", hint=f"verbs: {', '.join(TABLE)}; see {PROGRAM} --help")
    try:
        with door.make_context(PROGRAM, args) as context:
            result: Any = door.invoke(context)
    except click.exceptions.Exit as leave:  # --help, --version
        return leave.exit_code
    except SystemExit as leave:
        result = leave.code
    if isinstance(result, int) and not isinstance(result, bool):
        return result
    # None is a verb that has nothing to decide; anything else cannot have been meant as success.
    return int(ExitCode.PASSED if result is None else ExitCode.INTERNAL)


def _fail(error: Exception, *, debug: bool) -> int:
    from fidelity_gate.verbs.failures import as_gate_error

    if debug:
        traceback.print_exception(error)
    failure: GateError = as_gate_error(error)
    if failure.told:
        return int(failure.exit_code)
    return _tell(f"error: {failure}", failure.exit_code)


def _with_notes(word: str, stop: BaseException) -> str:
    """Return the word, and what was noted on the way out: work elsewhere that goes on."""
    return ": ".join((word, *getattr(stop, "__notes__", ())))


def _tell(line: str, code: ExitCode) -> int:
    """Say one line on stderr, and return the exit code whether or not anybody can hear it."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"{PROGRAM}: {line}\n".encode("utf-8", "backslashreplace").decode("utf-8"))
        sys.stderr.flush()
    return int(code)


def _wants_debug(args: Sequence[str]) -> bool:
    """Return whether `--debug` stands before the verb, even where the command line could not be parsed."""
    return "--debug" in itertools.takewhile(lambda arg: arg.startswith("-"), args)


@contextlib.contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Turn SIGTERM into an exception, so that half-written files are cleared away and no verdict is left."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _detach_broken_stdout() -> None:
    """Keep the interpreter's own last flush of a closed pipe from replacing the exit code."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
