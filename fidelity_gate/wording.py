"""How checks and figures are said: one place, so that no text can contradict a verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fidelity_gate.energy import METRIC as ENERGY
from fidelity_gate.errors import ExitCode
from fidelity_gate.matching import key_of
from fidelity_gate.records import Against, Outcome, Severity
from fidelity_gate.text import printable
from fidelity_gate.units import format_against, format_exact, format_together, format_value

if TYPE_CHECKING:
    from fidelity_gate.records import Bound, CheckResult, Finding, Linted, Measurement, Report

# Their reasons already say what kind they are.
SPEAK_FOR_THEMSELVES = (Outcome.WARN, Outcome.OFF, Outcome.WAIVED)
LINT = "lint"  # the metric whose number is a count of findings
FINDING_LIMIT = 300
NAME_LIMIT = 60
MOST_FINDINGS = 10  # of a candidate, in reports about checks; the rest is for `fidelity-gate lint`


def subject(candidate: str, target: str) -> str:
    """Return `int4@soc-8mb`, or the part of it that there is."""
    return f"{candidate}@{target}" if target else candidate


def figure(value: float, bound: Bound, unit: str, *, exact: bool = True) -> str:
    """Return a figure as text, precise enough never to stand on the wrong side of an end of the bound.

    `exact` as for `requirement`.
    """
    if not exact:
        return _together(value, bound, unit)[0]
    texts = [format_against(value, end, unit)[0] for end in (bound.minimum, bound.maximum) if end is not None]
    return max(texts, key=len, default=format_value(value, unit))


def requirement(bound: Bound, unit: str, *, beside: float | None = None) -> str:
    """Return `>= 0.97`, `<= 8 MiB (8.389 MB)`, or both joined by `and`.

    Args:
        bound: of a check, or of its result.
        unit: of the metric.
        beside: the figure beside which a bound is shown that follows from a measured one: its ends are rounded then, as
            far as they still compare with that figure as the numbers do. None: every digit of the ends.
    """
    shown = [format_exact(end, unit) for end in _ends(bound)]
    if beside is not None:
        shown = _together(beside, bound, unit)[1:]
    signs = [sign for sign, end in ((">=", bound.minimum), ("<=", bound.maximum)) if end is not None]
    said = [f"{sign} {text}" for sign, text in zip(signs, shown, strict=True)]
    if bound.max_regression is not None:
        said.append(f"at most {format_exact(bound.max_regression, 'fraction')} worse than before")
    if bound.max_drop is not None:
        said.append(f"at most {format_exact(bound.max_drop, unit)} worse than before")
    return " and ".join(said) or "no bound"


def comparison(observed: float, bound: Bound, unit: str, *, exact: bool = True) -> str:
    """Return `0.9410 < 0.97`: or `0.9810, required >= 0.97` where the bound is met.

    `exact` False: the ends follow from a measured figure, and are rounded as one.
    """
    for end, missed, sign in (
        (bound.minimum, bound.minimum is not None and observed < bound.minimum, "<"),
        (bound.maximum, bound.maximum is not None and observed > bound.maximum, ">"),
    ):
        if end is not None and missed:
            pair = format_against(observed, end, unit) if exact else format_together((observed, end), unit)
            return f" {sign} ".join(pair)
    required = requirement(bound, unit, beside=None if exact else observed)
    return f"{figure(observed, bound, unit, exact=exact)}, required {required}"


def _ends(bound: Bound) -> list[float]:
    return [end for end in (bound.minimum, bound.maximum) if end is not None]


def _together(value: float, bound: Bound, unit: str) -> list[str]:
    """Return a figure and the ends of a bound as texts that compare as the numbers do."""
    return list(format_together((value, *_ends(bound)), unit))


def headline(result: CheckResult) -> str:
    """Return `carry-fidelity int4@soc-8mb: 0.9410 < 0.97`, the one line that says what became of a check."""
    said = f"{result.check.id} {subject(result.candidate, result.check.target)}".rstrip()
    estimate = ", an estimate" if result.check.metric == ENERGY and result.observed is not None else ""
    device = device_of(result)
    there = f" on {device}" if device else ""
    past = past_of(result)
    return f"{said}{there}: {what_happened(result)}{estimate}{f' ({past})' if past else ''}"


def device_of(result: CheckResult) -> str:
    """Return the device that a check is about, or "": reports never show a figure of one without what it ran on."""
    return printable(str(dict(result.check.options).get("device") or ""))


def what_happened(result: CheckResult) -> str:
    """Return the comparison where there was one, and the reason where there was none."""
    if result.reason:
        plain = result.outcome.value.replace("-", " ")
        return result.reason if result.outcome in SPEAK_FOR_THEMSELVES else f"{plain}: {result.reason}"
    if result.observed is None:
        return result.outcome.value
    return comparison(result.observed, result.bound, result.unit, exact=result.compared is None)


def past_of(result: CheckResult) -> str:
    """Return what of the past a check was held against, and how its number stands there; "" where it was not."""
    compared = result.compared
    if compared is None:
        return ""
    if compared.old is None:
        return "not compared: the history is too short" if result.outcome is Outcome.PASS else ""
    old = _short(compared.old, result.unit)
    if compared.against is Against.BASELINE:
        blocked = ", whose run was blocked" if compared.blocked else ""
        said = [f"baseline {old} of {printable(compared.when[:10])}{blocked}"]
    else:
        said = [f"median of {counted(compared.runs, 'run')} {old}"]
    bound, unit = result.check.bound, result.unit
    share = [] if bound.max_regression is None else [format_exact(bound.max_regression, "fraction")]
    least = share if bound.max_drop is None else [*share, format_exact(bound.max_drop, unit).partition(" (")[0]]
    said += [f"at most {' and '.join(least)} worse"]
    said += [f"up to {_short(compared.noise, unit)} is noise"] if compared.noise else []
    said += [compared.standing.value] if compared.standing else []
    return ", ".join(said)


def _short(value: float, unit: str) -> str:
    """Return a figure in one unit of two."""
    return format_value(value, unit).partition(" (")[0]


def counted(count: int, one: str) -> str:
    """Return `1 run`, `5 runs`."""
    return f"{count} {one}" if count == 1 else f"{count} {one}s"


def told_of(report: Report, result: CheckResult) -> str:
    """Return the headline with what the metric had to say, which for a figure of a device is what it ran on."""
    detail = detail_of(report, result)
    return f"{headline(result)} ({detail})" if detail else headline(result)


def detail_of(report: Report, result: CheckResult) -> str:
    """Return what the metric itself had to say about the number that a check was judged on, or "".

    A figure of a device begins with what it ran on: no text shows the one without the other.
    """
    found = behind(report, result)
    return detail_with_device(found) if found else ""


def detail_with_device(measurement: Measurement) -> str:
    """Return what a metric had to say, after what its figure was measured on where that is a device."""
    return ": ".join(part for part in (measurement.ran_on, measurement.detail) if part)


def behind(report: Report, result: CheckResult) -> Measurement | None:
    """Return the measurement whose number a check was judged on; None where there is none."""
    key = key_of(result.check.metric, result.check.options, result.candidate)
    measurements = report.measured.measurements if report.measured else ()
    return next((one for one in measurements if key_of(one.metric, one.options, one.candidate) == key), None)


def worst_probe_of(report: Report, result: CheckResult) -> int | None:
    """Return the row of the worst probe; None where there is none, because all probes are equally good."""
    measurement = behind(report, result)
    if measurement is not None and len(set(measurement.values)) == 1:
        return None
    return result.worst_probe


def findings_from(linted: Linted, least: Severity) -> tuple[Finding, ...]:
    """Return the findings of a severity and of the worse one, in their order."""
    counted = (Severity.ERROR,) if least is Severity.ERROR else (Severity.ERROR, Severity.WARN)
    return tuple(finding for finding in linted.findings if finding.severity in counted)


def findings_behind(report: Report, result: CheckResult) -> tuple[Finding, ...]:
    """Return the findings that a check of the metric `lint` counted; none for other metrics."""
    records = report.measured.candidates if report.measured else ()
    linted = next((record.linted for record in records if record.name == result.candidate), None)
    if result.check.metric != LINT or linted is None:
        return ()
    return findings_from(linted, Severity(str(dict(result.check.options).get("severity", Severity.ERROR.value))))


def finding_text(finding: Finding) -> str:
    """Return `FG201 at blk.w: one scale for 4-bit values`, on one line and escaped: names are the file's author's."""
    place = f" at {finding.location.name}" if finding.location.name else ""
    target = f" (on {finding.target})" if finding.target else ""
    return printable(f"{finding.code}{place}: {finding.message}{target}", FINDING_LIMIT)


def finding_lines(findings: tuple[Finding, ...], most: int = MOST_FINDINGS) -> list[str]:
    """Return a line for each of the first findings, and one that says where the others are told."""
    lines = [f"{finding.severity.value} {finding_text(finding)}" for finding in findings[:most]]
    more = len(findings) - len(lines)
    return [*lines, f"and {more} more: fidelity-gate lint {printable(findings[0].model)}"] if more else lines


def findings_count(findings: tuple[Finding, ...]) -> str:
    """Return `2 errors, 1 warning`."""
    errors = sum(finding.severity is Severity.ERROR for finding in findings)
    counts = ((errors, "error"), (len(findings) - errors, "warning"))
    return ", ".join(f"{count} {kind}" if count == 1 else f"{count} {kind}s" for count, kind in counts)


def blocks(report: Report) -> bool:
    """Return whether a report keeps a release back: unless everything in it agrees that it passed, it does."""
    verdict = report.verdict
    return not verdict.passed or verdict.exit_code != ExitCode.PASSED or bool(report.error) or bool(report.error_kind)


def verdict_line(report: Report) -> str:
    """Return the last line of a report: `PASSED: ...` or `BLOCKED (exit 1): ...`."""
    said = report.error or report.verdict.reason or "no reason was given"
    if blocks(report):
        return f"BLOCKED (exit {report.verdict.exit_code}): {said}"
    return f"PASSED: {said}{simulated_note(report)}"


def simulated_devices(report: Report) -> tuple[str, ...]:
    """Return the policy's names of the devices whose figures are of no device, because a service simulated it."""
    measured = report.measured
    models = (measured.reference, *measured.candidates) if measured else ()
    runs = {run.device for model in models for run in model.device_runs if run.job and run.job.simulated}
    steps = (told for model in models for told in model.device_steps if any(job.simulated for job in told.jobs))
    return tuple(sorted(runs | {told.wanted.device for told in steps}))


def simulated_note(report: Report) -> str:
    """Return what stands behind a verdict that rests on simulated devices, or "": nobody may take it for evidence."""
    names = ", ".join(printable(name, NAME_LIMIT) for name in simulated_devices(report))
    return f"; SIMULATED, no device ran anything: {names}" if names else ""
