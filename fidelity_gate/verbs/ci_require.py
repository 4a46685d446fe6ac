"""`fidelity-gate ci require`: the check of a later job that the gate passed, on this commit and these files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fidelity_gate.errors import UsageError
from fidelity_gate.text import printable
from fidelity_gate.verbs.ci_verdict import NAME, Demand, required, whole_commit

if TYPE_CHECKING:
    from fidelity_gate.records import ModelFile

EPILOG = f"""\b
Examples:
  fidelity-gate ci require reports/{NAME} --commit "$(git rev-parse HEAD)"
  fidelity-gate ci require reports/{NAME} --commit "$CI_COMMIT_SHA" --artifact int8=dist/int8.safetensors

Exit codes: 0 the gate passed, on this commit and these very files; the gate's own code where it did not; 3 where the
file is missing or of another run; 2 where it is damaged.
"""
_DIGEST = re.compile(r"[0-9a-f]{64}")


@click.command(epilog=EPILOG)
@click.argument("verdict")
@click.option("--commit", required=True, metavar="SHA", help="The commit that it must be on.")
@click.option("--repository", default="", metavar="NAME", help="The repository that it must be of.")
@click.option("--run", "number", default="", metavar="ID", help="The run that it must be of.")
@click.option("--digest", default="", metavar="SHA256", help="What the verdict file itself must be.")
@click.option("--policy-digest", default="", metavar="SHA256", help="The policy that it must have been judged by.")
@click.option(
    "--artifact",
    "artifacts",
    multiple=True,
    metavar="NAME=FILE",
    help="A candidate's file that must be the judged one; of several, each, its own first.",
)
def require(  # noqa: PLR0913  (one argument an option: click's way)
    *,
    verdict: str,
    commit: str,
    repository: str,
    number: str,
    digest: str,
    policy_digest: str,
    artifacts: tuple[str, ...],
) -> int:
    """Say whether the verdict file VERDICT says passed, on this commit and these files."""
    for field, text in (("--digest", digest), ("--policy-digest", policy_digest)):
        if text and not _DIGEST.fullmatch(text.lower()):
            raise UsageError(f"'{text}' is no SHA-256", field=field, hint="64 hexadecimal digits")
    demand = Demand(
        commit=whole_commit(commit),
        repository=repository,
        run=number,
        verdict_digest=digest.lower(),
        policy_digest=policy_digest.lower(),
        candidates=_digests(artifacts),
    )
    found = required(verdict, demand)
    click.echo(printable(f"{found.verdict} (exit {found.exit_code}): {found.reason}", 400))
    return found.exit_code


def _digests(texts: tuple[str, ...]) -> dict[str, str]:
    """Return candidate -> its digest: of its file, or of all its files in the order in which they are named."""
    from fidelity_gate.files import read_file
    from fidelity_gate.model_files import digest_of, own_file

    files: dict[str, list[ModelFile]] = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not equals or not name or not Path(path).name:
            raise UsageError(f"'{text}' is not NAME=FILE", field="--artifact", hint="int8=dist/int8.safetensors")
        files.setdefault(name, []).append(own_file(read_file(path, limit_bytes=4 << 30)))
    return {name: digest_of(of_it) for name, of_it in files.items()}
