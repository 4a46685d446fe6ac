"""`fidelity-gate compare`: what changed between two saved runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from fidelity_gate import json_fields, measurements_file
from fidelity_gate.comparing import Run
from fidelity_gate.comparing import compare as compared
from fidelity_gate.errors import ExitCode, Refused, Undecided, UsageError
from fidelity_gate.files import read_file
from fidelity_gate.record_json import SCHEMA_KEY
from fidelity_gate.records import Comparison, SavedRun
from fidelity_gate.reports import json as saved
from fidelity_gate.verbs.orders import ReportDesk, deliver, parse_orders
from fidelity_gate.verbs.report import refuse_untrue
from fidelity_gate.verbs.reporting import ReportingCommand, report_option
from fidelity_gate.verbs.stages import briefly

if TYPE_CHECKING:
    from fidelity_gate.errors import GateError

EPILOG = """\b
Examples:
  fidelity-gate compare main.json branch.json
  fidelity-gate compare main.json branch.json --report terminal --report html:changes.html
  fidelity-gate compare main.json branch.json --report markdown:comment.md     # for a pull request
  fidelity-gate compare main.json branch.json --fail-on regression
  fidelity-gate compare old-measurements.json measurements.json --report terminal,all=true

BEFORE and AFTER are verdicts (`run --report json:FILE`) or measurements (`measure -o FILE`, `run --measurements FILE`);
checks are compared where both are verdicts, numbers always. A verdict that its own measurements do not bear out is
refused.

Exit codes: 0 whatever changed; with --fail-on regression: 1 when a check got worse or is gone that was met, 3 when the
runs cannot be compared (other inputs, another reference or depth); 2 refused.
"""
ROOM = "reports.comparison"
VERDICT, MEASUREMENTS = "verdict", "measurements"


@click.command(cls=ReportingCommand, room=ROOM, epilog=EPILOG)
@click.argument("before")
@click.argument("after")
@report_option(ROOM)
@click.option("--fail-on", type=click.Choice(["regression"]), help="Exit with 1 when a check got worse.")
def compare(*, before: str, after: str, reports: tuple[str, ...], fail_on: str | None) -> int:
    """Show what changed from the run in the file BEFORE to the one in AFTER."""
    orders = parse_orders(reports, keep=(before, after), room=ROOM)
    with briefly(), CompareDesk(orders, before=_unread(before), after=_unread(after)) as desk:
        one = _read(before)
        desk.before = one.file
        other = _read(after)
        desk.after = other.file
        if fail_on and not (one.verdict and other.verdict):
            hint = "measurements are not judged: judge both first, with --report json:FILE"
            raise UsageError("only verdicts have checks that can get worse", field="--fail-on", hint=hint)
        comparison = compared(one, other)
        deliver(desk.orders, comparison)
    return int(_code(comparison)) if fail_on else int(ExitCode.PASSED)


@dataclass(slots=True)
class CompareDesk(ReportDesk):
    """Where a comparison leaves its reports.

    Attributes:
        before: the first run: its file's name alone until it is read.
        after: the second, likewise.
    """

    before: SavedRun = field(kw_only=True)
    after: SavedRun = field(kw_only=True)

    def stopped(self, failure: GateError) -> Comparison:
        """Return the report of a comparison that came to nothing."""
        return Comparison(self.before, self.after, error=str(failure))


def _unread(path: str) -> SavedRun:
    return SavedRun(path, kind="", name="")


def _code(comparison: Comparison) -> ExitCode:
    """Return what a regression, or a comparison of different things, comes to when somebody asks."""
    if not comparison.comparable:
        what = next(one.what for one in comparison.differences if not one.comparable)
        hint = "compare runs on the same inputs, reference and depth"
        raise Undecided(f"the runs are not comparable: another {what}", field="--fail-on", hint=hint)
    blocked = bool(comparison.before.passed) and not comparison.after.passed
    return ExitCode.FAILED if comparison.regressions or blocked else ExitCode.PASSED


def _read(path: str) -> Run:
    """Return the run of a file of either kind; raises Refused."""
    data = read_file(path, limit_bytes=saved.LIMIT_BYTES).data
    plain = json_fields.parse(data, where=path)
    schema = plain.get(SCHEMA_KEY) if isinstance(plain, dict) else None
    if schema == measurements_file.SCHEMA:
        measured = measurements_file.load(data, path)
        return Run(SavedRun(path, MEASUREMENTS, measured.provenance.policy_name), measured)
    if schema != saved.SCHEMA:
        hint = f"a verdict ({saved.SCHEMA}) or measurements ({measurements_file.SCHEMA})"
        raise Refused("is neither a verdict nor measurements", where=path, field=SCHEMA_KEY, hint=hint)
    report = saved.load(data, path)
    refuse_untrue(report, path)
    verdict = report.verdict
    file = SavedRun(
        path=path,
        kind=VERDICT,
        name=verdict.policy_name,
        created=report.created,
        passed=verdict.passed,
        exit_code=verdict.exit_code,
        reason=report.error or verdict.reason,
    )
    return Run(file, report.measured, verdict)
