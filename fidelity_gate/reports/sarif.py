"""The gate's verdict as SARIF 2.1.0: what does not pass at its line of the policy, lint findings at the model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.errors import ExitCode, Internal
from fidelity_gate.records import Outcome, Place
from fidelity_gate.reports.sarif_findings import result_of, rule_of_finding
from fidelity_gate.reports.sarif_log import (
    ERROR,
    NOTE,
    WARNING,
    SarifFile,
    SarifLog,
    SarifResult,
    SarifRule,
    text_of,
)
from fidelity_gate.wording import blocks, detail_of, findings_behind, headline, verdict_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.records import CheckResult, Report

VERDICT = SarifRule("gate.verdict", "verdict", "The release is blocked.", ERROR)
SILENT = (Outcome.PASS, Outcome.OFF)
LEVELS = {Outcome.WARN: WARNING, Outcome.WAIVED: NOTE}  # anything else blocks


@dataclass(frozen=True, slots=True)
class Sarif:
    """One result for every check that does not pass, and one for every lint finding; for code scanning."""

    suffix: ClassVar[str] = ".sarif"

    def render(self, report: Report) -> str:
        """Return the log; raises Internal rather than one that blocks and shows no error."""
        checks = [_result(result, report) for result in report.verdict.results if result.outcome not in SILENT]
        results = (*checks, *_findings(report))
        if blocks(report) and not any(result.level == ERROR for result in checks):
            results = (_verdict(report), *results)
        if blocks(report) != any(result.level == ERROR for result in results if result.rule in _own_rules(report)):
            raise Internal("the SARIF report does not say what the verdict says", field="sarif")
        verdict, policy = report.verdict, report.policy
        name = verdict.policy_name or (policy.name if policy else "")
        return text_of(
            SarifLog(
                category=f"gate/{name}" if name else "gate",
                rules=_rules(report),
                files=_files(report),
                results=results,
                exit_code=verdict.exit_code,
                reason=verdict_line(report),
                ran=verdict.exit_code in (ExitCode.PASSED, ExitCode.FAILED),
                created=report.created,
                notices=(report.error,) if report.error else (),
            )
        )


def _result(result: CheckResult, report: Report) -> SarifResult:
    check, detail = result.check, detail_of(report, result)
    files = {spec.name: spec.path for spec in report.policy.candidates} if report.policy else {}
    path = files.get(result.candidate, "")
    return SarifResult(
        check.metric,
        LEVELS.get(result.outcome, ERROR),
        f"{headline(result)} ({detail})" if detail else headline(result),
        check.place if check.place.file else Place(report.policy.path if report.policy else ""),
        related=((Place(path), f"candidate {result.candidate}"),) if path else (),
        identity=(check.id, result.candidate, check.target),
        figures=_figures(result),
        accepted=result.reason or "waived" if result.outcome is Outcome.WAIVED else "",
    )


def _figures(result: CheckResult) -> tuple[tuple[str, float], ...]:
    figures = (("margin", result.margin), ("observed", result.observed))
    return tuple((name, value) for name, value in figures if value is not None and math.isfinite(value))


def _verdict(report: Report) -> SarifResult:
    return SarifResult(VERDICT.id, ERROR, verdict_line(report), Place(report.policy.path if report.policy else ""))


def _findings(report: Report) -> Iterator[SarifResult]:
    """Yield what lint found in the candidates, each with the lines of the policy whose checks count it."""
    counted = [(result.check, findings_behind(report, result)) for result in report.verdict.results]
    for record in report.measured.candidates if report.measured else ():
        for finding in record.linted.findings if record.linted else ():
            asked_by = (check for check, findings in counted if check.place.file and finding in findings)
            yield result_of(finding, tuple((check.place, f"check {check.id}") for check in asked_by))


def _own_rules(report: Report) -> set[str]:
    return {VERDICT.id, *(result.check.metric for result in report.verdict.results)}


def _rules(report: Report) -> tuple[SarifRule, ...]:
    metrics = sorted({result.check.metric for result in report.verdict.results if result.outcome not in SILENT})
    linted = [record.linted for record in (report.measured.candidates if report.measured else ()) if record.linted]
    found = {finding.code: finding for one in linted for finding in one.findings}
    return (
        VERDICT,
        *(SarifRule(name, name, f"A check of {name} that does not pass.", ERROR) for name in metrics),
        *(rule_of_finding(found[code]) for code in sorted(found)),
    )


def _files(report: Report) -> tuple[SarifFile, ...]:
    if report.measured is None:
        return ()
    records = (report.measured.reference, *report.measured.candidates)
    facts = {record.facts.path: record.facts for record in records}
    return tuple(SarifFile(one.path, one.digest, one.size_bytes) for one in facts.values())
