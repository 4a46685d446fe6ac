"""A SARIF 2.1.0 log: what both SARIF reports are made of, within the limits of those who read it.

GitHub's code scanning shows at most 5,000 results of a run, takes files of at most 10 MB, cuts messages at 1,000
characters, and tells results apart by `primaryLocationLineHash`; where a log has none it hashes the line, which is the
same line 1 for everything that is found in a binary file.

Source: OASIS SARIF 2.1.0; docs.github.com, "SARIF support for code scanning".
"""

from __future__ import annotations

import json
import os
from collections import Counter
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any
from urllib.parse import quote

from fidelity_gate import __version__
from fidelity_gate.records import Place
from fidelity_gate.text import printable, quiet_json

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
MOST_RESULTS = 5000
MOST_BYTES = 10_000_000
MESSAGE_LIMIT = 1000
NAME_LIMIT = 500
HELP_LIMIT = 4000
ROOT, OUTSIDE = "%SRCROOT%", "OUTSIDE"
ERROR, WARNING, NOTE = "error", "warning", "note"
RANK = {ERROR: 0, WARNING: 1, NOTE: 2}

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SarifRule:
    """A kind of result."""

    id: str
    name: str
    short: str  # one sentence
    level: str
    full: str = ""
    help: str = ""  # Markdown that reads as plain text too


@dataclass(frozen=True, slots=True)
class SarifFile:
    """A file that was looked at."""

    path: str
    digest: str = ""
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class SarifResult:
    """One thing to tell, and where it is."""

    rule: str
    level: str
    message: str
    place: Place  # the file, and the line in it where it has lines
    kind: str = ""  # "tensor", "node": of a logical location inside the file
    name: str = ""  # of the logical location; "" for the file as a whole
    related: tuple[tuple[Place, str], ...] = ()  # other places, and what they are
    identity: tuple[str, ...] = ()  # what makes it the same result next time, beside rule, file and logical location
    figures: tuple[tuple[str, object], ...] = ()
    accepted: str = ""  # why it does not count, where somebody said so


@dataclass(frozen=True, slots=True)
class SarifLog:
    """One run of the tool."""

    category: str  # "lint", "gate/NAME": results replace those of an earlier run of the same category
    rules: tuple[SarifRule, ...]
    files: tuple[SarifFile, ...]
    results: tuple[SarifResult, ...]
    exit_code: int
    reason: str
    ran: bool  # to its end, whatever it found
    created: str = ""
    notices: tuple[str, ...] = ()  # what kept it from its end


