"""`fidelity-gate verify`: whether a model may be deployed, by its signed statement. For the deploy step."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from fidelity_gate.errors import Refused, UsageError
from fidelity_gate.files import read_file

if TYPE_CHECKING:
    from fidelity_gate.errors import ExitCode

EPILOG = """\b
Examples:
  fidelity-gate verify dist/int8.onnx --attestation int8.intoto.json --key gate.pub --policy release.yaml
  fidelity-gate verify int8.onnx --attestation all.intoto.jsonl --key gate.pub --policy release.yaml --max-age "7 d"
  fidelity-gate verify step.onnx assets/step.embed.onnx --attestation step.intoto.json --key gate.pub --policy p.yaml

The first ARTIFACT is the model's own file. What else was read with it is looked for beside it, where it was when the
gate ran; name it too where it lies elsewhere.

Exit codes: 0 the signature is this key's, every file of the model is there and is the very one that was judged, by this
policy as it is now, it passed, no waiver has run out since, and it was not too long ago; 1 the gate blocked it, or
warned; 2 anything else.
"""


@click.command(epilog=EPILOG)
@click.argument("artifact", nargs=-1, required=True)
@click.option("--attestation", required=True, metavar="FILE", help="The signed statement, or several, one a line.")
@click.option("--key", required=True, metavar="PEM", help="The public key of whoever signed.")
@click.option("--policy", required=True, metavar="POLICY", help="The policy that it must have been judged by.")
@click.option("--max-age", metavar="TIME", help='How long ago it may have been judged: "7 d", "12 h".')
@click.option("--allow-warned", is_flag=True, help="Let a model through that passed with warnings or waivers.")
def verify(  # noqa: PLR0913  (one argument an option: click's way)
    *, artifact: tuple[str, ...], attestation: str, key: str, policy: str, max_age: str | None, allow_warned: bool
) -> ExitCode:
    """Say whether the model in the file ARTIFACT may be deployed."""
    from fidelity_gate.proof.files import digests_there, named
    from fidelity_gate.proof.keys import public_key
    from fidelity_gate.proof.verification import LIMIT_BYTES, Demand, read_proof, verdict_on
    from fidelity_gate.text import printable
    from fidelity_gate.verbs.stages import read_policy
    from fidelity_gate.waiving import refuse_stale
    from fidelity_gate.wording import counted

    allowed = _duration(max_age) if max_age else None
    given = named(artifact, Refused)
    proof = read_file(attestation, limit_bytes=LIMIT_BYTES).data
    statement = read_proof(proof, public_key(key), given[0].digest, attestation)
    digests, now, judging = digests_there(statement.files, given, Refused), datetime.now(UTC), read_policy(policy)
    demand = Demand(digests, judging.digest, allowed, allow_warned, now)
    code, why = verdict_on(statement, demand, attestation)
    refuse_stale(judging, now.date().isoformat())
    word = "may be deployed" if code == 0 else "may not be deployed"
    names = ", ".join(file.name for file in statement.files[1:])
    shown = f"{given[0].path} with {names}" if names else given[0].path
    told = f"{why} (candidate {statement.candidate}, {counted(len(statement.passed), 'check')} passed)"
    click.echo(printable(f"{shown} {word}: {told}", 1000))
    return code


def _duration(text: str) -> timedelta:
    from fidelity_gate.policy.quantities import QuantityError, parse_quantity

    hint = "a time above zero: 7 d, 12 h, 30 min"
    for unit, seconds in (("days", 86_400), ("duration", 1)):
        try:
            found = parse_quantity(text, unit) * seconds
        except QuantityError:
            continue
        if 0 < found < timedelta.max.total_seconds():
            return timedelta(seconds=found)
    raise UsageError(f"'{text}' is not a time", field="--max-age", hint=hint)
