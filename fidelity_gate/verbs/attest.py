"""`fidelity-gate attest`: a signed in-toto statement of what the gate said of one candidate's file."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fidelity_gate.errors import ModelRefused, Refused, UsageError
from fidelity_gate.files import delete_stale, write_atomically
from fidelity_gate.text import printable

if TYPE_CHECKING:
    from fidelity_gate.records import MeasurementSet, ModelRecord, Report

EPILOG = """\b
Examples:
  openssl genpkey -algorithm ed25519 -out gate.key && openssl pkey -in gate.key -pubout -out gate.pub
  fidelity-gate attest verdict.json --key gate.key -o int8.intoto.json
  fidelity-gate attest verdict.json --candidate int8 --artifact dist/int8.onnx --key gate.key -o int8.intoto.json
  fidelity-gate attest verdict.json --candidate int8 --predicate predicate.json        # for actions/attest

A model may be several files: a step graph with the graph that embeds its tokens, a checkpoint with its configuration.
All that the gate read is signed, and has to lie beside the model's own file as it did then; --artifact names the own
file, and after it any other, where they lie elsewhere now.

VERDICT is what `run --report json:verdict.json` wrote. Keys are Ed25519, or ECDSA on P-256 or P-384, in PEM files; the
password of an encrypted one is read from FIDELITY_GATE_KEY_PASSWORD. A verdict that blocks gives a statement that says
FAILED, which `fidelity-gate verify` refuses. The exit code is 0 when the statement was written, whatever it says.
"""


@click.command(epilog=EPILOG)
@click.argument("verdict")
@click.option("--candidate", metavar="NAME", help="Which candidate; not needed where there is one.")
@click.option(
    "--artifact",
    "artifacts",
    metavar="FILE",
    multiple=True,
    help="Its file, where it lies elsewhere now; it must be the one judged. Repeatable for a model of several.",
)
@click.option("--key", metavar="PEM", help="The private key to sign with.")
@click.option("-o", "--output", metavar="FILE", help="Where the signed statement goes.")
@click.option("--predicate", metavar="FILE", help="Where the predicate alone goes, unsigned.")
def attest(  # noqa: PLR0913  (one argument an option: click's way)
    *,
    verdict: str,
    candidate: str | None,
    artifacts: tuple[str, ...],
    key: str | None,
    output: str | None,
    predicate: str | None,
) -> None:
    """Sign what the file VERDICT (written by `--report json`) says of a candidate."""
    from fidelity_gate.proof.envelope import sealed
    from fidelity_gate.proof.files import digests_there, files_of, named
    from fidelity_gate.proof.keys import PASSWORD, private_key
    from fidelity_gate.proof.statement import predicate_of, statement_of
    from fidelity_gate.verbs.report import refuse_untrue

    _refuse_orders(key, output, predicate, read=(verdict, *artifacts, key or ""))
    found = _read(verdict, artifacts[:1], (output, predicate))
    refuse_untrue(found, verdict)
    if found.measured is None:
        what = f"the run came to no verdict of its own: {found.error or 'nothing was measured'}"
        raise Refused(what, where=verdict, hint="run the gate again")
    record = _candidate(found.measured, candidate, verdict)
    digests_there(files_of(record.facts), named(artifacts or (record.facts.path,), ModelRefused), ModelRefused)
    made = predicate_of(found, record)
    if output and key:
        signing = private_key(key, os.environ.get(PASSWORD, ""))
        _warn_of_readers(key)
        write_atomically(output, sealed(statement_of(made, record), signing) + "\n")
    if predicate:
        write_atomically(predicate, json.dumps(made, sort_keys=True, indent=2, allow_nan=False) + "\n")
    click.echo(f"{made['result']}: {record.name} ({record.facts.digest[:12]}...) {output or predicate}", err=True)


def _refuse_orders(key: str | None, output: str | None, predicate: str | None, read: tuple[str, ...]) -> None:
    from fidelity_gate.verbs.orders import refuse_overwriting

    if not output and not predicate:
        raise UsageError("nothing would be written", hint="-o FILE with --key, or --predicate FILE")
    if bool(key) != bool(output):
        raise UsageError("--key and -o go together", hint="a statement is signed, or it is none")
    for option, written, others in (("-o", output, predicate), ("--predicate", predicate, output)):
        if written == "-":
            raise UsageError("goes to a file", field=option, hint="name it")
        if written:
            refuse_overwriting(written, (*read, others or ""), option=option)


def _read(verdict: str, own: tuple[str, ...], outputs: tuple[str | None, ...]) -> Report:
    """Return the report, and leave nothing of an earlier attempt, but what would be a file of a model.

    Args:
        verdict: the report's file.
        own: where the model's own file lies now, if that was said.
        outputs: what will be written.
    """
    from fidelity_gate.reports import json as saved
    from fidelity_gate.verbs.orders import refuse_overwriting

    written = [path for path in outputs if path]
    try:
        found = saved.read(verdict)
    except BaseException:
        for path in written:
            delete_stale(path)
        raise
    for record in found.measured.candidates if found.measured else ():
        folders = [Path(path).parent for path in (record.facts.path, *own)]
        parts = tuple(str(folder / file.name) for folder in folders for file in record.facts.files)
        for path in written:
            refuse_overwriting(path, parts, option="-o, --predicate")
    for path in written:
        delete_stale(path)
    return found


def _warn_of_readers(key: str) -> None:
    """Say so where others than its owner can read a private key; where secrets are mounted, that cannot be mended."""
    mode = Path(key).stat().st_mode if os.name == "posix" and Path(key).is_file() else 0
    if mode & 0o077:
        told = f"{key}: warning: others than its owner can use this key (mode {mode & 0o777:o}; chmod 600)"
        click.echo(printable(told), err=True)


def _candidate(measured: MeasurementSet, name: str | None, where: str) -> ModelRecord:
    names = [record.name for record in measured.candidates]
    if name is None and len(names) != 1:
        raise UsageError(f"the run has {len(names)} candidates", field="--candidate", hint=f"one of {', '.join(names)}")
    for record in measured.candidates:
        if name in (None, record.name):
            return record
    raise UsageError(f"'{name}' is no candidate of {where}", field="--candidate", hint=f"one of {', '.join(names)}")
