"""What belongs together: checks and candidates, checks and measurements, a policy and the run it is judged on."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, TypeAlias

from fidelity_gate.errors import PolicyError, Refused
from fidelity_gate.records import Against, Place, Severity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fidelity_gate.records import (
        Check,
        LintSettings,
        Measurement,
        MeasurementSet,
        ModelRecord,
        ModelSpec,
        Options,
        Policy,
        Target,
    )

Key: TypeAlias = tuple[str, str, tuple[tuple[str, str, object], ...]]


def pairs(policy: Policy) -> tuple[tuple[Check, str], ...]:
    """Return every check with every candidate it applies to, in the policy's order.

    A check that applies to no candidate is paired with "" so that it cannot vanish.
    """
    found: list[tuple[Check, str]] = []
    for check in policy.checks:
        names = [spec.name for spec in policy.candidates if _applies(check, spec)]
        found += [(check, name) for name in names or [""]]
    return tuple(found)


def key_of(metric: str, options: Options, candidate: str) -> Key:
    """Return the identity of a measurement; types count, because 1, 1.0 and true are equal in Python."""
    return metric, candidate, tuple((name, type(value).__name__, value) for name, value in sorted(options, key=str))


def indexed(measured: MeasurementSet) -> dict[Key, Measurement]:
    """Return every measurement by its identity; raises Refused where two have the same."""
    index: dict[Key, Measurement] = {}
    for measurement in measured.measurements:
        key = key_of(measurement.metric, measurement.options, measurement.candidate)
        if key in index:
            what = f"{measurement.metric} was measured twice for {measurement.candidate}"
            raise Refused(what, where="measurements", hint="measure again")
        index[key] = measurement
    return index


def _applies(check: Check, spec: ModelSpec) -> bool:
    named = not check.candidates or spec.name in check.candidates
    return named and (not check.target or not spec.targets or check.target in spec.targets)


def refuse_unsound(policy: Policy) -> None:
    """Raise PolicyError on contradictions that could hide a check or a candidate, whoever made the record."""
    names = [spec.name for spec in policy.candidates]
    ids = [(check.id, check.target) for check in policy.checks]
    if len(set(names)) != len(names) or len(set(ids)) != len(ids):
        raise PolicyError("two candidates or two checks have the same name", where=policy.path)
    for check in policy.checks:
        unknown = sorted(set(check.candidates) - set(names))
        if unknown:
            raise PolicyError(
                f"there is no candidate '{unknown[0]}'", where=str(check.place) or policy.path, field=check.id
            )
    counted = {name for check, name in pairs(policy) if requires(check, policy)}
    for name in names:
        if name not in counted:
            what = "no check of severity error applies to this candidate, so nothing is required of it"
            raise PolicyError(what, where=policy.path, field=f"candidates.{name}", hint="add a check, or remove it")


def requires(check: Check, policy: Policy) -> bool:
    """Return whether a check blocks whatever the past is: a check that may only warn at first requires nothing then."""
    new = check.against is Against.HISTORY and policy.history is not None and policy.history.warn_while_new
    return check.severity is Severity.ERROR and (check.bound.absolute or not new)


def refuse_other_run(policy: Policy, measured: MeasurementSet) -> None:
    """Raise when the measurements are not of the run that the policy asks for."""
    records = {record.name: record for record in measured.candidates}
    names = [record.name for record in measured.candidates]
    wanted = [spec.name for spec in policy.candidates]
    _same("candidates", str(sorted(names)), str(sorted(wanted)))
    _same("recursion", str(measured.reference.depth), str(policy.reference.recursion or policy.recursion))
    for spec in policy.candidates:
        depth = str(records[spec.name].depth)
        _same(f"candidates.{spec.name}.recursion", depth, str(spec.recursion or policy.recursion))
        found, asked = (f"uncompressed: {str(one.uncompressed).lower()}" for one in (records[spec.name], spec))
        _same(f"candidates.{spec.name}", found, asked)
    for field in fields(policy.run):
        found, asked = (repr(getattr(run, field.name)) for run in (measured.provenance.run, policy.run))
        _same(f"run.{field.name}", found, asked)
    if measured.noise_floor is not None:
        perturbation = measured.noise_floor.perturbation
        _same("noise_floor.perturbation", repr(perturbation), repr(policy.noise_floor.perturbation))
    _refuse_other_things(policy, measured)
    _refuse_other_lint(policy, measured, records)
    _refuse_other_devices(policy, measured)


def asked(policy: Policy) -> Options:
    """Return what a policy names to be compared, and on what, as far as another policy can name the same.

    Of files only their names: folders differ from machine to machine. Of candidates only how they are read: which file
    each is, is what a policy is asked about, and no part of what it asks for.
    """
    found = [("reference", _bare(policy.reference.path))] if policy.reference.path else []
    for spec in (policy.reference, *policy.candidates):
        where = "reference" if spec is policy.reference else f"candidates.{spec.name}"
        found.append((f"{where}.model", _told(spec.use, spec.options)))
    if policy.inputs.use:
        found.append(("inputs", _told(policy.inputs.use, policy.inputs.options)))
    calibration = policy.calibration
    found.append(("inputs.calibration", _told(calibration.use, calibration.options) if calibration else "none"))
    return tuple(sorted(found))


def targets_of(spec: ModelSpec, policy: Policy) -> tuple[Target, ...]:
    """Return the targets that a candidate is for: those it names, or all of the policy's."""
    return tuple(target for target in policy.targets if not spec.targets or target.name in spec.targets)


