"""Whether a signed statement lets a model be deployed: its files, policy, result and age have to be right."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from fidelity_gate.errors import ExitCode, Refused
from fidelity_gate.proof.envelope import opened
from fidelity_gate.proof.statement import Result, read_statement

if TYPE_CHECKING:
    from fidelity_gate.proof.keys import Key
    from fidelity_gate.proof.statement import Statement

LIMIT_BYTES = 16 << 20
MOST_STATEMENTS = 1000
SKEW = timedelta(minutes=5)  # by which two machines' clocks may differ


@dataclass(frozen=True, slots=True)
class Demand:
    """What a deploy step asks for.

    Attributes:
        digests: SHA-256 of the very files to deploy.
        policy_digest: of the policy that it must have been judged by, with all that this extends.
        max_age: since the gate judged; None: any.
        allow_warned: let a file with warnings or waivers through.
        now: the time, UTC.
    """

    digests: frozenset[str]
    policy_digest: str
    max_age: timedelta | None
    allow_warned: bool
    now: datetime


def read_proof(data: bytes, key: Key, digest: str, where: str) -> Statement:
    """Return the one statement about a model in an attestation: an envelope, or one a line.

    Args:
        data: the attestation.
        key: the public key of whoever signed.
        digest: SHA-256 of the model's own file.
        where: the attestation's file, for errors.

    Every line must be signed by the key: a file that holds anything else was tampered with.

    Raises:
        Refused: not signed by the key, no statement of ours, or none or several about a model of this file.
    """
    lines = [line for line in data.splitlines() if line.strip()]
    if not 1 <= len(lines) <= MOST_STATEMENTS:
        raise Refused(f"must hold 1 to {MOST_STATEMENTS} envelopes, one a line", where=where)
    whole = _envelopes(data, lines)
    found = [read_statement(opened(envelope, key, where), where) for envelope in whole]
    about = [statement for statement in found if statement.files[0].digest == digest]
    if len(about) == 1:
        return about[0]
    if about:
        raise Refused(f"holds {len(about)} statements about this file", where=where, hint="keep the one that counts")
    owners = [one.files[0].name for one in found if digest in {file.digest for file in one.files}]
    if owners:
        what = f"is about a model that this file (SHA-256 {digest[:12]}...) is a part of"
        raise Refused(what, where=where, hint=f"name the model's own file first: {owners[0]}")
    names = ", ".join(f"{one.files[0].name} ({one.files[0].digest[:12]}...)" for one in found[:3])
    what = f"says nothing about this file (SHA-256 {digest[:12]}...), but about {names}"
    raise Refused(what, where=where, hint="the file is another than the one that was judged")


def verdict_on(statement: Statement, demand: Demand, where: str) -> tuple[ExitCode, str]:
    """Return the exit code of the deploy step, and why; 0 only where all that was demanded holds.

    Raises:
        Refused: another policy, too old, or not of this time.
    """
    if {file.digest for file in statement.files} != demand.digests:
        raise Refused("is about other files", where=where, field="subject")
    if statement.policy_digest != demand.policy_digest:
        what = f"was judged by another policy, {statement.policy_digest[:8]}..., not {demand.policy_digest[:8]}..."
        hint = "run the gate again"
        raise Refused(what, where=where, field="configuration", hint=hint)
    _refuse_wrong_time(statement, demand, where)
    if statement.result is Result.FAILED:
        return ExitCode.FAILED, f"blocked by the gate: {_some(statement.failed)}"
    if statement.result is Result.WARNED and not demand.allow_warned:
        return ExitCode.FAILED, f"passed with warnings, which --allow-warned lets through: {_some(statement.warned)}"
    return ExitCode.PASSED, f"{statement.result}, judged {statement.created}"


def _refuse_wrong_time(statement: Statement, demand: Demand, where: str) -> None:
    field = "fidelityGate.created"
    try:
        created = datetime.fromisoformat(statement.created)
        if created.tzinfo is None:
            raise Refused("is a time without a zone", where=where, field=field)
        age = demand.now - created
    except (ValueError, OverflowError) as error:
        raise Refused("is not a time", where=where, field=field) from error
    if age < -SKEW:
        raise Refused(f"lies in the future ({statement.created})", where=where, field=field, hint="correct the clock")
    if demand.max_age is not None and age > demand.max_age:
        days = age / timedelta(days=1)
        what = f"was judged {days:.1f} days ago, and {demand.max_age / timedelta(days=1):g} are allowed"
        raise Refused(what, where=where, field=field, hint="run the gate again")


def _envelopes(data: bytes, lines: list[bytes]) -> list[bytes]:
    """Return the envelopes: one a line, or a single one over several lines."""
    return [data] if lines[0].strip() == b"{" else lines


def _some(names: tuple[str, ...]) -> str:
    if not names:
        return "another candidate of the same policy"
    return ", ".join(names[:3]) + (f", and {len(names) - 3} more" if len(names) > 3 else "")
