"""A judged run and one of its candidates -> an in-toto statement; and such a statement, read strictly.

Predicate: test-result v0.1 (https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md). What it
has no field for stands under `fidelityGate`, which other readers ignore.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath
from typing import TYPE_CHECKING

from fidelity_gate import __version__
from fidelity_gate.errors import Refused
from fidelity_gate.json_fields import Fields, parse
from fidelity_gate.records import Outcome
from fidelity_gate.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fidelity_gate.records import CheckResult, ModelRecord, Policy, Report

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://in-toto.io/attestation/test-result/v0.1"
EXTENSION = "fidelityGate"
_WARNED = (Outcome.WARN, Outcome.WAIVED)
_NAME_LIMIT = 200


class Result(StrEnum):
    """What the whole gate said; one word for the deploy step."""

    PASSED = "PASSED"
    WARNED = "WARNED"  # passed, with warnings or waivers of this candidate
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Statement:
    """What a statement says, and is verified by."""

    subject: str  # name of the file
    digest: str  # SHA-256 of the file
    policy_digest: str
    policy: str  # its name
    result: Result
    created: str  # ISO 8601, UTC: when the gate judged
    candidate: str
    passed: tuple[str, ...]
    warned: tuple[str, ...]
    failed: tuple[str, ...]


def predicate_of(report: Report, candidate: ModelRecord) -> dict[str, object]:
    """Return the predicate: what the gate said of a candidate, and as part of which whole.

    The result is the whole gate's: a candidate does not pass where another of the same policy is blocked.

    Raises:
        Refused: the run was stopped before it was judged, or rests on something that no device measured.
    """
    policy, measured = report.policy, report.measured
    if policy is None or measured is None or report.error:
        what = "the run was stopped before it was judged, and there is nothing to attest"
        raise Refused(what, hint="attest the verdict of a run that came to one")
    for record in (measured.reference, *measured.candidates):
        if any(run.job is not None and run.job.simulated for run in record.device_runs):
            what = f"{record.name} was measured on a simulated device, and that is no evidence to sign"
            raise Refused(what, hint="measure on the device itself")
    results = [one for one in report.verdict.results if one.candidate == candidate.name]
    named = {
        "passedTests": _names(one for one in results if one.outcome is Outcome.PASS),
        "warnedTests": _names(one for one in results if one.outcome in _WARNED),
        "failedTests": _names(one for one in results if one.outcome not in (Outcome.PASS, Outcome.OFF, *_WARNED)),
    }
    return {
        "result": _result(report, named["warnedTests"]).value,
        "configuration": [
            _descriptor(policy.path or policy.name, policy.digest, "policy"),
            _descriptor(measured.reference.facts.path, measured.reference.facts.digest, "reference"),
            _descriptor(measured.provenance.inputs_source, measured.provenance.inputs_digest, "inputs"),
        ],
        **named,
        EXTENSION: _beside(report, policy, candidate),
    }


def statement_of(predicate: Mapping[str, object], candidate: ModelRecord) -> bytes:
    """Return the statement as JSON: the candidate's file, and the predicate."""
    subject = {"name": _file_name(candidate.facts.path), "digest": {"sha256": candidate.facts.digest}}
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [subject],
        "predicateType": PREDICATE_TYPE,
        "predicate": predicate,
    }
    return json.dumps(statement, sort_keys=True, allow_nan=False).encode()


def read_statement(payload: bytes, where: str) -> Statement:
    """Return what a statement of ours says; raises Refused for any other."""
    fields = Fields(parse(payload, where=where, what="payload"), where, "payload", Refused)
    _must_be(fields, "_type", STATEMENT_TYPE)
    _must_be(fields, "predicateType", PREDICATE_TYPE)
    name, digest = _only_descriptor(fields, "subject", "", "a statement of this gate is of one file")
    predicate = fields.inner("predicate")
    fields.done()
    result = predicate.text("result")
    if result not in set(Result):
        predicate.fail("result", f"must be one of {', '.join(Result)}")
    policy_name, policy_digest = _only_descriptor(predicate, "configuration", "policy", "one of them is the policy")
    passed, warned, failed = (_texts(predicate, key) for key in ("passedTests", "warnedTests", "failedTests"))
    beside = predicate.inner(EXTENSION)
    found = Statement(
        subject=name,
        digest=digest,
        policy_digest=policy_digest,
        policy=policy_name,
        result=Result(result),
        created=beside.text("created"),
        candidate=beside.text("candidate"),
        passed=passed,
        warned=warned,
        failed=failed,
    )
    _refuse_contradiction(found, beside.whole("exitCode", minimum=0, maximum=255), predicate)
    return found


def _result(report: Report, warned: list[str]) -> Result:
    if not report.verdict.passed or report.verdict.exit_code != 0:
        return Result.FAILED
    return Result.WARNED if warned else Result.PASSED


def _names(results: Iterable[CheckResult]) -> list[str]:
    """Return `check@target`, or the check alone where it holds whatever the target."""
    return sorted(f"{one.check.id}@{one.check.target}" if one.check.target else one.check.id for one in results)


def _beside(report: Report, policy: Policy, candidate: ModelRecord) -> dict[str, object]:
    verdict = report.verdict
    return {
        "candidate": candidate.name,
        "created": report.created,
        "depth": str(candidate.depth),
        "exitCode": verdict.exit_code,
        "met": verdict.met,
        "policyName": policy.name,
        "reason": printable(verdict.reason, 1000),
        "required": verdict.required,
        "tool": f"fidelity-gate {__version__}",
    }


def _descriptor(name: str, digest: str, role: str) -> dict[str, object]:
    return {"name": _file_name(name), "digest": {"sha256": digest}, "annotations": {"role": role}}


def _file_name(path: str) -> str:
    """Return the last part of a path: where a build machine keeps its files is nobody's business."""
    return printable(PurePath(path.replace("\\", "/")).name or path, _NAME_LIMIT)


def _must_be(fields: Fields, key: str, value: str) -> None:
    if fields.text(key) != value:
        fields.fail(key, f"must be {value}")


def _only_descriptor(fields: Fields, key: str, role: str, why: str) -> tuple[str, str]:
    """Return name and SHA-256 of the one resource in a list that has this role, any where none is named."""
    inner = [
        Fields(one, fields.where, f"{fields.at(key)}[{place}]", Refused) for place, one in enumerate(fields.items(key))
    ]
    chosen = [one for one in inner if not role or one.inner("annotations").text("role") == role]
    if len(chosen) != 1:
        fields.fail(key, f"has {len(chosen)} that could be meant: {why}")
    name, digest = chosen[0].text("name"), chosen[0].inner("digest").text("sha256")
    if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        chosen[0].fail("digest.sha256", "must be 64 hexadecimal digits")
    return name, digest


def _texts(fields: Fields, key: str) -> tuple[str, ...]:
    items = fields.items(key)
    if not all(isinstance(item, str) for item in items):
        fields.fail(key, "must be a list of names")
    return tuple(str(item) for item in items)


def _refuse_contradiction(found: Statement, exit_code: int, predicate: Fields) -> None:
    """Refuse a statement whose parts do not agree: signed or not, it was not made by a gate that works."""
    if found.result is Result.FAILED:
        agrees = exit_code != 0
    else:
        agrees = exit_code == 0 and not found.failed and bool(found.passed or found.warned)
        agrees = agrees and (found.result is Result.WARNED) == bool(found.warned)
    if not agrees:
        predicate.fail("result", f"is {found.result}, and the tests and the exit code beside it say otherwise")
