"""Reports that were asked for, `--report TYPE[,OPTION=VALUE...][:DEST]`: old ones deleted, new ones written whole.

An older report is gone before anything else happens, so that no crash can leave it to be believed; all reports are
rendered before one is written; and when the run is refused or breaks, every report says so.
"""

from __future__ import annotations

import abc
import contextlib
import os
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fidelity_gate import registry
from fidelity_gate.errors import ExitCode, GateError, ReportNotWritten, UsageError
from fidelity_gate.files import delete_stale, write_atomically
from fidelity_gate.records import Outcome, Report, Verdict
from fidelity_gate.text import printable
from fidelity_gate.verbs.failures import as_gate_error
from fidelity_gate.verbs.stdout import STDOUT, write_stdout
from fidelity_gate.wording import blocks, verdict_line

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self

    from fidelity_gate.protocols import ComparisonReporter, LintReporter, Reporter
    from fidelity_gate.records import Comparison, LintReport, MeasurementSet, Policy

DEFAULT = ("terminal",)
OPTION = "--report"
ROOM = "reports"
VERDICT_LIMIT = 400  # characters of the verdict's line on stderr
FITTED = frozenset({"color", "width"})  # a report with these options is for people, on a terminal or off
# A slip of the keyboard must not delete a model or a policy in the name of clearing away an old report.
NEVER_REPORTS = frozenset(
    {".ckpt", ".jsonl", ".npy", ".npz", ".onnx", ".pt", ".pth", ".py", ".safetensors", ".yaml", ".yml"}
)
KINDS = {
    ExitCode.REFUSED: Outcome.REFUSED,
    ExitCode.UNDECIDED: Outcome.NOT_MEASURED,
    ExitCode.FAILED: Outcome.FAIL,
}


@dataclass(frozen=True, slots=True)
class Order:
    """One report, and where it goes: a file, or standard output."""

    reporter: Reporter | LintReporter | ComparisonReporter
    destination: str

    @property
    def to_file(self) -> bool:
        """Return whether a file is written."""
        return self.destination != STDOUT

    @property
    def on_screen(self) -> bool:
        """Return whether people read it where they read the lines of stderr, so that one of the two is enough."""
        for_people = registry.option_types(type(self.reporter)).keys() >= FITTED
        return for_people and not self.to_file and sys.stdout.isatty() and sys.stderr.isatty()


def parse_orders(texts: tuple[str, ...], *, keep: tuple[str, ...] = (), room: str = ROOM) -> tuple[Order, ...]:
    """Return the reports that `--report` asks for; without any, the table on standard output.

    Args:
        texts: `TYPE[,OPTION=VALUE...][:DEST]`; DEST is a file, a folder, or `-`.
        keep: files that the command reads and no report may replace.
        room: whose plugs the types are: reports of the gate, or of lint.

    Raises:
        UsageError: an unknown type or option, two reports for one destination, or a destination that is no report. The
            older reports that the other orders name are gone then.
        ReportNotWritten: one of those cannot be deleted.
    """
    orders, refused = read_orders(texts or DEFAULT, keep, room)
    if refused:
        # The command ends here, and what an earlier one left must not be taken for what this one says.
        clear(orders)
        raise refused[0]
    return orders


def clear(orders: Iterable[Order]) -> None:
    """Delete what earlier commands left in the places of these reports; raises ReportNotWritten."""
    for order in orders:
        if order.to_file:
            delete_stale(order.destination)


def read_orders(
    texts: tuple[str, ...], keep: tuple[str, ...], room: str
) -> tuple[tuple[Order, ...], tuple[UsageError, ...]]:
    """Return the reports that can be read of those that were asked for, and what is wrong with the others."""
    orders: list[Order] = []
    refused: list[UsageError] = []
    for text in texts:
        try:
            orders.append(_order(text, keep, room, orders))
        except UsageError as error:
            refused.append(error)
    return tuple(orders), tuple(refused)


def _order(text: str, keep: tuple[str, ...], room: str, others: list[Order]) -> Order:
    head, _, destination = text.partition(":")
    name, _, options = head.partition(",")
    reporter = registry.build(room, name, _options(options, text), field=OPTION, kind=UsageError, from_text=True)
    where = _file_in(destination, room.replace(".", "-") + reporter.suffix) if destination else STDOUT
    order = Order(_fitted(reporter, destination), where)
    refuse_overwriting(order.destination, keep, option=OPTION)
    if any(_same_place(order.destination, other.destination) for other in others):
        raise UsageError(f"two reports go to {order.destination}", field=OPTION, hint="TYPE:FILE, a file for each")
    return order


def refuse_overwriting(destination: str, keep: tuple[str, ...], *, option: str) -> None:
    """Raise UsageError when writing to `destination` would destroy something that is not an older output."""
    if destination == STDOUT:
        return
    if Path(destination).suffix.lower() in NEVER_REPORTS:
        what = f"{destination} has the name of a model, a policy, inputs or a history"
        raise UsageError(what, field=option, hint="reports end in .html, .xml, .json, .sarif or .txt")
    if any(_same_place(destination, path) for path in keep if path):
        raise UsageError(f"{destination} is read by this command", field=option, hint="name another file")


def deliver(orders: tuple[Order, ...], report: Report | LintReport | Comparison) -> None:
    """Render every report, then write every file, then standard output.

    Args:
        orders: of one room.
        report: the record that reports of this room render.

    Raises:
        ReportNotWritten: one could not be written whole; the others may be there.
        Internal: one could not be rendered, and none was written.
    """
    rendered = [(order, _rendered(order.reporter, report)) for order in orders]
    for order, text in sorted(rendered, key=lambda pair: not pair[0].to_file):
        if order.to_file:
            _write_and_read_back(order.destination, text)
        else:
            write_stdout(text)


