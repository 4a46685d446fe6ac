"""What the YAML parser complains of -> what is wrong with the line, and how to mend it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

from fidelity_gate.errors import PolicyError
from fidelity_gate.records import Place
from fidelity_gate.text import printable

if TYPE_CHECKING:
    from ruamel.yaml.error import MarkedYAMLError

Told: TypeAlias = tuple[str, str]

_CONFLICT = re.compile(r"^(<<<<<<<|=======|>>>>>>>)( |$)", re.MULTILINE)
_WRONG_START = re.compile(r"found character '(.*)' that cannot start any token", re.DOTALL)


def not_yaml(error: MarkedYAMLError, text: str, name: str) -> PolicyError:
    """Return the error for a text that is no YAML.

    Args:
        error: of the parser; its lines and columns count from 0.
        text: the whole file.
        name: of the file.
    """
    if conflict := _CONFLICT.search(text):
        place = Place(name, text.count("\n", 0, conflict.start()) + 1, 1)
        return PolicyError("holds the marks of a merge conflict", where=str(place), hint="resolve it")
    problem = str(error.problem or error.context)
    mark = error.problem_mark or error.context_mark
    if "unexpected end of stream" in problem and error.context_mark is not None:
        mark = error.context_mark
    if mark is None:
        return PolicyError(f"is not valid YAML: {problem}", where=name)
    opened = error.context_mark.line + 1 if error.context_mark is not None else 0
    lines = text.splitlines()
    before = lines[mark.line][: mark.column] if mark.line < len(lines) else ""
    what, hint = _told(problem, before, opened)
    return PolicyError(f"is not valid YAML: {what}", where=str(Place(name, mark.line + 1, mark.column + 1)), hint=hint)


def _told(problem: str, before: str, opened: int) -> Told:
    """Return what is wrong and how to mend it.

    Args:
        problem: in the parser's words.
        before: the marked line up to the mark.
        opened: the line of the block, the bracket or the quote that the parser was in; 0 where it does not say.
    """
    if start := _WRONG_START.match(problem):
        return _wrong_start(start[1])
    if "mapping values are not allowed" in problem:
        return _stray_colon(before)
    for known, told in _KNOWN.items():
        if known in problem:
            return told[0], told[1].format(line=opened)
    return problem, ""


# A part of the parser's words -> ours.
_KNOWN: dict[str, Told] = {
    "unexpected end of stream": ("a quote that is opened here is never closed", "close it"),
    "expected ',' or '}'": ("a { is not closed, or a comma is missing", "the {{ is on line {line}"),
    "expected ',' or ']'": ("a [ is not closed, or a comma is missing", "the [ is on line {line}"),
    "expected <block end>": (
        "does not line up with the block that it is in",
        "that block starts on line {line}; its keys start in the same column",
    ),
    "could not find expected ':'": ("a key without a colon", "write it as key: value"),
    "expected chomping or indentation": ("text that starts with > or | has to be quoted", "put it in quotes"),
    "expected the node content": ("a value is missing, or a comma or bracket is too many", "write the value"),
}


def _wrong_start(character: str) -> Told:
    if character in ("\t", "\\t"):
        return "a tab, where only spaces can be", "spaces instead"
    shown = printable(character, 8)
    return f"text that starts with {shown} has to be quoted", "a share is 95 %" if shown == "%" else f"'{shown}...'"


def _stray_colon(before: str) -> Told:
    if re.search(r":\s", before.strip()):
        return "a second colon on one line", "quote text that holds a colon, or start a new line"
    return "the line before is no key with a value", "write it as key: value, with a space after the colon"
