"""`fidelity-gate baseline`: save a run that later ones are held against, and show what is saved. No run does it."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from fidelity_gate.errors import Refused, UsageError
from fidelity_gate.text import printable, quiet_json
from fidelity_gate.verbs.keeping import checked_revision
from fidelity_gate.verbs.orders import now, refuse_overwriting
from fidelity_gate.verbs.stdout import write_stdout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.records import Baseline, Measurement, MeasurementSet, Past, Policy, Verdict

LIMIT_BYTES = 128 * 2**20
EVEN_IF_BLOCKED = "--even-if-blocked"
REASON_LIMIT = 110  # so that what can be done about it still fits on the line

EPILOG = """\b
Examples:
  fidelity-gate baseline write measurements.json --policy release.yaml -o baselines/release.json
  fidelity-gate baseline show baselines/release.json
"""
WRITE_EPILOG = """\b
Examples:
  fidelity-gate measure release.yaml -o measurements.json
  fidelity-gate baseline write measurements.json --policy release.yaml -o baselines/release.json
  fidelity-gate baseline write verdict.json -o baselines/release.json --revision v1.4

Measurements are judged by the policy first: against its baseline where there is one, else by everything else. A history
that is too short for its checks does not keep a baseline from being written.
"""


@click.group(epilog=EPILOG, invoke_without_command=True)
@click.pass_context
def baseline(context: click.Context) -> None:
    """Save a run that later ones are held against, and show what is saved."""
    if context.invoked_subcommand is None:
        raise UsageError("baseline needs a verb of its own", hint="write, show; see baseline --help")


@baseline.command(epilog=WRITE_EPILOG)
@click.argument("source", metavar="MEASUREMENTS_OR_VERDICT")
@click.option("-o", "--output", required=True, metavar="FILE", help="The baseline; one that is there is replaced.")
@click.option("--policy", metavar="POLICY", help="What measurements are judged by; a verdict names its own.")
@click.option("--revision", metavar="TEXT", help="What the baseline calls itself: a commit, a tag.")
@click.option(EVEN_IF_BLOCKED, is_flag=True, help="Write it of a run that did not pass; it says so inside.")
def write(*, source: str, output: str, policy: str | None, revision: str | None, even_if_blocked: bool) -> int:
    """Write the baseline of the run in MEASUREMENTS_OR_VERDICT, if it passed."""
    from fidelity_gate.files import replace_atomically
    from fidelity_gate.past import baseline_file

    refuse_overwriting(output, (source, policy or ""), option="--output")
    named = checked_revision(revision)
    measured, verdict = _judged(source, policy, even_if_blocked=even_if_blocked)
    if not verdict.passed and not even_if_blocked:
        what = f"did not pass: {printable(verdict.reason, REASON_LIMIT)}"
        raise Refused(what, where=source, hint=_mend(verdict))
    made = baseline_file.made(measured, verdict, created=now(), revision=named)
    replace_atomically(output, baseline_file.dump(made))
    told = "" if made.passed else ", of a run that was blocked"
    click.echo(f"wrote {printable(output)}: {len(made.measurements)} numbers{told}", err=True)
    return 0


@baseline.command()
@click.argument("path", metavar="FILE")
@click.option("--json", "as_json", is_flag=True, help="As JSON: the file's content, one value a line.")
def show(*, path: str, as_json: bool) -> None:
    """Show a baseline: what was measured, of what, on what."""
    from fidelity_gate.past import baseline_file

    found = baseline_file.read(path)
    if as_json:
        plain = json.loads(baseline_file.dump(found))
        write_stdout(quiet_json(json.dumps(plain, indent=2, allow_nan=False)) + "\n")
        return
    from fidelity_gate.verbs.columns import columns

    facts = columns((printable(name), printable(text, 400)) for name, text in _facts(found))
    write_stdout(f"{facts}\n\n{columns(_rows(found))}\n")


# ---------------------------------------------------------------- what is written


def _mend(verdict: Verdict) -> str:
    """Return what can be done about a run that makes no baseline, as it is blocked."""
    # What is of something else, or lacks a number, cannot be held against; and no run replaces it by itself.
    if any(one.reason.startswith("the baseline ") for one in verdict.results):
        return f"remove the old one to start anew, or {EVEN_IF_BLOCKED}"
    return f"{EVEN_IF_BLOCKED} writes it all the same"


def _judged(source: str, policy: str | None, *, even_if_blocked: bool) -> tuple[MeasurementSet, Verdict]:
    """Return what a run measured, and what is judged of it."""
    from fidelity_gate import json_fields, measurements_file
    from fidelity_gate.files import read_file
    from fidelity_gate.reports import json as saved

    data = read_file(source, limit_bytes=LIMIT_BYTES).data
    plain = json_fields.parse(data, where=source)
    if not isinstance(plain, dict) or plain.get("schema") != saved.SCHEMA:
        return _of_measurements(measurements_file.load(data, source), policy, even_if_blocked=even_if_blocked)
    from fidelity_gate.verbs.report import refuse_untrue

    if policy is not None:
        raise UsageError("is for measurements: a verdict names its own policy", field="--policy", hint="leave it out")
    report = saved.load(data, source)
    refuse_untrue(report, source)
    if report.measured is None:
        raise Refused("is of a run that measured nothing", where=source)
    return report.measured, report.verdict


def _of_measurements(
    measured: MeasurementSet, policy: str | None, *, even_if_blocked: bool
) -> tuple[MeasurementSet, Verdict]:
    from fidelity_gate.judge import judge
    from fidelity_gate.verbs.stages import prepare_for

    if policy is not None:
        found = prepare_for(policy, measured)
        if found.history is not None:
            found = replace(found, history=replace(found.history, warn_while_new=True))
        return measured, judge(found, measured, _past(found, measured), now()[:10])
    if not even_if_blocked:
        hint = f"the policy that they passed, or {EVEN_IF_BLOCKED}"
        raise UsageError("is needed: measurements alone do not say whether they passed", field="--policy", hint=hint)
    return measured, _unjudged(measured)


def _past(policy: Policy, measured: MeasurementSet) -> Past | None:
    """Return what the run is held against: where there is no baseline yet, it is the first, and held against itself."""
    from fidelity_gate.past import baseline_file
    from fidelity_gate.past.reading import past_of
    from fidelity_gate.records import Past

    if policy.baseline is None or os.path.lexists(policy.baseline.path):
        return past_of(policy, measured)
    first = baseline_file.made(measured, _unjudged(measured), created="")
    return replace(past_of(replace(policy, baseline=None), measured) or Past(), baseline=first)


def _unjudged(measured: MeasurementSet) -> Verdict:
    from fidelity_gate.errors import ExitCode
    from fidelity_gate.records import Verdict

    provenance = measured.provenance
    name, digest = provenance.policy_name, provenance.policy_digest
    return Verdict(name, digest, (), 0, 0, passed=False, exit_code=int(ExitCode.UNDECIDED), reason="was not judged")


# ---------------------------------------------------------------- what is shown


def _facts(found: Baseline) -> Iterator[tuple[str, str]]:
    yield "policy", f"{found.policy_name} (sha256 {found.policy_digest[:16]}...)"
    yield "written", found.created + (f", {found.revision}" if found.revision else "")
    yield "its run", "passed" if found.passed else f"was blocked: {found.reason}"
    yield "inputs", f"{found.probes} probes (sha256 {found.inputs_digest[:16]}...)"
    yield "reference", f"{found.reference_depth} (sha256 {found.reference_digest[:16]}...)"
    run = found.run
    yield "run", f"seed {run.seed}, threads {run.threads}, batch {run.batch}, {run.dtype}"
    for model in found.candidates:
        yield f"candidate {model.name}", f"{model.depth} (sha256 {model.digest[:16]}...)"
        for place in model.places:
            facts = ", ".join(f"{name} {value}" for name, value in place.where)
            yield f"  on {place.device}", f"{place.use}: {facts}"


def _rows(found: Baseline) -> Iterator[tuple[str, ...]]:
    yield ("candidate", "metric", "mean", "worst")
    for one in found.measurements:
        options = " ".join(f"{name}={value}" for name, value in one.options)
        yield (printable(one.candidate), printable(f"{one.metric} {options}".strip()), *_numbers(one))


def _numbers(one: Measurement) -> tuple[str, str]:
    """Return the mean and the worst of the values; of one value only itself; of none, which no run writes, that."""
    from fidelity_gate.bounds import mean, observations
    from fidelity_gate.records import Aggregate
    from fidelity_gate.units import format_value

    if not one.values:
        return "no value", ""
    if not one.per_probe:
        return format_value(one.values[0], one.unit), ""
    worst = observations(one.values, Aggregate.WORST, one.direction)
    return format_value(mean(one.values), one.unit), " to ".join(format_value(value, one.unit) for value in worst)
