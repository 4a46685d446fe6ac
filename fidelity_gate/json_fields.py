"""JSON from strangers: no duplicate keys, no NaN, no bombs; and typed access that leaves no field unread."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from fidelity_gate.errors import GateError, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def parse(text: bytes | str, *, where: str | Path = "", what: str = "", kind: type[GateError] = Refused) -> object:
    """Parse one JSON document.

    Args:
        text: UTF-8 bytes, or text.
        where: the file, for errors.
        what: which part of the file, for errors: "header".
        kind: the error to raise.

    Raises:
        kind: not UTF-8, not JSON, a key twice in one object, NaN or Infinity, nested too deeply, a number too long.
    """
    try:
        decoded = text.decode("utf-8") if isinstance(text, bytes) else text
        return json.loads(decoded, object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite)
    except UnicodeDecodeError as error:
        raise kind(f"is not UTF-8 (byte {error.start})", where=where, field=what) from error
    except RecursionError as error:
        raise kind("is nested too deeply", where=where, field=what) from error
    except json.JSONDecodeError as error:
        raise kind(f"is not JSON: {error.msg} at character {error.pos}", where=where, field=what) from error
    except ValueError as error:  # ours, and Python's limit on the digits of an integer
        raise kind(f"is not acceptable JSON: {error}", where=where, field=what) from error


@dataclass(slots=True)
class Fields:
    """One JSON object whose fields are taken one by one, each with its type; `done` refuses what was not taken.

    Every method raises `kind`, naming the field, when it is missing or not of the type asked for.
    """

    content: object
    where: str
    path: str
    kind: type[GateError]
    _taken: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        if not isinstance(self.content, dict):
            self.fail("", "must be an object")

    def value(self, key: str) -> object:
        """Return a field whatever its type."""
        content: Mapping[str, object] = self.content  # type: ignore[assignment]  # checked in __post_init__
        if key not in content:
            self.fail(key, "is missing")
        self._taken.add(key)
        return content[key]

    def text(self, key: str) -> str:
        """Return a string."""
        value = self.value(key)
        return value if isinstance(value, str) else self.fail(key, "must be text")

    def flag(self, key: str) -> bool:
        """Return true or false."""
        value = self.value(key)
        return value if isinstance(value, bool) else self.fail(key, "must be true or false")

    def whole(self, key: str, *, minimum: int, maximum: int) -> int:
        """Return a whole number within bounds, both inclusive."""
        value = self.value(key)
        if type(value) is int and minimum <= value <= maximum:
            return value
        return self.fail(key, f"must be a whole number from {minimum} to {maximum}")

    def items(self, key: str) -> list[object]:
        """Return a list."""
        value = self.value(key)
        return value if isinstance(value, list) else self.fail(key, "must be a list")

    def inner(self, key: str) -> Fields:
        """Return an object inside this one."""
        return Fields(self.value(key), self.where, self.at(key), self.kind)

    def names(self) -> tuple[str, ...]:
        """Return the names of all fields, as they stand in the file."""
        return tuple(self.content)  # type: ignore[arg-type]  # checked in __post_init__

    def done(self) -> None:
        """Refuse fields that nobody took."""
        for name in self.names():
            if name not in self._taken:
                self.fail(name, "is not a field of this format")

    def at(self, key: str) -> str:
        """Return the path of a field, for errors."""
        return ".".join(part for part in (self.path, key) if part)

    def fail(self, key: str, what: str) -> NoReturn:
        """Raise the error for a field."""
        raise self.kind(what, where=self.where, field=self.at(key))


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content = dict(pairs)
    if len(content) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key '{twice}' stands twice in one object")
    return content


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{text[:40]} is too large")
    return value
