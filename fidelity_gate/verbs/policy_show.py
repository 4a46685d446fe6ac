"""`fidelity-gate policy show`: a policy as the gate sees it, and where each of its values is from."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import click

from fidelity_gate.text import printable
from fidelity_gate.verbs.policy_files import counted, sound
from fidelity_gate.verbs.stdout import write_stdout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.policy.differing import Side
    from fidelity_gate.policy.extending import Chain
    from fidelity_gate.records import Check, Policy, Target

SCHEMA = "fidelity-gate/policy-v1"
WIDTH = 120

EPILOG = """\b
Examples:
  fidelity-gate policy show release.gate.yaml
  fidelity-gate policy show release.gate.yaml --table
  fidelity-gate policy show release.gate.yaml --json

The YAML is a policy that extends nothing and asks for the same; its comments say where each value is from.
"""


@click.command(epilog=EPILOG)
@click.argument("path", metavar="FILE")
@click.option("--json", "as_json", is_flag=True, help="As JSON: the policy exactly as the gate sees it, with origins.")
@click.option("--table", "as_table", is_flag=True, help="As a table: one row a check and target.")
def show(*, path: str, as_json: bool, as_table: bool) -> None:
    """Show a policy as the gate sees it, with file and line of every value: bases merged, defaults filled in."""
    from fidelity_gate.errors import UsageError
    from fidelity_gate.policy.showing import shown

    if as_json and as_table:
        raise UsageError("--json and --table exclude each other", hint="give one of them")
    side, chain = sound(path, as_base=not (as_json or as_table))
    if as_json:
        write_stdout(_as_json(side, chain))
    else:
        write_stdout(_as_tables(side.policy) if as_table else shown(side, chain))


def _as_json(side: Side, chain: Chain) -> str:
    from fidelity_gate.policy.showing import origins
    from fidelity_gate.record_json import dump
    from fidelity_gate.text import quiet_json

    plain = json.loads(dump(side.policy, SCHEMA))
    plain["files"] = [{"name": link.name, "sha256": link.digest} for link in chain.links]
    plain["origins"] = origins(side)
    return quiet_json(json.dumps(plain, indent=2, allow_nan=False)) + "\n"


def _as_tables(policy: Policy) -> str:
    """Return the policy for people."""
    from rich.console import Console
    from rich.table import Table

    facts = Table(box=None, show_header=False)
    for name, text in _facts(policy):
        facts.add_row(name, printable(text, 400))
    checks = Table(box=None)
    for title in ("check", "metric", "aggregate", "requires", "severity", "candidates", "target"):
        checks.add_column(title)
    for check in policy.checks:
        checks.add_row(*(printable(cell, 400) for cell in _row(check)))
    out = io.StringIO()
    console = Console(file=out, width=WIDTH, color_system=None, markup=False, emoji=False, highlight=False)
    console.print(facts)
    console.print()
    console.print(checks)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines()) + "\n"


def _facts(policy: Policy) -> Iterator[tuple[str, str]]:
    """Yield the lines above the table of checks."""
    from fidelity_gate.policy.targets import LIMIT_UNITS, limit_of
    from fidelity_gate.units import format_exact

    floor, run = policy.noise_floor, policy.run
    yield "policy", f"{policy.name} (sha256 {policy.digest[:16]}...)"
    yield "reference", policy.reference.path or "(from the command line)"
    for spec in policy.candidates:
        own = f", {spec.recursion}" if spec.recursion else ""
        meant = f", for {', '.join(spec.targets)}" if spec.targets else ""
        yield f"candidate {spec.name}", spec.path + own + meant + (", uncompressed" if spec.uncompressed else "")
    if not policy.candidates:
        yield "candidates", "(from the command line)"
    for name, source in (("inputs", policy.inputs), ("calibration", policy.calibration)):
        if source is not None:
            options = " ".join(f"{key}={value}" for key, value in source.options)
            yield name, f"{source.use} {options}".strip() or "(from the command line)"
    for target in policy.targets:
        limits = [(word, unit, limit_of(target, word)) for word, unit in LIMIT_UNITS.items()]
        said = [f"{word} {format_exact(limit, unit)}" for word, unit, limit in limits if limit is not None]
        yield f"target {target.name}", ", ".join([*said, *_properties(target)])
    yield from _lint_facts(policy)
    yield from _past_facts(policy)
    yield from _waiver_facts(policy)
    yield "recursion", str(policy.recursion)
    yield "noise floor", f"perturbation {floor.perturbation:g}, limit {floor.limit!r}{', bf16' if floor.bf16 else ''}"
    yield "run", f"seed {run.seed}, threads {run.threads}, batch {run.batch}; at least {policy.minimum_probes} probes"


def _properties(target: Target) -> Iterator[str]:
    """Yield what lint rules know of a target."""
    if target.static_only:
        yield "static only"
    if target.tile:
        yield f"tile {target.tile}"
    if target.int8_min_tokens:
        yield f"INT8 from {target.int8_min_tokens} tokens"
    if target.operators:
        yield f"{counted(len(target.operators), 'operator')}"
    if target.max_opset:
        yield f"opset up to {target.max_opset}"


def _lint_facts(policy: Policy) -> Iterator[tuple[str, str]]:
    """Yield how the policy lints, where it says so, its own energy models, and its devices."""
    lint = policy.lint
    said = [f"{word} {', '.join(names)}" for word, names in (("only", lint.select), ("not", lint.ignore)) if names]
    said += [f"{prefix} {severity.value}" for prefix, severity in lint.severity]
    said += [f"{code} {name}={value}" for code, options in lint.options for name, value in options]
    if said:
        yield "lint", "; ".join(said)
    for model in policy.energy_models:
        source = f" ({model.source})" if model.source else ""
        yield f"energy model {model.name}", f"{model.mj_per_gflop:g} mJ for 1 GFLOP{source}"
    for device in policy.devices:
        yield f"device {device.name}", f"{device.use} {' '.join(f'{key}={value}' for key, value in device.options)}"


def _past_facts(policy: Policy) -> Iterator[tuple[str, str]]:
    """Yield what checks are held against, where the policy says so."""
    from fidelity_gate.units import format_exact

    if policy.baseline is not None:
        yield "baseline", policy.baseline.path
    history = policy.history
    if history is not None:
        floors = f"{format_exact(history.floor_seconds, 'seconds')}, {format_exact(history.floor_bytes, 'bytes')}"
        new = ", warns while it has fewer" if history.warn_while_new else ""
        runs = f"median of the last {history.last} runs, at least {history.minimum}{new}"
        yield "history", f"{history.path}: {runs}; noise up to {floors} or {history.spreads:g} spreads"


def _waiver_facts(policy: Policy) -> Iterator[tuple[str, str]]:
    """Yield what may be waived, and what is."""
    from fidelity_gate.wording import subject

    rules = policy.waiver_rules
    if rules is not None:
        never = f", never {', '.join(rules.never)}" if rules.never else ""
        yield "waivers", f"for at most {counted(rules.max_days, 'day')}{never}"
    for waiver in policy.waivers:
        about = f"{waiver.check} {subject(waiver.candidate, waiver.target)} ({waiver.digest[:12]}...)"
        yield f"waiver {waiver.id}", f"{about} until {waiver.expires} by {waiver.owner}: {waiver.ticket}"


def _row(check: Check) -> tuple[str, ...]:
    options = " ".join(f"{key}={value}" for key, value in check.options)
    return (
        check.id,
        f"{check.metric} {options}".strip(),
        check.aggregate or "",
        check.bound.text + (f" (against the {check.against})" if check.against else ""),
        check.severity,
        " ".join(check.candidates) or "all",
        check.target,
    )
