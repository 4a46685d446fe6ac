"""`fidelity-gate policy init` and `schema`: a commented policy to start from, and the JSON Schema for editors."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click

from fidelity_gate.errors import UsageError
from fidelity_gate.text import printable
from fidelity_gate.verbs.policy_files import SUFFIXES
from fidelity_gate.verbs.stdout import STDOUT, write_stdout

STARTER = "starter.yaml"
THIS_FILE = "THIS_FILE"  # what the starter calls itself
DEFAULT_PATH = "release.gate.yaml"

SCHEMA_EPILOG = """\b
Examples:
  fidelity-gate policy schema > fidelity-gate.schema.json

\b
Then, as the first line of a policy, for editors that speak to yaml-language-server:
  # yaml-language-server: $schema=fidelity-gate.schema.json
"""
INIT_EPILOG = f"""\b
Examples:
  fidelity-gate policy init
  fidelity-gate policy init gates/sudoku.gate.yaml
  fidelity-gate policy init - > {DEFAULT_PATH}
"""


@click.command(epilog=SCHEMA_EPILOG)
def schema() -> None:
    """Print the JSON Schema of policies, installed metrics included."""
    from fidelity_gate.policy.json_schema import schema_text

    write_stdout(schema_text())


@click.command(epilog=INIT_EPILOG)
@click.argument("path", default=DEFAULT_PATH)
@click.option("--force", is_flag=True, help="Replace a file that is there.")
def init(*, path: str, force: bool) -> None:
    """Write a commented policy to start from, to PATH or, for -, to standard output."""
    from fidelity_gate.files import write_atomically
    from fidelity_gate.shipped import policy_path

    starter = policy_path(STARTER).read_text(encoding="utf-8")
    if path == STDOUT:
        write_stdout(starter.replace(THIS_FILE, DEFAULT_PATH))
        return
    if Path(path).suffix not in SUFFIXES:
        raise UsageError("is not the name of a policy", where=path, hint=f"policies end in {' or '.join(SUFFIXES)}")
    if os.path.lexists(path) and not force:
        raise UsageError("is there already", where=path, hint="--force replaces it")
    shown = shlex.quote(printable(path))
    write_atomically(path, starter.replace(THIS_FILE, shown))
    write_stdout(f"wrote {printable(path)}\nnext: name your files in it, then: fidelity-gate policy lint {shown}\n")
