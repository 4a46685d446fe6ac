"""`fidelity-gate policy`: check, show and start policy files; loads neither torch nor a runtime."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fidelity_gate.errors import ExitCode, GateError, PolicyError, UsageError
from fidelity_gate.text import printable
from fidelity_gate.verbs.orders import STDOUT, write_stdout

if TYPE_CHECKING:
    from fidelity_gate.policy.loading import Examined
    from fidelity_gate.records import Check, Policy, Target

SUFFIXES = (".yaml", ".yml")
STARTER = "starter.yaml"
DEFAULT_PATH = "release.gate.yaml"
SCHEMA = "fidelity-gate/policy-v1"
WIDTH = 120

EPILOG = """\b
Examples:
  fidelity-gate policy init
  fidelity-gate policy lint release.gate.yaml
  fidelity-gate policy show release.gate.yaml
"""
LINT_EPILOG = """\b
Examples:
  fidelity-gate policy lint release.gate.yaml
  fidelity-gate policy lint policies/ --strict

Exit codes: 0 no errors, 2 errors (with --strict also for warnings).
"""
SCHEMA_EPILOG = """\b
Examples:
  fidelity-gate policy schema > fidelity-gate.schema.json

Then, as the first line of a policy, for editors that speak to yaml-language-server:
  # yaml-language-server: $schema=fidelity-gate.schema.json
"""
INIT_EPILOG = f"""\b
Examples:
  fidelity-gate policy init
  fidelity-gate policy init gates/sudoku.gate.yaml
  fidelity-gate policy init - > {DEFAULT_PATH}
"""
SHOW_EPILOG = """\b
Examples:
  fidelity-gate policy show release.gate.yaml
  fidelity-gate policy show release.gate.yaml --json
"""


@click.group(epilog=EPILOG, invoke_without_command=True)
@click.pass_context
def policy(context: click.Context) -> None:
    """Check, show and start policy files."""
    if context.invoked_subcommand is None:
        raise UsageError("policy needs a verb of its own", hint="lint, show, init, schema; see policy --help")


@policy.command(epilog=LINT_EPILOG)
@click.argument("paths", nargs=-1, required=True, metavar="FILE_OR_FOLDER...")
@click.option("--strict", is_flag=True, help="Exit 2 for warnings too.")
def lint(*, paths: tuple[str, ...], strict: bool) -> int:
    """Say what is wrong with policies, and where they are weaker than they look.

    Folders are searched for .yaml and .yml files. No model is read and nothing is run.
    """
    files = [file for path in paths for file in _files_in(path)]
    errors = warnings = 0
    for file in files:
        found = _examined(file)
        errors, warnings = errors + len(found.problems), warnings + len(found.advice)
        for line in _findings(found):
            write_stdout(f"{line}\n")
    write_stdout(f"{_counted(len(files), 'policy', 'policies')}: {_counted(errors, 'error')}, ")
    write_stdout(f"{_counted(warnings, 'warning')}\n")
    return int(ExitCode.REFUSED if errors or (strict and warnings) else ExitCode.PASSED)


@policy.command(epilog=SCHEMA_EPILOG)
def schema() -> None:
    """Print the JSON Schema of policies, installed metrics included."""
    from fidelity_gate.policy.json_schema import schema_text

    write_stdout(schema_text())


@policy.command(epilog=INIT_EPILOG)
@click.argument("path", default=DEFAULT_PATH)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def init(*, path: str, force: bool) -> None:
    """Write a commented policy to start from, to PATH or, for -, to standard output."""
    from fidelity_gate.files import write_atomically
    from fidelity_gate.shipped import policy_path

    starter = policy_path(STARTER).read_text(encoding="utf-8")
    if path == STDOUT:
        write_stdout(starter)
        return
    if Path(path).suffix not in SUFFIXES:
        raise UsageError("is not the name of a policy", where=path, hint=f"policies end in {' or '.join(SUFFIXES)}")
    if os.path.lexists(path) and not force:
        raise UsageError("is there already", where=path, hint="--force replaces it")
    write_atomically(path, starter)
    shown = printable(path)
    write_stdout(f"wrote {shown}\nnext: name your files in it, then: fidelity-gate policy lint {shown}\n")


@policy.command(epilog=SHOW_EPILOG)
@click.argument("path", metavar="FILE")
@click.option("--json", "as_json", is_flag=True, help="As JSON: the policy exactly as the gate sees it.")
def show(*, path: str, as_json: bool) -> None:
    """Show a policy as the gate sees it: paths, depths and bounds resolved, one check a target."""
    found = _examined(path)
    for error in found.problems:
        raise error
    if found.policy is None:
        raise PolicyError("cannot be shown", where=path)
    write_stdout(_as_json(found.policy) if as_json else _as_tables(found.policy))


def _files_in(path: str) -> Iterator[str]:
    """Yield the policies in a folder, sorted, or the one file; a folder without any is a mistake, not a success."""
    if not Path(path).is_dir():
        yield path
        return
    found = sorted(str(file) for file in Path(path).rglob("*") if file.suffix in SUFFIXES and not _hidden(file, path))
    if not found:
        raise UsageError("holds no policies", where=path, hint=f"files that end in {' or '.join(SUFFIXES)}")
    yield from found


def _hidden(file: Path, folder: str) -> bool:
    return any(part.startswith(".") for part in file.relative_to(folder).parts)


def _examined(path: str) -> Examined:
    from fidelity_gate.files import read_file
    from fidelity_gate.policy.loading import Examined, examine
    from fidelity_gate.policy.yaml_reader import LIMIT_BYTES

    try:
        data = read_file(path, limit_bytes=LIMIT_BYTES, kind=PolicyError).data
    except GateError as error:
        return Examined(None, (error,))
    return examine(data, path)


def _findings(found: Examined) -> Iterator[str]:
    for error in found.problems:
        yield f"error: {error}"
    for advice in found.advice:
        yield printable(f"warning: {advice.place}: {advice.what} ({advice.hint}) [{advice.rule}]", 400)


def _counted(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"


def _as_json(policy: Policy) -> str:
    from fidelity_gate.record_json import dump

    return json.dumps(json.loads(dump(policy, SCHEMA)), indent=2, allow_nan=False) + "\n"


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
        yield f"{_counted(len(target.operators), 'operator')}"
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


def _row(check: Check) -> tuple[str, ...]:
    options = " ".join(f"{key}={value}" for key, value in check.options)
    return (
        check.id,
        f"{check.metric} {options}".strip(),
        check.aggregate or "",
        check.bound.text,
        check.severity,
        " ".join(check.candidates) or "all",
        check.target,
    )
