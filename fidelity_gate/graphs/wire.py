"""Protobuf's wire format, just enough of it to leave the large tensors of an ONNX file where they are.

What an ONNX file says takes a few hundred kilobytes; the rest is weights. `lighten` writes the file anew without the
rest, so that protobuf never copies a weight, and counts the pieces first: two bytes of a hostile file can become
hundreds in memory.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from fidelity_gate.errors import GateError, ModelRefused, UnsafeContent

HELD_ABOVE = 1024  # bytes of raw data; smaller tensors stay, because shapes may follow from their values
MOST_NODES = 100_000
MOST_FIELDS = 2_000_000
MOST_VARINT_BYTES = 64 << 20  # of integers in a packed list: a byte each in the file, eight in memory
DEEPEST_GRAPH = 8  # bodies of Loop, Scan and If within one another
_NONCE_BYTES = 16

# What to do with a field that has a length: nothing (it is a leaf), or one of these.
_DROP, _HOLD, _COUNT, _FUNCTIONS, _SPARSE = "drop", "hold", "count", "functions", "sparse"

# Message -> field number -> the message it holds, or what to do with it. Documentation, stack traces and training are
# dropped; fields that are not here are kept as they are.
_FIELDS: dict[str, dict[int, str]] = {
    "model": {6: _DROP, 7: "graph", 20: _DROP, 25: _FUNCTIONS, 26: _DROP},
    "graph": {
        1: "node",
        5: "tensor",
        11: "value",
        12: "value",
        13: "value",
        10: _DROP,
        14: _DROP,
        15: _SPARSE,
        16: _DROP,
    },
    "node": {5: "attribute", 6: _DROP, 9: _DROP, 10: _DROP},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        22: "sparse tensor",
        23: "sparse tensor",
        13: _DROP,
        14: _DROP,
        15: _DROP,
    },
    "sparse tensor": {1: "tensor", 2: "tensor"},
    "tensor": {5: _COUNT, 7: _COUNT, 9: _HOLD, 11: _COUNT, 12: _DROP, 16: _DROP},
    "value": {2: "type", 3: _DROP, 4: _DROP},
    "type": {1: "tensor type", 4: _DROP, 5: _DROP, 7: _DROP, 8: _DROP, 9: _DROP},
    "tensor type": {2: "shape"},
    "shape": {1: "dimension"},
    "dimension": {},
}

_REFUSED: dict[str, tuple[type[GateError], str, str]] = {
    _FUNCTIONS: (UnsafeContent, "holds local functions, which can nest without end", "inline them"),
    _SPARSE: (ModelRefused, "holds sparse initializers, which no recipe here writes", "store them dense"),
}


@dataclass(frozen=True, slots=True, eq=False)
class Light:
    """An ONNX file without its large tensors.

    Attributes:
        skeleton: the file, written anew; the raw data of a large tensor is a mark that says where its bytes are.
        data: the file itself.
        nonce: how a mark begins; drawn anew each time, so no file can hold one of its own.
        spans: start and end in `data` of each tensor that was left there.
    """

    skeleton: bytes
    data: bytes
    nonce: bytes
    spans: tuple[tuple[int, int], ...]

    def held(self, raw: bytes) -> memoryview | None:
        """Return the bytes that a mark stands for; None for bytes that are no mark."""
        if len(raw) != _NONCE_BYTES + 8 or not raw.startswith(self.nonce):
            return None
        start, end = self.spans[int.from_bytes(raw[_NONCE_BYTES:], "little")]
        return memoryview(self.data)[start:end]


def lighten(data: bytes, where: str) -> Light:
    """Return the file without its large tensors.

    Args:
        data: the whole file.
        where: its path, for errors.

    Raises:
        ModelRefused: the bytes are not a protobuf message, or hold sparse initializers.
        UnsafeContent: more nodes, pieces or nested graphs than can be looked at, or local functions.
    """
    scan = _Scan(data, where)
    skeleton = scan.message(0, len(data), "model", 0)
    return Light(data if skeleton is None else skeleton, data, scan.nonce, tuple(scan.spans))


@dataclass(slots=True)
class _Scan:
    """One pass over a file."""

    data: bytes
    where: str
    nonce: bytes = field(default_factory=lambda: secrets.token_bytes(_NONCE_BYTES))
    spans: list[tuple[int, int]] = field(default_factory=list)
    fields: int = 0
    nodes: int = 0
    varint_bytes: int = 0

    def message(self, start: int, end: int, kind: str, depth: int) -> bytes | None:
        """Return a message written anew; None where it can stay as it is."""
        table, parts, kept, position = _FIELDS[kind], [], start, start
        while position < end:
            tag, after = self.varint(position, end)
            body, stop = self.extent(tag, after, end)
            todo = table.get(tag >> 3) if tag & 7 == 2 else None
            new = None if todo is None else self.field(todo, body, stop, depth)
            if new is not None:
                parts.append(self.data[kept:position])
                if todo != _DROP:
                    parts += [self.data[position:after], _varint(len(new)), new]
                kept = stop
            position = stop
        if kept == start:
            return None
        return b"".join([*parts, self.data[kept:end]])

    def field(self, todo: str, body: int, stop: int, depth: int) -> bytes | None:
        """Return the new content of a field; None where it can stay as it is."""
        if todo in _REFUSED:
            kind, what, hint = _REFUSED[todo]
            raise kind(what, where=self.where, hint=hint)
        if todo == _DROP:
            return b""
        if todo == _HOLD:
            return self.hold(body, stop) if depth <= 1 and stop - body > HELD_ABOVE else None
        if todo == _COUNT:
            self.varint_bytes += stop - body
            self.refuse_above("bytes of integers that are not stored as such", self.varint_bytes, MOST_VARINT_BYTES)
            return None
        if todo == "node":
            self.nodes += 1
            self.refuse_above("nodes", self.nodes, MOST_NODES)
        if todo == "graph":
            depth += 1
            self.refuse_above("graphs within one another", depth - 1, DEEPEST_GRAPH)
        return self.message(body, stop, todo, depth)

    def hold(self, body: int, stop: int) -> bytes:
        """Leave bytes where they are, and return the mark that stands for them."""
        self.spans.append((body, stop))
        return self.nonce + (len(self.spans) - 1).to_bytes(8, "little")

    def extent(self, tag: int, after: int, end: int) -> tuple[int, int]:
        """Return where a field's content begins and ends."""
        self.fields += 1
        self.refuse_above("pieces", self.fields, MOST_FIELDS)
        wire, body = tag & 7, after
        if tag >> 3 == 0 or wire not in (0, 1, 2, 5):
            raise self.refused()
        if wire == 2:
            length, body = self.varint(after, end)
            stop = body + length
        elif wire == 0:
            stop = self.varint(after, end)[1]
        else:
            stop = after + (8 if wire == 1 else 4)
        if stop > end:
            raise self.refused("; it may be cut short")
        return body, stop

    def varint(self, position: int, end: int) -> tuple[int, int]:
        """Return a number of variable length, and where it ends."""
        value = shift = 0
        while position < end and shift < 70:
            byte = self.data[position]
            position += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, position
            shift += 7
        raise self.refused("; it may be cut short" if position >= end else "")

    def refuse_above(self, what: str, count: int, most: int) -> None:
        if count > most:
            raise UnsafeContent(f"has more than {most:,} {what}", where=self.where)

    def refused(self, more: str = "") -> ModelRefused:
        return ModelRefused(f"is not an ONNX model: its bytes cannot be decoded{more}", where=self.where)


def text_of(value: str | bytes) -> str:
    """Return a string of a message; protobuf gives bytes where it is not UTF-8."""
    return value if isinstance(value, str) else value.decode("utf-8", "backslashreplace")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
