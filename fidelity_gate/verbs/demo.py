"""`fidelity-gate demo`: gate three compressions of an embedded model, on real weights, and show what happened."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fidelity_gate import measurements_file
from fidelity_gate.errors import ExitCode, UsageError
from fidelity_gate.files import write_atomically
from fidelity_gate.records import Outcome
from fidelity_gate.verbs.orders import Desk, parse_orders
from fidelity_gate.verbs.stages import judged, measure, prepare
from fidelity_gate.verbs.stdout import write_stdout

if TYPE_CHECKING:
    from fidelity_gate.records import Policy, Verdict

EPILOG = """\b
Examples:
  fidelity-gate demo
  fidelity-gate demo --output /tmp/first-look

Exit codes: 0 when naive INT4 was blocked and the others passed, 1 when anything else happened.
"""
POLICY = "demo.yaml"
PAGE = "report.html"
PROGRAM = "fidelity-gate"
REPORTS = (("junit", "junit.xml"), ("json", "verdict.json"), ("html", PAGE))
BLOCKED = frozenset({"int4-naive"})


@click.command(epilog=EPILOG)
@click.option("-o", "--output", default="fidelity-gate-demo", show_default=True, help="Folder for everything it makes.")
def demo(*, output: str) -> int:
    """Compress an embedded model to INT8, naive INT4 and calibrated INT4, and gate all three in one pass."""
    folder = Path(output)
    _make(folder)
    policy = prepare(str(folder / POLICY), reference=None, candidates=(), inputs=None)
    write_stdout(f"1. Compressing {policy.reference.path.rpartition('/')[2]} three ways\n")
    for spec in policy.candidates:
        write_stdout(f"   {_compress(policy, spec.name, spec.path)}\n")
    write_stdout(f"2. Stepping all of them beside the reference: {policy.recursion}\n\n")
    orders = parse_orders(("terminal", *(f"{kind}:{folder / name}" for kind, name in REPORTS)))
    measurements = str(folder / "measurements.json")
    with Desk(orders, others=(measurements,)) as desk:
        desk.policy = policy
        measured = measure(policy, allow_code=False)
        write_atomically(measurements, measurements_file.dump(measured))
        report = judged(policy, measured)
        desk.close(report)
    write_stdout(_told(folder, blocked_candidates(report.verdict)))
    return int(ExitCode.PASSED if blocked_candidates(report.verdict) == BLOCKED else ExitCode.FAILED)


def blocked_candidates(verdict: Verdict) -> frozenset[str]:
    """Return the candidates with at least one check that blocks."""
    harmless = (Outcome.PASS, Outcome.WARN, Outcome.WAIVED, Outcome.OFF)
    return frozenset(result.candidate for result in verdict.results if result.outcome not in harmless)


def _make(folder: Path) -> None:
    """Make the folder and put the policy in it."""
    from fidelity_gate.shipped import policy_path

    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(policy_path(POLICY), folder / POLICY)
    except OSError as error:
        raise UsageError(f"cannot be made: {error.strerror}", where=str(folder), field="--output") from error


def _compress(policy: Policy, recipe: str, target: str) -> str:
    """Write the candidate that a recipe of the same name makes, and say how small it became."""
    from fidelity_gate.compress.choosing import parse_recipe
    from fidelity_gate.storage.artifact import encode
    from fidelity_gate.verbs.compress import compressed

    calibration = str(dict(policy.calibration.options)["path"]) if policy.calibration else None
    chosen = parse_recipe(recipe)
    facts, artifact = compressed(
        policy.reference.path, recipe, calibration=calibration if chosen.takes_calibration else None
    )
    data = encode(artifact)
    write_atomically(target, data)
    return f"{recipe:<16} {facts.size_bytes:>9,} -> {len(data):>9,} bytes  {target}"


def _told(folder: Path, blocked: frozenset[str]) -> str:
    if blocked != BLOCKED:
        names = ", ".join(sorted(blocked)) or "nothing"
        return f"\nThis is not what the demo should show: blocked are {names}. Please report it with {folder}/.\n"
    program = _program()
    return f"""
Naive INT4 is blocked, INT8 and calibrated INT4 may ship. All of it is in {folder}/.
The same as a page to read and to forward: {folder}/{PAGE}

What next?
  {program} run {folder}/{POLICY} --keep-going
      the same gate again, by hand
  {program} judge {folder}/measurements.json --policy {folder}/{POLICY}
      change a threshold, judge again in a moment
  {program} policy init
      start a policy for your own model
"""


def _program() -> str:
    """Return how this program can be called again: by its path where its name alone would not be found."""
    called = Path(sys.argv[0])
    if called.name != PROGRAM or shutil.which(PROGRAM):
        return PROGRAM
    return os.path.relpath(called)
