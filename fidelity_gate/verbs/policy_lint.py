"""`fidelity-gate policy lint`: what is wrong with policies, and where they are weaker than they look."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from fidelity_gate.errors import ExitCode, GateError
from fidelity_gate.text import printable
from fidelity_gate.verbs.orders import now
from fidelity_gate.verbs.policy_files import counted, examined, policies_in
from fidelity_gate.verbs.stdout import write_stdout
from fidelity_gate.waiving import refuse_stale

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from fidelity_gate.policy.loading import Examined
    from fidelity_gate.policy.weaknesses import Advice

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
        problems = (*found.problems, *_stale(found))
        errors, warnings = errors + len(problems), warnings + len(found.advice)
        for line in _findings(problems, found.advice):
            write_stdout(f"{line}\n")
    write_stdout(f"{counted(len(files), 'policy', 'policies')}: {counted(errors, 'error')}, ")
    write_stdout(f"{counted(warnings, 'warning')}\n")
    return int(ExitCode.REFUSED if errors or (strict and warnings) else ExitCode.PASSED)


def _stale(found: Examined) -> tuple[GateError, ...]:
    """Return the first waiver that does not hold today: no run would take the policy."""
    try:
        if found.policy is not None:
            refuse_stale(found.policy, now()[:10])
    except GateError as error:
        return (error,)
    return ()


def _findings(problems: Iterable[GateError], advices: Iterable[Advice]) -> Iterator[str]:
    for error in problems:
        yield f"error: {error}"
    for advice in advices:
        yield printable(f"warning: {advice.place}: {advice.what} ({advice.hint}) [{advice.rule}]", 400)
