"""A few plain settings from a YAML file that a stranger may have written: scalars only, nothing is ever expanded."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from fidelity_gate.errors import GateError, ModelRefused

if TYPE_CHECKING:
    from fidelity_gate.records import Scalar

LIMIT_BYTES = 64 << 10
MOST_DEPTH = 16
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE = frozenset({"true", "True", "TRUE"})
_FALSE = frozenset({"false", "False", "FALSE"})
_INT = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]{1,30}|[0-9]{1,30}(\.[0-9]{0,30})?)([eE][-+]?[0-9]{1,3})?")


def scalars(
    data: bytes, *, where: str, strict: bool = False, kind: type[GateError] = ModelRefused
) -> dict[str, Scalar]:
    """Return every scalar that stands under mappings alone, dotted path -> value ("arch.hidden_size" -> 512).

    Args:
        data: a YAML 1.2 document.
        where: the file, for errors.
        strict: refuse sequences, aliases, anchors and tags, which are otherwise passed over. Nothing of them is ever
            built, so no document can grow by being read.
        kind: the error to raise.

    Raises:
        kind: not one YAML mapping, a key twice, a key that is not text, too deep, or a number beyond float64.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    walker = _Walker(where, strict, kind)
    try:
        for event in YAML(typ="safe", pure=True).parse(data.decode("utf-8")):
            walker.take(event)
    except UnicodeDecodeError as error:
        raise kind("is not UTF-8 text", where=where) from error
    except YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = where if mark is None else f"{where}:{mark.line + 1}:{mark.column + 1}"
        raise kind(f"is not YAML: {getattr(error, 'problem', None) or 'cannot be parsed'}", where=place) from error
    if not walker.documents:
        raise kind("is empty", where=where)
    return walker.found


class _Walker:
    """Where in the document the parser's events are; one entry of each list for a mapping or sequence that is open."""

    def __init__(self, where: str, strict: bool, kind: type[GateError]) -> None:
        self.where = where
        self.strict = strict
        self.kind = kind
        self.documents = 0
        self.found: dict[str, Scalar] = {}
        self.path: list[str | None] = []  # the key whose value comes next; None: a key comes next, or a sequence
        self.sequence: list[bool] = []
        self.seen: list[set[str]] = []

    def take(self, event: Any) -> None:  # noqa: ANN401  (the library's events)
        """Follow one event."""
        name = type(event).__name__
        if self.strict:
            self._refuse(name in ("SequenceStartEvent", "AliasEvent"), "holds a list or an alias", event)
            self._refuse(
                bool(getattr(event, "anchor", None) or getattr(event, "tag", None)), "holds an anchor or a tag", event
            )
        if name == "DocumentStartEvent":
            self.documents += 1
            self._refuse(self.documents > 1, "holds more than one document", event)
        elif name in ("MappingStartEvent", "SequenceStartEvent"):
            self._open(name == "SequenceStartEvent", event)
        elif name in ("MappingEndEvent", "SequenceEndEvent"):
            self._close()
        elif name in ("ScalarEvent", "AliasEvent"):
            self._leaf(event, alias=name == "AliasEvent")

    def _open(self, sequence: bool, event: Any) -> None:  # noqa: ANN401
        self._refuse(not self.path and sequence, "must be a mapping", event)
        self._refuse(len(self.path) >= MOST_DEPTH, "is nested too deeply", event)
        self._refuse(self._key_is_next(), "has a key that is not text", event)
        self.path.append(None)
        self.sequence.append(sequence)
        self.seen.append(set())

    def _close(self) -> None:
        for stack in (self.path, self.sequence, self.seen):
            stack.pop()
        if self.path:
            self.path[-1] = None

    def _leaf(self, event: Any, *, alias: bool) -> None:  # noqa: ANN401
        self._refuse(not self.path, "must be a mapping", event)
        if self._key_is_next():
            self._refuse(alias, "has a key that is not text", event)
            self._refuse(event.value in self.seen[-1], f"holds the key '{event.value}' twice", event)
            self.seen[-1].add(event.value)
            self.path[-1] = event.value
            return
        if not any(self.sequence) and not alias and event.tag is None:
            value = resolved(event.value) if event.style is None else event.value
            self._refuse(isinstance(value, float) and not math.isfinite(value), "holds a number beyond float64", event)
            path = ".".join(part for part in self.path if part is not None)
            self._refuse(path in self.found, f"says {path} twice", event)
            self.found[path] = value
        if not self.sequence[-1]:
            self.path[-1] = None

    def _key_is_next(self) -> bool:
        return bool(self.path) and not self.sequence[-1] and self.path[-1] is None

    def _refuse(self, wrong: bool, what: str, event: Any) -> None:  # noqa: ANN401
        if wrong:
            raise self.kind(what, where=f"{self.where}:{event.start_mark.line + 1}")


def resolved(text: str) -> Scalar:
    """Return what a plain YAML 1.2 scalar stands for; what is no number, truth value or null is text."""
    if text in _NULLS:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
