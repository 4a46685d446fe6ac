"""What two saved runs do not share beside their checks, and whether their numbers may be compared at all."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from fidelity_gate.records import Difference, ModelChange
from fidelity_gate.units import format_value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.records import (
        MeasurementSet,
        ModelRecord,
        Options,
        Provenance,
        SavedRun,
        Verdict,
    )

OTHER_THING = "numbers of the two runs are of different things"
OTHER_BOUNDS = "bounds and checks may be others"
OTHER_DIGITS = "last digits may differ"


@dataclass(frozen=True, slots=True)
class Run:
    """One saved run: what is told of the file, and what it holds."""

    file: SavedRun
    measured: MeasurementSet | None
    verdict: Verdict | None = None


def differences(before: Run, after: Run) -> Iterator[Difference]:
    """Yield what the two runs do not share, beside their candidates."""
    if before.measured is None or after.measured is None:
        return
    one, other = before.measured, after.measured
    told, told_then = one.provenance, other.provenance
    if told.inputs_digest != told_then.inputs_digest:  # where they came from may be told in other words
        yield Difference("inputs", _inputs(told), _inputs(told_then), OTHER_THING, comparable=False)
    pairs = (
        ("reference", one.reference.facts.digest, other.reference.facts.digest, OTHER_THING, False),
        ("reference's depth", str(one.reference.depth), str(other.reference.depth), OTHER_THING, False),
        ("element type", told.run.dtype, told_then.run.dtype, OTHER_THING, False),
        ("policy", _policy(before), _policy(after), OTHER_BOUNDS, True),
        ("run", _run(told), _run(told_then), OTHER_DIGITS, True),
        ("noise floor", _floor(one), _floor(other), "another measure of what is noise", True),
        ("tool", one.tool_version, other.tool_version, "measured by another version", True),
    )
    yield from (Difference(what, a, b, says, comparable) for what, a, b, says, comparable in pairs if a != b)
    for what, options, others in (
        ("machine", told.machine, told_then.machine),
        ("library", told.libraries, told_then.libraries),
    ):
        yield from (Difference(f"{what} {name}", a, b, OTHER_DIGITS, True) for name, a, b in _unlike(options, others))


def _inputs(told: Provenance) -> str:
    return f"{told.inputs_source}, {told.probes} probes, {told.inputs_digest}"


def _policy(run: Run) -> str:
    if run.verdict is not None:
        return f"{run.verdict.policy_name} {run.verdict.policy_digest}"
    told = run.measured.provenance if run.measured else None
    return f"{told.policy_name} {told.policy_digest}" if told else ""


def _run(told: Provenance) -> str:
    return ", ".join(f"{one.name} {getattr(told.run, one.name)}" for one in fields(told.run) if one.name != "dtype")


def _floor(measured: MeasurementSet) -> str:
    return f"carry perturbed by {measured.noise_floor.perturbation:g}" if measured.noise_floor else "not measured"


def _unlike(before: Options, after: Options) -> Iterator[tuple[str, str, str]]:
    old, new = dict(before), dict(after)
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            yield name, str(old.get(name, "") or "none"), str(new.get(name, "") or "none")


def model_changes(before: Run, after: Run) -> Iterator[ModelChange]:
    """Yield what is not what it was, candidate by candidate."""
    if before.measured is None or after.measured is None:
        return
    old = {record.name: record for record in before.measured.candidates}
    new = {record.name: record for record in after.measured.candidates}
    for name in (*new, *(name for name in old if name not in new)):
        if name not in old or name not in new:
            there = old.get(name) or new[name]
            said = (there.facts.digest, "none") if name in old else ("none", there.facts.digest)
            yield ModelChange(name, "candidate", *said)
            continue
        for (what, a), (_, b) in zip(_facts(old[name]), _facts(new[name]), strict=True):
            if a != b:
                yield ModelChange(name, what, a, b)


def _facts(record: ModelRecord) -> tuple[tuple[str, str], ...]:
    facts = record.facts
    return (
        ("digest", facts.digest),
        ("size", format_value(facts.size_bytes, "bytes")),
        ("recipe", facts.recipe or "none"),
        ("format", f"{facts.file_format} {facts.family}".strip()),
        ("depth", str(record.depth)),
        ("compared", record.alignment),
    )
