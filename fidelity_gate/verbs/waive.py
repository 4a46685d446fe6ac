"""`fidelity-gate waive`: the stub of a waiver for a check that a saved verdict says is missed."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from fidelity_gate.errors import Refused, UsageError
from fidelity_gate.files import write_atomically
from fidelity_gate.text import printable
from fidelity_gate.verbs.stdout import write_stdout

if TYPE_CHECKING:
    from fidelity_gate.records import CheckResult, Report

MOST_DECIMALS = 20  # that a policy takes of a number

EPILOG = """\b
Examples:
  fidelity-gate waive verdict.json --check same-answers --candidate int4 --owner ada --ticket ML-123 \\
      --reason "the app retries" --days 14
  fidelity-gate waive verdict.json --check fits-sram --candidate int4 --target mcu-4mb --owner ada --ticket ML-124 \\
      --reason "the next board has 8 MB"

The stub is for the policy's `waivers:` block, or for the end of the one that it has; nothing is waived before it stands
there and somebody has reviewed it.
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
@click.option("-o", "--output", metavar="FILE", help="Write the stub to a new file, instead of to standard output.")
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
    output: str | None,
) -> None:
    """Write a waiver for a check that is missed in the file VERDICT (written by `--report json`)."""
    from fidelity_gate.reports import json as saved
    from fidelity_gate.verbs.report import refuse_untrue

    said = {"reason": reason, "ticket": ticket, "owner": owner}
    _refuse_unshown(said)
    found = saved.read(verdict)
    refuse_untrue(found, verdict)
    result = _missed(found, check, candidate, target)
    _refuse_waived(found, result)
    stub = _stub(found, result, said, _days(found, check, days))
    if output is None:
        write_stdout(stub)
        return
    if os.path.lexists(output):
        raise UsageError("is there already, and is not written over", where=output, field="--output")
    write_atomically(output, stub)
    write_stdout(f"wrote {printable(output)}\n")


def _refuse_unshown(said: dict[str, str]) -> None:
    """Refuse what no policy would take: it is written as it was said, or not at all."""
    from fidelity_gate.policy.schema_values import unsaid

    for key, text in said.items():
        if what := unsaid(text):
            raise UsageError(what, field=f"--{key}", hint="one plain line")


def _refuse_waived(report: Report, result: CheckResult) -> None:
    """Refuse a second waiver of one check and candidate, which no run would take."""
    from fidelity_gate.waiving import waiver_of

    check = result.check
    waiver = report.policy and waiver_of(report.policy, check.id, check.target, result.candidate)
    if waiver:
        hint = f"change its floor at {waiver.place}, or mend the candidate"
        raise UsageError(f"{check.id} is waived by {waiver.id}, and misses its floor", field="--check", hint=hint)


def _missed(report: Report, check: str, candidate: str | None, target: str | None) -> CheckResult:
    """Return the one result that is to be waived; raises UsageError."""
    from fidelity_gate.records import Outcome
    from fidelity_gate.wording import headline, subject

    of_check = [one for one in report.verdict.results if one.check.id == check]
    found = [one for one in of_check if candidate in (None, one.candidate) and target in (None, one.check.target)]
    if not of_check:
        known = sorted({one.check.id for one in report.verdict.results if one.outcome is Outcome.FAIL})
        hint = f"missed: {', '.join(known)}" if known else "nothing is missed"
        raise UsageError(f"the verdict has no such check: {check}", field="--check", hint=hint)
    if not found:
        names = ", ".join(subject(one.candidate, one.check.target) for one in of_check)
        what = f"the verdict has no {check} of {subject(candidate or 'any', target or '')}"
        raise UsageError(what, field="--candidate, --target", hint=f"it has {names}")
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
        what = "the policy, as it was when the verdict was made, has no waiver_rules: nothing may be waived"
        raise Refused(what, hint="waiver_rules: {max_days: 30} in the base policy, and run the gate again")
    if check in rules.never:
        raise Refused(f"{check} is never waived", where=str(rules.place), field="waiver_rules.never")
    if days is not None and days > rules.max_days:
        raise UsageError(f"{days} days are too long", field="--days", hint=f"the policy bears {rules.max_days}")
    return days or rules.max_days


def _stub(report: Report, result: CheckResult, said: dict[str, str], days: int) -> str:
    """Return YAML; texts stand in double quotes as JSON has them, which YAML reads alike.

    Where the policy has waivers already it is an entry for them, without the key of the block.
    """
    others = [waiver.id for waiver in report.policy.waivers] if report.policy else []
    digests = {one.name: one.facts.digest for one in report.measured.candidates} if report.measured else {}
    today = datetime.now(UTC).date()
    name = _new("-".join(part for part in (result.check.id, result.candidate, result.check.target) if part), others)
    lines = {
        "check": result.check.id,
        "candidate": result.candidate,
        **({"target": result.check.target} if result.check.target else {}),
        "digest": digests[result.candidate],
        "floor": _floor(result),
        **{key: json.dumps(value, ensure_ascii=False) for key, value in said.items()},
        "created": today.isoformat(),
        "expires": (today + timedelta(days=days)).isoformat(),
    }
    head = "" if others else "waivers:\n"
    return f"{head}  {name}:\n" + "".join(f"    {key}: {value}\n" for key, value in lines.items())


def _new(name: str, others: list[str]) -> str:
    """Return a name that no other waiver has, of at most 64 characters."""
    names = [name[:64], *(f"{name[:60]}-{count}" for count in range(2, len(others) + 3))]
    return next(one for one in names if one not in others)


def _floor(result: CheckResult) -> str:
    """Return the end that is missed, moved to what was observed, exactly."""
    bound, observed = result.bound, result.observed
    if observed is None:  # cannot be: only what was compared is waived
        raise Refused("nothing was observed", field="--check")
    missed = "min" if bound.minimum is not None and observed < bound.minimum else "max"
    ends = {"min": bound.minimum, "max": bound.maximum, missed: observed}
    shown = {key: _exact(end, result.unit) for key, end in ends.items() if end is not None}
    return "{" + ", ".join(f"{key}: {text}" for key, text in shown.items()) + "}"


def _exact(end: float, unit: str) -> str:
    """Return a number that is read back as the very same, with a power of ten where it has too many decimals."""
    from fidelity_gate.units import NEEDS_NAME, format_exact

    text = format_exact(end, unit).partition(" (")[0]
    decimals = text.partition(" ")[0].partition(".")[2]
    return f"{end:.16e}" if unit not in NEEDS_NAME and len(decimals) > MOST_DECIMALS else text