def text_of(log: SarifLog) -> str:
    """Return the log as JSON; the worst results first, and of too many only as many as readers take."""
    results = tuple(sorted(log.results, key=lambda result: RANK[result.level]))
    kept = results[:MOST_RESULTS]
    while True:
        cut = replace(log, results=kept)
        document = _document(cut, left_out=len(results) - len(kept))
        text = quiet_json(json.dumps(document, allow_nan=False, indent=1) + "\n")
        if len(text) <= MOST_BYTES or not kept:
            return text
        kept = kept[: len(kept) // 2]


def _document(log: SarifLog, left_out: int) -> Json:
    indices = {rule.id: index for index, rule in enumerate(log.rules)}
    files = {file.path: index for index, file in enumerate(log.files)}
    seen: Counter[str] = Counter()
    run = {
        "tool": {
            "driver": {
                "name": "fidelity-gate",
                "version": __version__,
                "semanticVersion": __version__,
                "rules": [_rule(rule) for rule in log.rules],
            }
        },
        "automationDetails": {"id": f"fidelity-gate/{printable(log.category, NAME_LIMIT)}/"},
        "originalUriBaseIds": {
            ROOT: {"description": {"text": "The folder that the command was run in."}},
            OUTSIDE: {"description": {"text": "Somewhere outside that folder."}},
        },
        "invocations": [_invocation(log, left_out)],
        "artifacts": [_artifact(file) for file in log.files],
        "results": [_result(result, indices, files, seen) for result in log.results],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(rule: SarifRule) -> Json:
    told = printable_lines(rule.help or rule.short, HELP_LIMIT)
    return {
        "id": rule.id,
        "name": printable(rule.name, NAME_LIMIT),
        "shortDescription": {"text": printable(rule.short, MESSAGE_LIMIT)},
        "fullDescription": {"text": printable_lines(rule.full or rule.short, MESSAGE_LIMIT)},
        "help": {"text": told, "markdown": told},
        "defaultConfiguration": {"level": rule.level},
        "properties": {"tags": ["model-compression"], "problem.severity": _severity(rule.level)},
    }


def _severity(level: str) -> str:
    """Return GitHub's word for a level."""
    return "recommendation" if level == NOTE else level


def _invocation(log: SarifLog, left_out: int) -> Json:
    notices = [(ERROR, notice) for notice in log.notices]
    if left_out:
        notices.append((WARNING, f"{left_out:,} results are left out: a reader takes no more than are here"))
    made: Json = {
        "executionSuccessful": log.ran,
        "exitCode": log.exit_code,
        "exitCodeDescription": printable(log.reason, MESSAGE_LIMIT),
        "toolExecutionNotifications": [
            {"level": level, "message": {"text": printable(notice, MESSAGE_LIMIT)}} for level, notice in notices
        ],
    }
    if log.created:
        made["endTimeUtc"] = log.created.replace("+00:00", "Z")
    return made


def _artifact(file: SarifFile) -> Json:
    made: Json = {"location": _location(file.path), "roles": ["analysisTarget"]}
    if file.digest:
        made |= {"length": file.size_bytes, "hashes": {"sha-256": file.digest}}
    return made


def _result(result: SarifResult, rules: dict[str, int], files: dict[str, int], seen: Counter[str]) -> Json:
    location: Json = {"physicalLocation": _physical(result.place, files)}
    if result.name:
        name = printable(result.name, NAME_LIMIT)
        location["logicalLocations"] = [{"name": name, "fullyQualifiedName": name, "kind": result.kind}]
    hashed = _fingerprint(result)
    seen[hashed] += 1
    made: Json = {
        "ruleId": result.rule,
        "ruleIndex": rules[result.rule],
        "level": result.level,
        "message": {"text": printable(result.message, MESSAGE_LIMIT)},
        "locations": [location],
        "partialFingerprints": {"primaryLocationLineHash": f"{hashed}:{seen[hashed]}"},
    }
    if result.related:
        made["relatedLocations"] = [
            {"physicalLocation": _physical(place, files), "message": {"text": printable(told, MESSAGE_LIMIT)}}
            for place, told in result.related
        ]
    if result.figures:
        made["properties"] = {"figures": {printable(name): value for name, value in result.figures}}
    if result.accepted:
        justification = printable(result.accepted, MESSAGE_LIMIT)
        made["suppressions"] = [{"kind": "external", "status": "accepted", "justification": justification}]
    return made


def _fingerprint(result: SarifResult) -> str:
    """Return what stays the same when lines move and figures change."""
    parts = (result.rule, result.place.file, result.kind, result.name, *result.identity)
    return sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _physical(place: Place, files: dict[str, int]) -> Json:
    location = _location(place.file)
    if place.file in files:
        location["index"] = files[place.file]
    # A model file has no lines; GitHub needs one to show anything, and puts what is about a whole file on its first.
    region: Json = {"startLine": max(1, place.line)}
    if place.column:
        region["startColumn"] = place.column
    return {"artifactLocation": location, "region": region}


def _location(path: str) -> Json:
    """Return a path against the working folder; of a file outside only its name and its folder's.

    Nothing is looked up: the path may not exist.
    """
    relative = os.path.normpath(os.path.relpath(path or ".")).replace(os.sep, "/")
    outside = relative == ".." or relative.startswith("../")
    # The folder tells two files of one name apart; the rest of the path is nobody's business.
    shown = "/".join(relative.split("/")[-2:]).removeprefix("../") if outside else relative
    try:
        name = os.fsencode(shown)
    except UnicodeEncodeError:  # no file is called so; a saved report may say it
        name = shown.encode("utf-8", "backslashreplace")
    return {"uri": quote(name, safe="/"), "uriBaseId": OUTSIDE if outside else ROOT}


def printable_lines(text: str, limit: int) -> str:
    """Return a text of our own of several lines, every line printable."""
    return "\n".join(printable(line, limit) for line in text[:limit].splitlines())
