"""Lint as SARIF 2.1.0: the model file as artifact, the tensor or node as logical location."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fidelity_gate.errors import ExitCode
from fidelity_gate.records import Place
from fidelity_gate.reports.sarif_findings import result_of, rule_of
from fidelity_gate.reports.sarif_log import ERROR, SarifFile, SarifLog, SarifResult, SarifRule, text_of

if TYPE_CHECKING:
    from fidelity_gate.records import LintedModel, LintReport

REFUSED = SarifRule(
    "refused",
    "model-refused",
    "A model that could not be looked at.",
    ERROR,
    help="What cannot be read cannot be cleared: until this model can be, nothing is known of it.",
)


@dataclass(frozen=True, slots=True)
class LintSarif:
    """Every finding as a result, and every model that could not be looked at; for code scanning."""

    suffix: ClassVar[str] = ".sarif"

    def render(self, report: LintReport) -> str:
        """Return the log."""
        refused = [model for model in report.models if model.linted is None]
        results = [
            result_of(finding, _related(model))
            for model in report.models
            if model.linted
            for finding in model.linted.findings
        ]
        return text_of(
            SarifLog(
                category=f"lint/{report.policy_name}" if report.policy_name else "lint",
                rules=(REFUSED, *(rule_of(rule) for rule in report.rules)),
                files=tuple(SarifFile(model.path, model.digest, model.size_bytes) for model in report.models),
                results=(*(_refusal(model) for model in refused), *results),
                exit_code=report.exit_code,
                reason=report.error or report.reason,
                ran=report.exit_code in (ExitCode.PASSED, ExitCode.FAILED),
                created=report.created,
                notices=(*((report.error,) if report.error else ()), *(model.error for model in refused)),
            )
        )


def _refusal(model: LintedModel) -> SarifResult:
    return SarifResult(REFUSED.id, ERROR, model.error, Place(model.path), related=_related(model))


def _related(model: LintedModel) -> tuple[tuple[Place, str], ...]:
    return ((model.place, f"candidate {model.candidate}"),) if model.place.file else ()
