"""`fidelity-gate verify`: whether a file may be deployed, by its signed statement. For the deploy step."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from fidelity_gate.errors import UsageError
from fidelity_gate.files import read_file

if TYPE_CHECKING:
    from fidelity_gate.errors import ExitCode

EPILOG = """\b
Examples:
  fidelity-gate verify dist/int8.onnx --attestation int8.intoto.json --key gate.pub --policy release.yaml
  fidelity-gate verify int8.onnx --attestation all.intoto.jsonl --key gate.pub --policy release.yaml --max-age "7 d"

Exit codes: 0 the signature is this key's, the file is the very one that was judged, by this policy as it is now, it
passed, and not too long ago; 1 the gate blocked it, or warned; 2 anything else.
"""
LARGEST = 4 << 30


@click.command(epilog=EPILOG)
@click.argument("artifact")
@click.option("--attestation", required=True, metavar="FILE", help="The signed statement, or several, one a line.")
@click.option("--key", required=True, metavar="PEM", help="The public key of whoever signed.")
@click.option("--policy", required=True, metavar="POLICY", help="The policy that it must have been judged by.")
@click.option("--max-age", metavar="TIME", help='How long ago it may have been judged: "7 d", "12 h".')
@click.option("--allow-warned", is_flag=True, help="Let a file through that passed with warnings or waivers.")
def verify(  # noqa: PLR0913  (one argument an option: click's way)
    *, artifact: str, attestation: str, key: str, policy: str, max_age: str | None, allow_warned: bool
) -> ExitCode:
    """Say whether the file ARTIFACT may be deployed."""
    from fidelity_gate.proof.keys import public_key
    from fidelity_gate.proof.verification import LIMIT_BYTES, Demand, read_proof, verdict_on
    from fidelity_gate.verbs.stages import read_policy

    allowed = _duration(max_age) if max_age else None
    digest = read_file(artifact, limit_bytes=LARGEST).digest
    proof = read_file(attestation, limit_bytes=LIMIT_BYTES).data
    statement = read_proof(proof, public_key(key), digest, attestation)
    demand = Demand(digest, read_policy(policy).digest, allowed, allow_warned, datetime.now(UTC))
    code, why = verdict_on(statement, demand, attestation)
    word = "may be deployed" if code == 0 else "may not be deployed"
    click.echo(f"{artifact} {word}: {why} (candidate {statement.candidate}, {len(statement.passed)} checks passed)")
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
