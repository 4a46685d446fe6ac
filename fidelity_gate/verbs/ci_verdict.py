"""The verdict file: what a CI run leaves for the jobs after it, and the check that a required job makes of it.

Only the standard library is needed to read one, so that a required job need not install anything.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from fidelity_gate.errors import ExitCode, Refused, Undecided, UsageError
from fidelity_gate.files import read_file
from fidelity_gate.json_fields import Fields, parse
from fidelity_gate.text import printable, quiet_json

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "fidelity-gate-verdict.json"
SCHEMA = "fidelity-gate/ci-verdict/v1"
LIMIT_BYTES = 1 << 20
REASON_LIMIT = 400
_DIGEST = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def whole_commit(text: str) -> str:
    """Return a commit's whole name; "HEAD" and "main" would be the same on any commit, and hold nothing to one.

    Raises:
        UsageError: it is another word.
    """
    if not _COMMIT.fullmatch(text):
        hint = "40 hexadecimal digits, as `git rev-parse HEAD` says them"
        raise UsageError(f"'{printable(text, 60)}' is no commit's whole name", field="--commit", hint=hint)
    return text


class Word(StrEnum):
    """What a gate said, in one word of a closed set."""

    PASSED = "passed"
    FAILED = "failed"
    REFUSED = "refused"
    UNDECIDED = "undecided"
    INTERNAL = "internal"


_WORD_OF = {
    ExitCode.PASSED: Word.PASSED,
    ExitCode.FAILED: Word.FAILED,
    ExitCode.REFUSED: Word.REFUSED,
    ExitCode.UNDECIDED: Word.UNDECIDED,
    ExitCode.INTERRUPTED: Word.UNDECIDED,
    ExitCode.TERMINATED: Word.UNDECIDED,
}


def word_of(code: int) -> Word:
    """Return the word of an exit code; one that nobody knows is a bug, and never a pass."""
    return _WORD_OF.get(ExitCode(code), Word.INTERNAL) if code in set(ExitCode) else Word.INTERNAL


@dataclass(frozen=True, slots=True)
class Run:
    """Which run of which CI a verdict belongs to; empty where the CI does not say.

    Attributes:
        commit: the commit whose run this is.
        repository: `owner/name`.
        run: the number of the run or of the pipeline.
        policy_commit: the commit that policy, reference and inputs were taken from.
    """

    commit: str
    repository: str = ""
    run: str = ""
    policy_commit: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate said, of which files, for which commit.

    Attributes:
        digests: SHA-256 of the policy (`policy`), the models (`reference`, `candidate.NAME`) and the probes
            (`inputs`), as far as the run came to know them.
        reports: name of a report's file -> its SHA-256.
    """

    verdict: Word
    exit_code: int
    reason: str
    run: Run
    policy: str
    digests: Mapping[str, str]
    reports: Mapping[str, str]
    created: str
    tool: str

    @property
    def candidates(self) -> dict[str, str]:
        """Return name -> SHA-256 of every candidate that was measured."""
        prefix = "candidate."
        return {key.removeprefix(prefix): value for key, value in self.digests.items() if key.startswith(prefix)}


def dump(verdict: Verdict) -> str:
    """Return the file's text: one line of ASCII with sorted keys, in which no string starts a workflow command."""
    plain = {"schema": SCHEMA, **asdict(verdict), "reason": printable(verdict.reason, REASON_LIMIT)}
    return quiet_json(json.dumps(plain, sort_keys=True, allow_nan=False)) + "\n"


def load(data: bytes, where: str) -> Verdict:
    """Return the verdict that a file holds; raises Refused for anything that is not whole and consistent."""
    fields = Fields(parse(data, where=where), where, "", Refused)
    if fields.text("schema") != SCHEMA:
        fields.fail("schema", f"must be {SCHEMA}")
    word, code = fields.text("verdict"), fields.whole("exit_code", minimum=0, maximum=255)
    if word not in set(Word) or word_of(code) != word or (word == Word.PASSED) != (code == 0):
        fields.fail("verdict", f"'{word}' does not go with exit code {code}")
    run = fields.inner("run")
    found = Verdict(
        verdict=Word(word),
        exit_code=code,
        reason=fields.text("reason"),
        run=Run(run.text("commit"), run.text("repository"), run.text("run"), run.text("policy_commit")),
        policy=fields.text("policy"),
        digests=_digests(fields, "digests"),
        reports=_digests(fields, "reports"),
        created=fields.text("created"),
        tool=fields.text("tool"),
    )
    run.done()
    fields.done()
    return found


@dataclass(frozen=True, slots=True)
class Demand:
    """What a verdict file must say; an empty text demands nothing, but for the commit.

    Attributes:
        commit: this run's commit.
        repository: this repository.
        run: this run.
        verdict_digest: SHA-256 of the verdict file itself, as the gate's job said it in its outputs.
        policy_digest: SHA-256 of the policy.
        candidates: name -> SHA-256 of files that are about to be used.
    """

    commit: str
    repository: str = ""
    run: str = ""
    verdict_digest: str = ""
    policy_digest: str = ""
    candidates: Mapping[str, str] | None = None


def required(path: str, demand: Demand) -> Verdict:
    """Return the verdict on this commit and these digests, whatever it says.

    Raises:
        Undecided: there is no such file, or it is not this run's: nobody knows what the gate says of this commit.
        Refused: it is damaged.
    """
    if not demand.commit:
        raise Undecided("no commit is given to hold the verdict against", where=path, field="--commit")
    file = read_file(path, limit_bytes=LIMIT_BYTES, kind=Undecided)
    if demand.verdict_digest and file.digest != demand.verdict_digest:
        raise _other(path, "file", demand.verdict_digest, file.digest)
    found = load(file.data, path)
    held = {
        "commit": (demand.commit, found.run.commit),
        "repository": (demand.repository, found.run.repository),
        "run": (demand.run, found.run.run),
        "policy": (demand.policy_digest, found.digests.get("policy", "")),
    }
    for what, (wanted, there) in held.items():
        if wanted and wanted != there:
            raise _other(path, what, wanted, there)
    for name, wanted in (demand.candidates or {}).items():
        if wanted and wanted != found.candidates.get(name):
            raise _other_file(path, name, wanted, found.candidates)
    return found


def _other(path: str, what: str, wanted: str, there: str) -> Undecided:
    told = f"is a verdict on another {what}: {there[:12] or 'none'}, not {wanted[:12]}"
    return Undecided(told, where=path, hint="run the gate on this commit")


def _other_file(path: str, name: str, wanted: str, judged: Mapping[str, str]) -> Undecided:
    """Return the error for a file that is not the judged one, on the very commit that is asked about."""
    if name not in judged:
        hint = f"it has {', '.join(judged)}" if judged else "it has none"
        return Undecided(f"is on no candidate '{name}'", where=path, field="--artifact", hint=hint)
    told = f"{wanted[:12]} is not the file of {name} that was judged, {judged[name][:12]}"
    return Undecided(told, where=path, field="--artifact", hint="run the gate on this file")


def _digests(fields: Fields, key: str) -> dict[str, str]:
    inner = fields.inner(key)
    found = {name: inner.text(name) for name in sorted(inner.names())}
    for name, digest in found.items():
        if not _DIGEST.fullmatch(digest):
            inner.fail(name, "must be a SHA-256 in lower-case hexadecimal")
    inner.done()
    return found
