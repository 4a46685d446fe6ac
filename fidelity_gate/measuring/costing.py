"""What the compared models compute, at the depth that each runs: in every record, or why it is not known."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fidelity_gate.analysis.compute import compute_of
from fidelity_gate.errors import NotMeasured
from fidelity_gate.records import Severity

if TYPE_CHECKING:
    from fidelity_gate.protocols import OpenedModel
    from fidelity_gate.records import ModelRecord, Policy, Probes

METRICS = ("compute", "energy")


def costed(
    policy: Policy, opened: tuple[OpenedModel, ...], records: tuple[ModelRecord, ...], probes: Probes
) -> tuple[ModelRecord, ...]:
    """Return the records with what each model computes.

    A module of the user's own tells only by running, so it runs one probe here, and only where a check asks.

    Args:
        policy: whose checks say what is asked for.
        opened: the models, the reference first.
        records: theirs, in the same order.
        probes: of which the first is run, where something has to run.
    """
    asked = _asked(policy)
    return tuple(
        _costed(record, model, probes if record.name in asked else None)
        for record, model in zip(records, opened, strict=True)
    )


def _asked(policy: Policy) -> frozenset[str]:
    """Return the names of the models whose compute some check wants; the reference's is shown beside."""
    checks = [one for one in policy.checks if one.metric in METRICS and one.severity is not Severity.OFF]
    everybody = [spec.name for spec in policy.candidates]
    names = {name for check in checks for name in check.candidates or everybody}
    return frozenset({*names, policy.reference.name} if names else ())


def _costed(record: ModelRecord, model: OpenedModel, probes: Probes | None) -> ModelRecord:
    try:
        return replace(record, compute=compute_of(model, record.depth, probes))
    except NotMeasured as error:
        return replace(record, compute_gap=f"{error.what} ({error.hint})" if error.hint else error.what)
