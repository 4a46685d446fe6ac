"""What files alone say of the candidates, and whether that keeps the release back already; nothing is loaded."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fidelity_gate.analysis.linting import chosen_rules, lint_with
from fidelity_gate.analysis.subject import subject_of
from fidelity_gate.errors import PolicyError
from fidelity_gate.matching import targets_of
from fidelity_gate.measuring import guards, planning
from fidelity_gate.records import Evidence
from fidelity_gate.wording import LINT

if TYPE_CHECKING:
    from fidelity_gate.analysis.linting import ChosenRule
    from fidelity_gate.analysis.subject import OpenedSubject
    from fidelity_gate.measuring.planning import Wanted
    from fidelity_gate.measuring.staging import Stage
    from fidelity_gate.protocols import OpenedModel, Subject
    from fidelity_gate.records import CheckResult, Measurement, ModelRecord, ModelSpec, Policy

POLICY_CLAIM = "the policy"


def wants_lint(wants: tuple[Wanted, ...]) -> bool:
    """Return whether some check counts findings."""
    return any(want.metric == LINT for want in wants)


def linted(stage: Stage, wants: tuple[Wanted, ...]) -> Stage:
    """Return the stage with what lint finds in every candidate that a check wants it of.

    Raises:
        PolicyError: the lint settings name a rule or an option that there is not.
        ModelRefused: a weight cannot be read.
        Internal: a rule broke.
    """
    asked = frozenset(name for want in wants if want.metric == LINT for name in want.candidates)
    if not asked:
        return stage
    rules = chosen_rules(stage.policy.lint, kind=PolicyError)
    reference = subject_of(stage.reference.name, stage.opened[0], depth=stage.reference.depth)
    records = [stage.reference]
    for spec, record, opened in zip(stage.policy.candidates, stage.candidates, stage.opened[1:], strict=True):
        known = candidate_subject(spec, opened, reference, stage.policy) if record.name in asked else None
        records.append(record if known is None else _with_findings(record, known, rules))
    return replace(stage, records=tuple(records))


def from_files(stage: Stage, wants: tuple[Wanted, ...]) -> list[Measurement]:
    """Return what the files alone say."""
    return [
        planning.from_records(want, stage.reference, candidate)
        for candidate in stage.candidates
        for want in wants
        if want.of(candidate.name, Evidence.FILE)
    ]


def left_out(stage: Stage, wants: tuple[Wanted, ...], failed: CheckResult) -> list[Measurement]:
    """Return a measurement without a value for everything that models would have to run for.

    Args:
        stage: what would be compared.
        wants: what is asked for.
        failed: the check that files alone decided.
    """
    reason = f"not run: static check '{failed.check.id}' failed first (--keep-going to measure everything)"
    return [
        planning.not_run(want, candidate.name, reason)
        for candidate in stage.candidates
        for want in wants
        if want.runs and candidate.name in want.candidates
    ]


def candidate_subject(spec: ModelSpec, opened: OpenedModel, reference: Subject | None, policy: Policy) -> OpenedSubject:
    """Return a candidate as lint rules see it; one that is declared as not compressed is held to no claim."""
    claims: tuple[str, ...] = (spec.name,)
    if guards.must_be_compressed(spec, policy):
        claims = (*claims, POLICY_CLAIM)
    subject = subject_of(
        spec.name,
        opened,
        depth=guards.depth_of(spec, policy),
        claims=claims,
        targets=targets_of(spec, policy),
        reference=reference,
    )
    return replace(subject, claims=()) if spec.uncompressed else subject


def _with_findings(record: ModelRecord, subject: OpenedSubject, rules: tuple[ChosenRule, ...]) -> ModelRecord:
    """Return the record with its findings; without any word where there is nothing of the file to look into."""
    if subject.weights is None and subject.graph is None:
        return record
    return replace(record, linted=lint_with(rules, subject, model=record.facts.path, candidate=record.name))
