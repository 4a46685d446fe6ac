"""Where everything came from, and how to run it again."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from fidelity_gate.bounds import mean
from fidelity_gate.records import Bound
from fidelity_gate.reports.html.figures import count_of, told
from fidelity_gate.units import format_exact, format_value

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.records import ModelRecord, NoiseFloor, Options, Policy, Report

MOST_MODELS = 60
MOST_NOTES = 6
MOST_GIVEN = 6  # models in one command line
EXITS = {
    0: "every required check was measured and met",
    1: "measured, and a check failed",
    2: "refused: the policy, a model file, the inputs or the command line cannot be used",
    3: "could not decide: something was not measured, or is inconclusive",
    4: "a bug of the tool, or a report that could not be written",
}


@dataclass(frozen=True, slots=True)
class Fact:
    """One line: what it is, and what it says; `code` for what is copied, not read."""

    name: str
    text: str
    code: bool = False


@dataclass(frozen=True, slots=True)
class Model:
    """One compared model."""

    name: str
    path: str
    kind: str
    size: str
    depth: str
    digest: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Provenance:
    """Everything that can change a number."""

    facts: tuple[Fact, ...]
    models: tuple[Model, ...]
    left_out: int
    exit_code: int
    exit_meaning: str
    commands: tuple[str, ...]


def provenance(report: Report) -> Provenance:
    """Return where a report came from."""
    measured = report.measured
    models = (measured.reference, *measured.candidates) if measured else ()
    code = report.verdict.exit_code
    return Provenance(
        facts=_facts(report),
        models=tuple(map(_model, models[:MOST_MODELS])),
        left_out=max(0, len(models) - MOST_MODELS),
        exit_code=code,
        exit_meaning=EXITS.get(code, "no exit code of this tool"),
        commands=_commands(report),
    )


def floor_line(floor: NoiseFloor | None, limit: float | None) -> str:
    """Return what the noise floor says, or "" where there is none."""
    if floor is None or not floor.values:
        return ""
    bound = Bound(minimum=floor.limit if limit is None else limit)
    kept, worst = (told(value, "", (bound,), cosine=True) for value in (mean(floor.values), min(floor.values)))
    return (
        f"the reference against itself, its carry perturbed by {floor.perturbation:g}: mean fidelity {kept}, "
        f"worst {worst}, limit {format_exact(bound.minimum or 0.0, '')}"
    )


def _facts(report: Report) -> tuple[Fact, ...]:
    verdict, measured = report.verdict, report.measured
    found = [
        Fact("Policy", verdict.policy_name),
        Fact("Policy file", report.policy.path if report.policy else ""),
        Fact("Policy digest", verdict.policy_digest, code=True),
        Fact("Report made", report.created),
    ]
    if measured is not None:
        made = measured.provenance
        found += [
            Fact("Inputs", f"{made.inputs_source} ({count_of(made.probes, 'probe')})"),
            Fact("Inputs digest", made.inputs_digest, code=True),
            Fact("Run", ", ".join(f"{one.name} {getattr(made.run, one.name)}" for one in fields(made.run))),
            Fact("Noise floor", floor_line(measured.noise_floor, _limit(report)) or "not measured"),
            Fact("Machine", _pairs(made.machine)),
            Fact("Libraries", _pairs(made.libraries)),
            Fact("Tool", f"fidelity-gate {measured.tool_version}"),
            Fact(
                "Measured by the policy",
                made.policy_digest if made.policy_digest != verdict.policy_digest else "",
                True,
            ),
        ]
    return tuple(fact for fact in found if fact.text)


def _limit(report: Report) -> float | None:
    return report.policy.noise_floor.limit if report.policy else None


def _pairs(options: Options) -> str:
    return ", ".join(f"{name} {value}" for name, value in options if value not in ("", None))


def _model(record: ModelRecord) -> Model:
    facts = record.facts
    kind = ", ".join(part for part in (facts.file_format, facts.family, facts.recipe) if part)
    notes = facts.notes[:MOST_NOTES]
    alignment = () if record.alignment == "by ACT step" else (f"compared {record.alignment}",)
    declared = ("declared as not compressed",) if record.uncompressed else ()
    size = format_value(facts.size_bytes, "bytes") if facts.size_bytes > 0 else ""
    return Model(record.name, facts.path, kind, size, str(record.depth), facts.digest, (*alignment, *declared, *notes))


def _commands(report: Report) -> tuple[str, ...]:
    """Return command lines that give this report again; without a known policy there are none."""
    if report.policy is None or not report.policy.path:
        return ()
    policy = shlex.quote(report.policy.path)
    models = "".join(_given(report.policy))
    return (
        f"fidelity-gate run {policy}{models} --keep-going --measurements measurements.json --report json:verdict.json",
        "fidelity-gate report verdict.json --report html:report.html",
        f"fidelity-gate judge measurements.json --policy {policy}",
    )


def _given(policy: Policy) -> Iterator[str]:
    """Yield the options for models that the policy itself does not name."""
    if policy.reference.path and not policy.reference.place.line:
        yield f" --reference {shlex.quote(policy.reference.path)}"
    for spec in policy.candidates[:MOST_GIVEN]:
        if not spec.place.line:
            yield f" --candidate {shlex.quote(f'{spec.name}={spec.path}')}"
