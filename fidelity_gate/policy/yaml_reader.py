"""YAML 1.2 text -> a tree of nodes that know their line and column; what could be read in two ways is refused.

The tree is built from parser events, so that nothing is constructed before it was looked at: no tag is resolved, no
alias expanded, no key merged, and the walk stops at the first thing it does not allow.
"""

from __future__ import annotations

import math
import re
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)

from fidelity_gate.errors import PolicyError
from fidelity_gate.policy.yaml_faults import not_yaml
from fidelity_gate.records import Place
from fidelity_gate.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from fidelity_gate.records import Scalar

LIMIT_BYTES = 64 * 1024
LIMIT_DEPTH = 20
LIMIT_NODES = 4000
LIMIT_KEY = 100

_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\x00\x00\xfe\xff")
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})

_INT = re.compile(r"-?(0|[1-9][0-9]{0,17})", re.ASCII)
_FLOAT = re.compile(r"-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,4})?", re.ASCII)
# What YAML 1.1, YAML 1.2 or another reader may take for a number, and we do not: octal, hexadecimal, sexagesimal,
# underscores, signs, a missing digit, not finite, too long.
_NUMBER_LIKE = re.compile(
    r"[-+]?(0[xX][0-9a-fA-F_]+|0[oObB][0-9_]+|[0-9][0-9_]*(:[0-9]{1,2})+(\.[0-9_]*)?"
    r"|([0-9][0-9_]*\.?[0-9_]*|\.[0-9_]+)([eE][-+]?[0-9]+)?|\.(inf|nan))",
    re.ASCII | re.IGNORECASE,
)
_NUMBER_HINT = "plain decimal numbers of at most 18 digits, like 0.97, 12 or 1e-6; quote it if it is text"


@dataclass(frozen=True, slots=True)
class Node:
    """One value of the file: a scalar, a list or a mapping, and where it stands."""

    place: Place
    key_place: Place  # of its key; the same as `place` where it has none
    scalar: Scalar = None
    raw: str = ""  # a scalar as its author wrote it
    entries: Mapping[str, Node] | None = None
    items: tuple[Node, ...] | None = None

    def plain(self) -> Any:  # noqa: ANN401  (handed to pydantic and nowhere else)
        """Return the value as plain dicts, lists and scalars."""
        if self.entries is not None:
            return {key: node.plain() for key, node in self.entries.items()}
        if self.items is not None:
            return [node.plain() for node in self.items]
        return self.scalar

    def at(self, path: Sequence[str | int]) -> tuple[Node, tuple[str | int, ...]]:
        """Return the deepest node on `path`, and how much of the path led to it."""
        node = self
        for depth, step in enumerate(path):
            below = node._child(step)
            if below is None:
                return node, tuple(path[:depth])
            node = below
        return node, tuple(path)

    def _child(self, step: str | int) -> Node | None:
        if self.entries is not None and isinstance(step, str):
            return self.entries.get(step)
        if self.items is not None and isinstance(step, int) and 0 <= step < len(self.items):
            return self.items[step]
        return None


def read_tree(data: bytes, name: str, *, limit_bytes: int = LIMIT_BYTES, limit_nodes: int = LIMIT_NODES) -> Node:
    """Return the tree of a policy file, or of another that is written like one; its top level is a mapping.

    Args:
        data: the whole file.
        name: of the file, for errors.
        limit_bytes: the most that it may hold.
        limit_nodes: the most keys and values.

    Raises:
        PolicyError: `FILE:LINE:COL`, the key, what is wrong and how to mend it.
    """
    text = _decoded(data, name, limit_bytes)
    walk = _Walk(name, limit_nodes)
    try:
        return walk.document(YAML(typ="safe", pure=True).parse(text))
    except MarkedYAMLError as error:
        raise not_yaml(error, text, name) from error
    except (YAMLError, ValueError, LookupError, AttributeError, TypeError) as error:
        # The parser trips over some texts itself, such as an escape beyond Unicode.
        raise PolicyError(f"is not valid YAML: {error}", where=name) from error


def _decoded(data: bytes, name: str, limit: int) -> str:
    """Return the text, refused unless it is small, plain UTF-8 that shows all it holds."""
    if len(data) > limit:
        raise PolicyError(f"is too large: {len(data):,} bytes", where=name, hint=f"at most {limit:,}")
    if data.startswith(_BYTE_ORDER_MARKS) or b"\0" in data:
        what = "is not plain UTF-8: it holds a byte order mark or NUL bytes"
        raise PolicyError(what, where=name, hint="save it as UTF-8 without BOM; UTF-16 is not read")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        place = _place_of(data[: error.start].decode("utf-8"), name)
        raise PolicyError("is not valid UTF-8", where=str(place), hint="save it as UTF-8") from error
    for index, character in enumerate(text):
        if character not in "\n\r\t" and _is_hidden(character):
            what = f"holds the hidden character {_named(character)}"
            raise PolicyError(what, where=str(_place_of(text[:index], name)), hint="remove it")
    return text


def _is_hidden(character: str) -> bool:
    return unicodedata.category(character) in _HIDDEN or ord(character) & 0xFFFE == 0xFFFE


def _named(character: str) -> str:
    return f"U+{ord(character):04X} {unicodedata.name(character, '')}".rstrip()


def _place_of(before: str, name: str) -> Place:
    """Return the place right after the text `before`."""
    lines = re.split(r"\r\n|\r|\n", before)
    return Place(name, len(lines), len(lines[-1]) + 1)


