"""What pytest shows: the first line of a failure, properties for JUnit, and what the session judged with."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from fidelity_gate import __version__
from fidelity_gate.records import Outcome, Severity
from fidelity_gate.text import printable
from fidelity_gate.wording import (
    comparison,
    device_of,
    finding_lines,
    findings_behind,
    headline,
    requirement,
    simulated_devices,
    verdict_line,
)

if TYPE_CHECKING:
    from fidelity_gate.records import Check, CheckResult, Policy, Report

LINE_LIMIT = 1000
MOST_BLOCKING = 20  # checks that the verdict lists
SHOWN_DIGITS = 12  # of a digest, for people; JUnit and JSON have all of it
LIBRARIES = ("numpy", "onnxruntime", "torch")
_COMPARED = re.compile(r"-?\d+\.(\d+) [<>] -?\d+(\.\d+)?")
HARMLESS = (Outcome.PASS, Outcome.WARN, Outcome.WAIVED, Outcome.OFF)


def item_name(check: Check, candidate: str) -> str:
    """Return `carry-fidelity[int8-soc-8mb]`: ids alone, nothing that a shell or a JUnit reader stumbles over."""
    return f"{check.id}[{'-'.join(part for part in (candidate, check.target) if part)}]"


def distinct(names: list[str]) -> list[str]:
    """Number every second item of one name (`a-b` for `c`, and `a` for `b-c`), so that each can be selected."""
    return [f"{name}.{names[: at + 1].count(name)}" if name in names[:at] else name for at, name in enumerate(names)]


def title(nodeid: str) -> str:
    """Return `gate.verdict of gates/release.gate.yaml`: what stands above a failure, where there may be many policies.

    pytest shows the dots of a title that ends a node id as `::`; this one does not.
    """
    file, _, name = nodeid.rpartition("::")
    return one_line(f"{name} of {file}")


def one_line(text: str) -> str:
    """Return a text on one line, escaped."""
    return printable(text, LINE_LIMIT)


def first_line(result: CheckResult) -> str:
    """Return `carry-fidelity int4@soc-8mb: 0.9410 < 0.9700`: the headline, both figures with as many decimals."""
    said = headline(result)
    if result.outcome is not Outcome.FAIL or result.observed is None:
        return said
    compared = comparison(result.observed, result.bound, result.unit, exact=result.compared is None)
    return said.replace(compared, aligned(compared), 1)


def aligned(compared: str) -> str:
    """Return a comparison of two plain numbers with zeros behind the second, which change nothing of it."""
    match = _COMPARED.fullmatch(compared)
    if match is None:
        return compared
    missing = len(match[1]) - len((match[2] or ".")[1:])
    return compared + ("" if match[2] else ".") + "0" * missing if missing > 0 else compared


def failure_lines(report: Report, result: CheckResult) -> list[str]:
    """Return what a failed check says: the comparison first, then what was required, where, and what was found."""
    check = result.check
    bound = [f"required: {check.bound.text}"] if check.bound.text else []
    worst = [f"worst probe: {result.worst_probe}"] if result.worst_probe is not None else []
    place = [f"policy: {check.place}"] if check.place.file else []
    return [first_line(result), *bound, *worst, *place, *finding_lines(findings_behind(report, result))]


def verdict_lines(report: Report) -> list[str]:
    """Return what a verdict that blocks says: the reason, then the checks that block."""
    results = report.verdict.results
    blocking = [one for one in results if one.check.severity is Severity.ERROR and one.outcome not in HARMLESS]
    more = len(blocking) - MOST_BLOCKING
    return [
        verdict_line(report),
        *(first_line(result) for result in blocking[:MOST_BLOCKING]),
        *([f"and {more} more"] if more > 0 else []),
    ]


def check_properties(report: Report, result: CheckResult) -> list[tuple[str, str]]:
    """Return what JUnit carries of a check; numbers are raw and whole, in the metric's base unit."""
    check = result.check
    found = {
        "fg_check": check.id,
        "fg_candidate": result.candidate,
        "fg_target": check.target,
        "fg_device": device_of(result),
        "fg_simulated": "true" if device_of(result) in simulated_devices(report) else "",
        "fg_metric": check.metric,
        "fg_outcome": result.outcome.value,
        "fg_observed": "" if result.observed is None else repr(result.observed),
        "fg_required": requirement(result.bound, result.unit),
        "fg_margin": "" if result.margin is None else repr(result.margin),
        "fg_unit": result.unit,
        "fg_worst_probe": "" if result.worst_probe is None else str(result.worst_probe),
    }
    return _properties(found | _digests(report, result.candidate))


def verdict_properties(report: Report) -> list[tuple[str, str]]:
    """Return what JUnit carries of a verdict."""
    verdict = report.verdict
    found = {
        "fg_policy": verdict.policy_name,
        "fg_exit_code": str(verdict.exit_code),
        "fg_met": str(verdict.met),
        "fg_required_checks": str(verdict.required),
        "fg_waived": str(verdict.waived or ""),
        "fg_simulated": ", ".join(simulated_devices(report)),
    }
    candidates = report.measured.candidates if report.measured else ()
    each = {f"fg_candidate_digest.{record.name}": record.facts.digest for record in candidates}
    return _properties(found | _digests(report, "") | each)


def header_lines() -> list[str]:
    """Return the versions that decide a figure; nothing is imported for them."""
    found = [f"{name} {told}" for name in LIBRARIES if (told := _version(name))]
    return [f"fidelity-gate: {__version__} ({', '.join(found)})"]


def policy_line(policy: Policy) -> str:
    """Return what was collected of a policy."""
    names = ", ".join(spec.name for spec in policy.candidates)
    digest = policy.digest[:SHOWN_DIGITS]
    return one_line(f"fidelity-gate: {policy.path}: policy {policy.name} (sha256 {digest}) of {names}")


def digest_line(report: Report) -> str:
    """Return what was compared, by the beginnings of its digests; "" where nothing was."""
    measured = report.measured
    digests = [("policy", report.verdict.policy_digest)]
    if measured is not None:
        digests += [("inputs", measured.provenance.inputs_digest), ("reference", measured.reference.facts.digest)]
        digests += [(record.name, record.facts.digest) for record in measured.candidates]
    told = ", ".join(f"{name} {digest[:SHOWN_DIGITS]}" for name, digest in digests if digest)
    return one_line(f"sha256: {told}") if told else ""


def _digests(report: Report, candidate: str) -> dict[str, str]:
    measured = report.measured
    if measured is None:
        return {"fg_policy_digest": report.verdict.policy_digest}
    own = next((record.facts.digest for record in measured.candidates if record.name == candidate), "")
    return {
        "fg_policy_digest": report.verdict.policy_digest,
        "fg_inputs_digest": measured.provenance.inputs_digest,
        "fg_reference_digest": measured.reference.facts.digest,
        "fg_candidate_digest": own,
    }


def _properties(found: dict[str, str]) -> list[tuple[str, str]]:
    return [(one_line(name), one_line(value)) for name, value in found.items() if value]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