def lint_of(policy: Policy) -> LintSettings:
    """Return how a policy lints, without the place where it says so."""
    return replace(policy.lint, place=Place())


def _refuse_other_things(policy: Policy, measured: MeasurementSet) -> None:
    """Raise when another policy was measured, and it named another reference, or other rows.

    Measured by this very policy they are what it names, or what whoever measured was let give instead.
    """
    provenance = measured.provenance
    if provenance.policy_digest == policy.digest or not provenance.asked:
        return
    found = dict(provenance.asked)
    for field, wanted in asked(policy):
        if field in found or field != "reference":  # a factory of the user's own is no file: its options name it
            _same(field, str(found.get(field, "nothing")), str(wanted))


def _told(use: str, options: Options) -> str:
    """Return a plug and its options, in one line; texts are mostly paths, and of those only the file's name counts."""
    told = [f"{name}={_bare(value) if isinstance(value, str) else value!r}" for name, value in sorted(options, key=str)]
    return " ".join([use or "what the file is", *told])


def _bare(path: str) -> str:
    return path.replace("\\", "/").rstrip("/").rpartition("/")[2]


def _refuse_other_lint(policy: Policy, measured: MeasurementSet, records: Mapping[str, ModelRecord]) -> None:
    """Raise when models were linted by other rules or for other targets: the findings would not be this policy's."""
    if measured.provenance.lint is None:
        return
    if measured.provenance.lint != lint_of(policy):
        what = "measured with other lint settings than the policy's"
        raise Refused(what, where="measurements", field="lint", hint="measure again with this policy")
    for spec in policy.candidates:
        if records[spec.name].targets != targets_of(spec, policy):
            what = "linted for other targets, or other limits of them, than the policy's"
            hint = "measure again with this policy"
            raise Refused(what, where="measurements", field=f"candidates.{spec.name}.targets", hint=hint)


def _refuse_other_devices(policy: Policy, measured: MeasurementSet) -> None:
    """Raise when models ran on other devices than the policy's: a name alone does not make two of them one."""
    found = [(one.name, one.use, one.options) for one in measured.provenance.devices]
    if found and found != [(one.name, one.use, one.options) for one in policy.devices]:
        what = "measured with other devices, or other settings of them, than the policy's"
        raise Refused(what, where="measurements", field="devices", hint="measure again with this policy")


def _same(field: str, found: str, wanted: str) -> None:
    if found != wanted:
        what = f"measured with {found}, and the policy says {wanted}"
        raise Refused(what, where="measurements", field=field, hint="measure again with this policy")
