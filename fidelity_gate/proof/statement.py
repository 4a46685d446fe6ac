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
from fidelity_gate.proof.files import SignedFile, files_of
from fidelity_gate.records import Outcome
from fidelity_gate.text import printable
from fidelity_gate.wording import blocks, simulated_devices

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from fidelity_gate.records import CheckResult, ModelRecord, Policy, Report

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://in-toto.io/attestation/test-result/v0.1"
EXTENSION = "fidelityGate"
_WARNED = (Outcome.WARN, Outcome.WAIVED)
_NAME_LIMIT = 200
MOST_FILES = 1000


class Result(StrEnum):
    """What the whole gate said; one word for the deploy step."""

    PASSED = "PASSED"
    WARNED = "WARNED"  # passed, with warnings or waivers of this candidate
    FAILED = "FAILED"


@dataclass(frozen=True, slots=True)
class Statement:
    """What a statement says, and is verified by."""

    files: tuple[SignedFile, ...]  # of the model, its own first
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
    simulated = simulated_devices(report)
    if simulated:
        what = f"rest on simulated devices ({', '.join(simulated)}), and that is no evidence to sign"
        raise Refused(what, field="measurements", hint="measure on the devices themselves")
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
    """Return the statement as JSON: the candidate's files, and the predicate."""
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": _resources(files_of(candidate.facts)),
        "predicateType": PREDICATE_TYPE,
        "predicate": predicate,
    }
    return json.dumps(statement, sort_keys=True, allow_nan=False).encode()


def read_statement(payload: bytes, where: str) -> Statement:
    """Return what a statement of ours says; raises Refused for any other."""
    fields = Fields(parse(payload, where=where, what="payload"), where, "payload", Refused)
    _must_be(fields, "_type", STATEMENT_TYPE)
    _must_be(fields, "predicateType", PREDICATE_TYPE)
    subjects = _files(fields, "subject")
    predicate = fields.inner("predicate")
    fields.done()
    result = predicate.text("result")
    if result not in set(Result):
        predicate.fail("result", f"must be one of {', '.join(Result)}")
    policy = _policy(predicate)
    passed, warned, failed = (_texts(predicate, key) for key in ("passedTests", "warnedTests", "failedTests"))
    beside = predicate.inner(EXTENSION)
    found = Statement(
        files=_files(beside, "files"),
        policy_digest=policy.digest,
        policy=policy.name,
        result=Result(result),
        created=beside.text("created"),
        candidate=beside.text("candidate"),
        passed=passed,
        warned=warned,
        failed=failed,
    )
    if sorted(found.files) != sorted(subjects):
        fields.fail("subject", "is of other files than those of the model that was judged")
    _refuse_contradiction(found, beside, predicate)
    return found


def _result(report: Report, warned: list[str]) -> Result:
    if blocks(report):
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
        "files": _resources(files_of(candidate.facts)),
        "met": verdict.met,
        "policyName": policy.name,
        "reason": printable(verdict.reason, 1000),
        "required": verdict.required,
        "tool": f"fidelity-gate {__version__}",
        "waived": verdict.waived,
    }


def _descriptor(name: str, digest: str, role: str) -> dict[str, object]:
    return {"name": _file_name(name), "digest": {"sha256": digest}, "annotations": {"role": role}}


def _resources(files: Sequence[SignedFile]) -> list[dict[str, object]]:
    return [{"name": printable(file.name, _NAME_LIMIT), "digest": {"sha256": file.digest}} for file in files]


def _file_name(path: str) -> str:
    """Return the last part of a path: where a build machine keeps its files is nobody's business."""
    return printable(PurePath(path.replace("\\", "/")).name or path, _NAME_LIMIT)


def _must_be(fields: Fields, key: str, value: str) -> None:
    if fields.text(key) != value:
        fields.fail(key, f"must be {value}")


def _files(fields: Fields, key: str) -> tuple[SignedFile, ...]:
    """Return the files of a list of resources, which says nothing else of them."""
    resources = _listed(fields, key)
    if not 1 <= len(resources) <= MOST_FILES:
        fields.fail(key, f"must be 1 to {MOST_FILES} files")
    found = tuple(_file(one) for one in resources)
    for one in resources:
        one.done()
    return found


def _policy(predicate: Fields) -> SignedFile:
    """Return the policy, which is the one resource of this role in the configuration."""
    chosen = [one for one in _listed(predicate, "configuration") if one.inner("annotations").text("role") == "policy"]
    if len(chosen) != 1:
        predicate.fail("configuration", f"has {len(chosen)} that could be meant: one of them is the policy")
    return _file(chosen[0])


def _listed(fields: Fields, key: str) -> list[Fields]:
    items = enumerate(fields.items(key))
    return [Fields(one, fields.where, f"{fields.at(key)}[{place}]", Refused) for place, one in items]


def _file(resource: Fields) -> SignedFile:
    digest = resource.inner("digest").text("sha256")
    if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        resource.fail("digest.sha256", "must be 64 hexadecimal digits")
    return SignedFile(resource.text("name"), digest)


def _texts(fields: Fields, key: str) -> tuple[str, ...]:
    items = fields.items(key)
    if not all(isinstance(item, str) for item in items):
        fields.fail(key, "must be a list of names")
    return tuple(str(item) for item in items)


def _refuse_contradiction(found: Statement, beside: Fields, predicate: Fields) -> None:
    """Refuse a statement whose parts do not agree: signed or not, it was not made by a gate that works."""
    code = beside.whole("exitCode", minimum=0, maximum=255)
    met, waived, required = (beside.whole(key, minimum=0, maximum=1 << 31) for key in ("met", "waived", "required"))
    if found.result is Result.FAILED:
        agrees = code != 0
    else:
        agrees = code == 0 and not found.failed and bool(found.passed or found.warned)
        agrees = agrees and met > 0 and met + waived == required
        agrees = agrees and (found.result is Result.WARNED) == bool(found.warned)
    if not agrees:
        predicate.fail("result", f"is {found.result}, and the tests and the exit code beside it say otherwise")
