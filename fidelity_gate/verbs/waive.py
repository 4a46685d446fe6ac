"""`fidelity-gate waive`: the stub of a waiver for a check that a saved verdict says is missed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from fidelity_gate.errors import Refused, UsageError
from fidelity_gate.text import printable
from fidelity_gate.verbs.orders import write_stdout

if TYPE_CHECKING:
    from fidelity_gate.records import CheckResult, Report

EPILOG = """\b
Examples:
  fidelity-gate waive verdict.json --check same-answers --candidate int4 --owner ada --ticket ML-123 \\
      --reason "the app retries" --days 14
  fidelity-gate waive verdict.json --check fits-sram --candidate int4 --target mcu-4mb --owner ada --ticket ML-124 \\
      --reason "the next board has 8 MB"

The stub is for the policy's `waivers:` block; nothing is waived before it stands there and somebody has reviewed it.
The floor is what was observed: a candidate that becomes worse is blocked again.
"""


@click.command(epilog=EPILOG)
@click.argument("verdict")
@click.option("--check", required=True, metavar="ID", help="The check that is missed.")
@click.option("--candidate", metavar="NAME", help="The candidate; not needed where one alone misses the check.")
@click.option("--target", metavar="NAME", help="The target; not needed where the check is missed for one alone.")
@click.option("--reason", required=True, help="Why it may ship all the same.")
@click.option("--ticket", required=True, help="Where mending it is followed.")
@click.option("--owner", required=True, help="Who answers for it.")
@click.option("--days", type=click.IntRange(min=1), help="How long; as long as the policy bears where left out.")
def waive(  # noqa: PLR0913  (one argument an option: click's way)
    *,
    verdict: str,
    check: str,
    candidate: str | None,
    target: str | None,
    reason: str,
    ticket: str,
    owner: str,
    days: int | None,
) -> None:
    """Write a waiver for a check that is missed in the file VERDICT (written by `--report json`)."""
    from fidelity_gate.reports import json as saved
    from fidelity_gate.verbs.report import refuse_untrue

    found = saved.read(verdict)
    refuse_untrue(found, verdict)
    result = _missed(found, check, candidate, target)
    said = {"reason": reason, "ticket": ticket, "owner": owner}
    write_stdout(_stub(found, result, said, _days(found, check, days)))


def _missed(report: Report, check: str, candidate: str | None, target: str | None) -> CheckResult:
    """Return the one result that is to be waived; raises UsageError."""
    from fidelity_gate.records import Outcome
    from fidelity_gate.wording import headline, subject

    found = [
        one
        for one in report.verdict.results
        if one.check.id == check and candidate in (None, one.candidate) and target in (None, one.check.target)
    ]
    if not found:
        known = sorted({one.check.id for one in report.verdict.results if one.outcome is Outcome.FAIL})
        hint = f"missed: {', '.join(known)}" if known else "nothing is missed"
        raise UsageError(f"the verdict has no such check: {check}", field="--check", hint=hint)
    missed = [one for one in found if one.outcome is Outcome.FAIL and one.observed is not None]
    if not missed:
        hint = "only a check that was measured and missed can be waived"
        raise UsageError(headline(found[0]), field="--check", hint=hint)
    if len(missed) > 1:
        names = ", ".join(subject(one.candidate, one.check.target) for one in missed)
        raise UsageError(f"{len(missed)} miss {check}", hint=f"--candidate, --target: one of {names}")
    return missed[0]


def _days(report: Report, check: str, days: int | None) -> int:
    rules = report.policy.waiver_rules if report.policy else None
    if rules is None:
        hint = "waiver_rules: {max_days: 30} in the base policy"
        raise Refused("the policy has no waiver_rules, so nothing may be waived", hint=hint)
    if check in rules.never:
        raise Refused(f"{check} is never waived", where=str(rules.place), field="waiver_rules.never")
    if days is not None and days > rules.max_days:
        raise UsageError(f"{days} days are too long", field="--days", hint=f"the policy bears {rules.max_days}")
    return days or rules.max_days


def _stub(report: Report, result: CheckResult, said: dict[str, str], days: int) -> str:
    """Return YAML; texts stand in double quotes as JSON has them, which YAML reads alike."""
    digests = {one.name: one.facts.digest for one in report.measured.candidates} if report.measured else {}
    today = datetime.now(UTC).date()
    name = "-".join(part for part in (result.check.id, result.candidate, result.check.target) if part)[:64]
    lines = {
        "check": result.check.id,
        "candidate": result.candidate,
        **({"target": result.check.target} if result.check.target else {}),
        "digest": digests[result.candidate],
        "floor": _floor(result),
        **{key: json.dumps(printable(value, 400), ensure_ascii=False) for key, value in said.items()},
        "created": today.isoformat(),
        "expires": (today + timedelta(days=days)).isoformat(),
    }
    return f"waivers:\n  {name}:\n" + "".join(f"    {key}: {value}\n" for key, value in lines.items())


def _floor(result: CheckResult) -> str:
    """Return the end that is missed, moved to what was observed, exactly."""
    from fidelity_gate.units import format_exact

    bound, observed = result.bound, result.observed
    if observed is None:  # cannot be: only what was compared is waived
        raise Refused("nothing was observed", field="--check")
    missed = "min" if bound.minimum is not None and observed < bound.minimum else "max"
    ends = {"min": bound.minimum, "max": bound.maximum, missed: observed}
    shown = {key: format_exact(end, result.unit).partition(" (")[0] for key, end in ends.items() if end is not None}
    return "{" + ", ".join(f"{key}: {text}" for key, text in shown.items()) + "}"
