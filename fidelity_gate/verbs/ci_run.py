"""`fidelity-gate ci run`: the gate with every report and a verdict file, for any CI."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fidelity_gate.verbs.ci_gate import Order, conduct
from fidelity_gate.verbs.ci_places import Given, head_of
from fidelity_gate.verbs.ci_verdict import Run, whole_commit

if TYPE_CHECKING:
    from fidelity_gate.errors import ExitCode

EPILOG = """\b
Examples:
  fidelity-gate ci run policies/release.yaml --reports reports --commit "$(git rev-parse HEAD)"
  fidelity-gate ci run release.yaml --trusted ../base --candidate int8=int8.safetensors --reports out --commit "$SHA"

With --trusted, the policy, the reference and the inputs are those of that checkout, and the candidates, also those that
the policy names, are the working folder's. Reports: JSON, JUnit, HTML, SARIF, Markdown, annotations, a verdict file.

Exit codes: the gate's: 0 may ship, 1 a check failed, 2 refused, 3 could not decide, 4 a bug of this tool.
"""


@click.command(epilog=EPILOG)
@click.argument("policy")
@click.option("--reports", "folder", required=True, metavar="FOLDER", help="Where the reports go; it is made.")
@click.option("--commit", required=True, metavar="SHA", help="The commit that the verdict is on.")
@click.option("--trusted", metavar="FOLDER", help="The checkout that policy, reference and inputs are taken from.")
@click.option("--reference", metavar="PATH", help="The reference model, instead of the policy's.")
@click.option("--reference-digest", metavar="SHA256", help="What the reference has to be.")
@click.option(
    "--candidate", "candidates", multiple=True, metavar="NAME=PATH", help="A candidate's file; or several, one a line."
)
@click.option("--inputs", metavar="PATH", help="The file of probes, instead of the policy's.")
@click.option("--repository", default="", metavar="NAME", help="The repository, for the verdict file.")
@click.option("--run", "number", default="", metavar="ID", help="The number of the pipeline, for the verdict file.")
@click.option("--strict-junit", is_flag=True, help="JUnit that validates against Jenkins' schema.")
@click.option("--allow-code", is_flag=True, help="Run Python that the policy names. Never for strangers.")
def run(  # noqa: PLR0913  (one argument an option: click's way)
    *,
    policy: str,
    folder: str,
    commit: str,
    trusted: str | None,
    reference: str | None,
    reference_digest: str | None,
    candidates: tuple[str, ...],
    inputs: str | None,
    repository: str,
    number: str,
    strict_junit: bool,
    allow_code: bool,
) -> ExitCode | int:
    """Run the gate by POLICY, leave every report in a folder, and a verdict file that names the commit."""
    base = Path(trusted) if trusted else None
    workspace = Path.cwd()
    order = Order(
        given=Given(
            policy=policy,
            reference=reference or "",
            inputs=inputs or "",
            candidates=tuple(line for text in candidates for one in text.split("\n") if (line := one.strip())),
            workspace=workspace,
            trusted=base.resolve() if base is not None else None,
        ),
        run=Run(whole_commit(commit), repository, number, head_of(base) if base is not None else commit),
        folder=workspace / folder,
        strict_junit=strict_junit,
        reference_digest=(reference_digest or "").lower(),
        allow_code=allow_code,
    )
    ended = conduct(order)
    if ended.failure is not None:
        raise ended.failure
    return ended.exit_code
