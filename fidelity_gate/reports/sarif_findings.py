"""Lint rules and findings as SARIF has them, the same in lint's report and in the gate's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fidelity_gate.records import Place, RuleFacts, Severity
from fidelity_gate.reports.sarif_log import ERROR, NOTE, WARNING, SarifResult, SarifRule

if TYPE_CHECKING:
    from fidelity_gate.records import Finding

LEVELS = {Severity.ERROR: ERROR, Severity.WARN: WARNING, Severity.OFF: NOTE}


def rule_of(rule: RuleFacts) -> SarifRule:
    """Return a lint rule with everything that it says of itself."""
    told = [rule.documentation, f"**Why it matters.** {rule.why}", f"**How to mend it.** {rule.fix}"]
    return SarifRule(
        rule.code,
        rule.title,
        rule.summary or rule.why,
        LEVELS[rule.severity],
        full=f"{rule.summary} {rule.why}".strip(),
        help="\n\n".join(part for part in told if part),
    )


def rule_of_finding(finding: Finding) -> SarifRule:
    """Return a lint rule as far as its findings tell of it, for a report that has nothing else."""
    return rule_of(RuleFacts(finding.code, finding.rule, finding.severity, "", "", finding.why, finding.fix))


def result_of(finding: Finding, related: tuple[tuple[Place, str], ...] = ()) -> SarifResult:
    """Return a finding at its model file, and at the tensor or node in it."""
    at = finding.location
    parts = [f"{at.kind.value} {at.name}: {finding.message}" if at.name else finding.message]
    parts += [f"for {finding.target}"] if finding.target else []
    parts += [at.context] if at.context else []
    return SarifResult(
        finding.code,
        LEVELS[finding.severity],
        "; ".join(parts),
        Place(finding.model),
        kind=at.kind.value if at.name else "",
        name=at.name,
        related=related,
        identity=(finding.candidate, finding.target),
        figures=finding.figures,
    )