@dataclass(slots=True)
class ReportDesk(abc.ABC):
    """Where a command leaves its reports: clears them away at the start, and tells in them whatever stops it.

    Attributes:
        orders: the reports that were asked for.
        others: other files that the command will write, to be cleared away too.
    """

    orders: tuple[Order, ...]
    others: tuple[str, ...] = ()

    @abc.abstractmethod
    def stopped(self, failure: GateError) -> Report | LintReport | Comparison:
        """Return the report of a command that was stopped by this."""

    def __enter__(self) -> Self:
        """Delete the reports of earlier runs; raises ReportNotWritten where one cannot be."""
        for destination in (*(order.destination for order in self.orders if order.to_file), *self.others):
            delete_stale(destination)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Write what stopped the run into every report, and let it go on to the door; an interruption leaves none."""
        if not isinstance(error, Exception) or isinstance(error, click.Abort):  # click's word for an interruption
            return
        failure = as_gate_error(error)
        report = self.stopped(failure)
        refusals = [refusal for order in self.orders if (refusal := _try_to_deliver(order, report)) is not None]
        failure.told = not refusals and any(order.on_screen for order in self.orders)
        if refusals and failure.exit_code is not ExitCode.INTERNAL:
            raise refusals[0] from error


@dataclass(slots=True)
class Desk(ReportDesk):
    """Where the gate leaves its reports.

    Attributes:
        policy: set as soon as it is known, so that reports of a refusal can name it.
        measured: set as soon as it is known.
    """

    policy: Policy | None = None
    measured: MeasurementSet | None = None

    def stopped(self, failure: GateError) -> Report:
        """Return the report of a gate that did not get as far as a verdict."""
        return failed_report(failure, self.policy)

    def close(self, report: Report) -> int:
        """Deliver the report of a run that was judged, and return its exit code.

        What blocks is never silent: where all reports are files, stderr has the verdict's line.
        """
        deliver(self.orders, report)
        if blocks(report) and all(order.to_file for order in self.orders):
            with contextlib.suppress(OSError, ValueError):  # the exit code is the same whether or not anybody hears it
                click.echo(f"fidelity-gate: {printable(verdict_line(report), VERDICT_LIMIT)}", err=True)
        return report.verdict.exit_code


def failed_report(failure: GateError, policy: Policy | None) -> Report:
    """Return the report of a run that was stopped before it was judged: nothing was required, nothing was met."""
    line = str(failure)
    verdict = Verdict(
        policy_name=policy.name if policy else "",
        policy_digest=policy.digest if policy else "",
        results=(),
        required=0,
        met=0,
        passed=False,
        exit_code=int(failure.exit_code),
        reason=line,
    )
    kind = KINDS.get(failure.exit_code, Outcome.INTERNAL)
    return Report(verdict, policy, None, created=now(), error=line, error_kind=kind)


def now() -> str:
    """Return the time as reports carry it: ISO 8601, UTC, whole seconds."""
    return datetime.now(UTC).replace(microsecond=0).isoformat()


def _rendered(reporter: Any, report: Report | LintReport | Comparison) -> str:  # noqa: ANN401  (of the room that takes this record)
    text: str = reporter.render(report)
    return text


def _try_to_deliver(order: Order, report: Report | LintReport | Comparison) -> GateError | None:
    try:
        deliver((order,), report)
    except GateError as refusal:
        return refusal
    return None


def _write_and_read_back(destination: str, text: str) -> None:
    write_atomically(destination, text)
    try:
        found = Path(destination).read_bytes()
    except OSError as error:
        raise ReportNotWritten(f"cannot be read back: {error.strerror}", where=destination) from error
    if found != text.encode("utf-8"):
        delete_stale(destination)
        raise ReportNotWritten("does not hold what was written", where=destination)


def _options(text: str, order: str) -> list[tuple[str, object]]:
    pairs: list[tuple[str, object]] = []
    for part in text.split(",") if text else []:
        name, equals, value = part.partition("=")
        if not equals:
            raise UsageError(f"'{part}' is not OPTION=VALUE", field=OPTION, hint=f"in {order}")
        pairs.append((name, value))
    return pairs


def _fitted(reporter: Any, destination: str) -> Any:  # noqa: ANN401  (a plug, and the same one)
    """Return what people read as wide and as colourful as the terminal it goes to; files stay plain."""
    options = registry.option_types(type(reporter))
    if destination not in ("", STDOUT) or not options.keys() >= FITTED:
        return reporter
    unicode = (sys.stdout.encoding or "").lower().startswith("utf")
    fitting: dict[str, object] = {"unicode": unicode and getattr(reporter, "unicode", True)}
    if sys.stdout.isatty():
        dull = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
        fitting |= {"color": not dull, "width": max(80, os.get_terminal_size(1).columns)}
    return replace(reporter, **{name: value for name, value in fitting.items() if name in options})


def _file_in(destination: str, name: str) -> str:
    """Return the file for a destination that may be a folder: `fidelity-gate.xml`, `fidelity-gate-lint.json`."""
    if destination == STDOUT or not Path(destination).is_dir():
        return destination
    return str(Path(destination) / name.replace(ROOM, "fidelity-gate", 1))


def _same_place(one: str, other: str) -> bool:
    if STDOUT in (one, other):
        return one == other
    return os.path.realpath(one) == os.path.realpath(other)
