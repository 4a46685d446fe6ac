"""`fidelity-gate policy lint`: what is wrong with policies, and where they are weaker than they look."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fidelity_gate.errors import ExitCode
from fidelity_gate.text import printable
from fidelity_gate.verbs.orders import write_stdout
from fidelity_gate.verbs.policy_files import counted, examined, policies_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.policy.loading import Examined

EPILOG = """\b
Examples:
  fidelity-gate policy lint release.gate.yaml
  fidelity-gate policy lint policies/ --strict

Exit codes: 0 no errors, 2 errors (with --strict also for warnings).
"""


@click.command(epilog=EPILOG)
@click.argument("paths", nargs=-1, required=True, metavar="FILE_OR_FOLDER...")
@click.option("--strict", is_flag=True, help="Exit 2 for warnings too.")
def lint(*, paths: tuple[str, ...], strict: bool) -> int:
    """Say what is wrong with policies, and where they are weaker than they look.

    Folders are searched for .yaml and .yml files. No model is read and nothing is run.
    """
    files = [file for path in paths for file in policies_in(path)]
    errors = warnings = 0
    for file in files:
        found = examined(file, as_base=True)
        errors, warnings = errors + len(found.problems), warnings + len(found.advice)
        for line in _findings(found):
            write_stdout(f"{line}\n")
    write_stdout(f"{counted(len(files), 'policy', 'policies')}: {counted(errors, 'error')}, ")
    write_stdout(f"{counted(warnings, 'warning')}\n")
    return int(ExitCode.REFUSED if errors or (strict and warnings) else ExitCode.PASSED)


def _findings(found: Examined) -> Iterator[str]:
    for error in found.problems:
        yield f"error: {error}"
    for advice in found.advice:
        yield printable(f"warning: {advice.place}: {advice.what} ({advice.hint}) [{advice.rule}]", 400)