@dataclass(slots=True)
class _Walk:
    """One walk over the events of one file."""

    file: str
    limit: int  # of nodes
    path: list[str] = field(default_factory=list)
    nodes: int = 0

    def document(self, events: Iterator[Any]) -> Node:
        """Return the tree of the only document."""
        root: Node | None = None
        for event in events:
            if isinstance(event, DocumentStartEvent):
                root = self._root(event, events, seen=root)
            elif isinstance(event, StreamEndEvent) and root is None:
                raise self._refused(event, "is empty", hint="`fidelity-gate policy init` writes a policy to start from")
        if root is None:
            raise PolicyError("is empty", where=self.file)
        return root

    def _root(self, event: Any, events: Iterator[Any], *, seen: Node | None) -> Node:  # noqa: ANN401
        if seen is not None:
            raise self._refused(event, "holds a second document", hint="one policy a file")
        if event.version or event.tags:
            raise self._refused(event, "holds a % directive", hint="YAML 1.2 without directives")
        first = next(events)
        if not isinstance(first, MappingStartEvent):
            raise self._refused(first, "must be a mapping of keys at the top level", hint="start with apiVersion:")
        node = self._node(first, events, key_place=self._place(first), depth=1)
        closing = next(events)
        if not isinstance(closing, DocumentEndEvent):
            raise self._refused(closing, "goes on after its mapping")
        return node

    def _node(self, event: Any, events: Iterator[Any], *, key_place: Place | None, depth: int) -> Node:  # noqa: ANN401
        self._check_event(event, depth)
        place = self._place(event)
        if isinstance(event, MappingStartEvent):
            return Node(place, key_place or place, entries=self._entries(events, depth))
        if isinstance(event, SequenceStartEvent):
            return Node(place, key_place or place, items=self._items(events, depth))
        return Node(place, key_place or place, scalar=self._scalar(event), raw=event.value)

    def _check_event(self, event: Any, depth: int) -> None:  # noqa: ANN401
        self.nodes += 1
        if isinstance(event, AliasEvent) or event.anchor is not None:
            raise self._refused(event, "anchors and aliases are not allowed", hint="write the value out")
        if event.ctag is not None:
            raise self._refused(event, "tags (!) are not allowed", hint="write the plain value")
        if depth > LIMIT_DEPTH:
            raise self._refused(event, f"is nested deeper than {LIMIT_DEPTH} levels")
        if self.nodes > self.limit:
            raise self._refused(event, f"holds more than {self.limit:,} values")

    def _entries(self, events: Iterator[Any], depth: int) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        while not isinstance(event := next(events), MappingEndEvent):
            key = self._key(event, entries, depth)
            self.path.append(key)
            entries[key] = self._node(next(events), events, key_place=self._place(event), depth=depth + 1)
            self.path.pop()
        return entries

    def _items(self, events: Iterator[Any], depth: int) -> tuple[Node, ...]:
        items: list[Node] = []
        while not isinstance(event := next(events), SequenceEndEvent):
            self.path.append(str(len(items)))
            items.append(self._node(event, events, key_place=None, depth=depth + 1))
            self.path.pop()
        return tuple(items)

    def _key(self, event: Any, entries: Mapping[str, Node], depth: int) -> str:  # noqa: ANN401
        self._check_event(event, depth)
        if not isinstance(event, ScalarEvent):
            raise self._refused(event, "a key must be a word", hint="no lists or mappings as keys")
        key: str = event.value
        if key == "<<":
            raise self._refused(event, "merge keys (<<) are not allowed", hint="write the keys out")
        if strange := next((letter for letter in key if not " " <= letter <= "~"), ""):
            what = f"the key '{key}' holds {_named(strange)}"
            raise self._refused(event, what, hint="keys are ASCII; a look-alike letter makes another key")
        if not 0 < len(key) <= LIMIT_KEY:
            raise self._refused(event, "a key is empty or too long", hint=f"1 to {LIMIT_KEY} characters")
        if key in entries:
            first = entries[key].key_place.line
            raise self._refused(event, f"the key '{key}' is given twice", hint=f"first on line {first}; keep one")
        return key

    def _scalar(self, event: Any) -> Scalar:  # noqa: ANN401
        text: str = event.value
        if strange := next((letter for letter in text if _is_hidden(letter) and letter != "\n"), ""):
            raise self._refused(event, f"holds the hidden character {_named(strange)}", hint="remove it")
        if event.style is not None:
            return text
        if text in ("", "~", "null", "Null", "NULL"):
            raise self._refused(event, "has no value", hint="write one, or remove the key")
        if text in ("true", "false"):
            return text == "true"
        return self._number_or_text(text, event)

    def _number_or_text(self, text: str, event: Any) -> Scalar:  # noqa: ANN401
        if _INT.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            value = float(text)
            mantissa = re.split("[eE]", text)[0]
            if math.isfinite(value) and (value != 0) == bool(mantissa.strip("-0.")):
                return value
        if _NUMBER_LIKE.fullmatch(text):
            what = f"'{printable(text, 40)}' can be read as different numbers, or as none"
            raise self._refused(event, what, hint=_NUMBER_HINT)
        return text

    def _place(self, event: Any) -> Place:  # noqa: ANN401
        return Place(self.file, event.start_mark.line + 1, event.start_mark.column + 1)

    def _refused(self, event: Any, what: str, *, hint: str = "") -> PolicyError:  # noqa: ANN401
        return PolicyError(what, where=str(self._place(event)), field=".".join(self.path), hint=hint)
