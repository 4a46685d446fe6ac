"""Records <-> strict JSON: closed keys, exact types, finite numbers, and exact round trips."""

from __future__ import annotations

import abc
import difflib
import functools
import json
import math
import types
import typing
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

from fidelity_gate import json_fields
from fidelity_gate.errors import Internal, Refused
from fidelity_gate.records import Options
from fidelity_gate.records.late import LATE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fidelity_gate.errors import GateError

Record = TypeVar("Record")

SCHEMA_KEY = "schema"
_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def dump(record: object, schema: str) -> bytes:
    """Return a record as one line of ASCII JSON with sorted keys, naming its schema; equal records give equal bytes.

    Raises:
        Internal: a field does not hold what its type says, or a number is not finite.
    """
    plain = {SCHEMA_KEY: schema, **_Writer().record(record, type(record), "")}
    return (json.dumps(plain, allow_nan=False, sort_keys=True, separators=(",", ":")) + "\n").encode("ascii")


def load(data: bytes, kind: type[Record], schema: str, *, where: str, mend: str = "") -> Record:
    """Return the record that `data` holds.

    Args:
        data: what `dump` wrote.
        kind: the dataclass.
        schema: the one that is understood.
        where: the file, for error messages.
        mend: how to get a file that this version reads, for whoever has one of another: "measure again".

    Raises:
        Refused: not JSON, another schema, an unknown, missing or doubled key, a wrong type, a number not finite.
    """
    plain = json_fields.parse(data, where=where)
    if not isinstance(plain, dict) or SCHEMA_KEY not in plain:
        raise Refused("is not a file of this tool", where=where, field=SCHEMA_KEY, hint=f"expected {schema}")
    found = plain.pop(SCHEMA_KEY)
    if found != schema:
        raise other_schema(found, schema, where)
    return typing.cast("Record", _Reader(where, mend).record(plain, kind, ""))


# What a file of another kind is, and which command takes it.
_KINDS = {
    "fidelity-gate/report": "a verdict: `report` renders it",
    "fidelity-gate/measurements": "measurements: `judge` takes them",
    "fidelity-gate/baseline": "a baseline: `baseline show` shows it",
    "fidelity-gate/lint": "a report of `lint`",
    "fidelity-gate/comparison": "a report of `compare`",
}
_WRITTEN_BY = {
    "fidelity-gate/report": "wanted: what `run --report json:FILE` writes",
    "fidelity-gate/measurements": "wanted: what `measure -o` or `run --measurements` writes",
}


def other_schema(found: object, schema: str, where: str) -> Refused:
    """Return the error for a file whose schema is not the one that is understood; newer versions are told as such."""
    told = f"'{found}'" if isinstance(found, str) else "something else"
    name, _, version = schema.rpartition("/v")
    ours, _, theirs = found.rpartition("/v") if isinstance(found, str) else ("", "", "")
    if ours == name and theirs.isdecimal() and int(theirs[:9]) > int(version):
        what = f"is {told}, written by a newer fidelity-gate"
        return Refused(what, where=where, field=SCHEMA_KEY, hint=f"update: this version reads {schema} only")
    what, hint = f"is {told}", f"this version reads {schema} only"
    if ours != name and ours in _KINDS:
        what = f"{what}, {_KINDS[ours]}"
        hint = _WRITTEN_BY.get(name, hint)
    return Refused(what, where=where, field=SCHEMA_KEY, hint=hint)


@functools.cache
def _field_types(kind: type) -> Mapping[str, Any]:
    hints = typing.get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


@functools.cache
def _late_fields(kind: type) -> frozenset[str]:
    """Return the fields that files of earlier versions lack."""
    return frozenset(field.name for field in fields(kind) if field.metadata == LATE)


def _optional_of(wanted: Any) -> Any:  # noqa: ANN401  (a type)
    """Return T for `T | None`, and None for anything else."""
    if typing.get_origin(wanted) not in (types.UnionType, typing.Union):
        return None
    (member,) = (member for member in typing.get_args(wanted) if member is not type(None))
    return member


def _at(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


class _Walker(abc.ABC):
    """What both directions share: one method for each shape of type, and one way to complain."""

    def value(self, value: Any, wanted: Any, path: str) -> Any:  # noqa: ANN401
        if wanted == Options:
            return self.options(value, path)
        member = _optional_of(wanted)
        if member is not None:
            return None if value is None else self.value(value, member, path)
        if typing.get_origin(wanted) is tuple:
            return self.sequence(value, typing.get_args(wanted), path)
        if is_dataclass(wanted):
            return self.record(value, typing.cast("type", wanted), path)
        return self.choice(value, wanted, path) if issubclass(wanted, Enum) else self.plain(value, wanted, path)

    def plain(self, value: Any, wanted: type, path: str) -> Any:  # noqa: ANN401
        if wanted is float and isinstance(value, int | float) and not isinstance(value, bool):
            return self.finite(value, path)
        if type(value) is not wanted:
            raise self.wrong(f"must be {_WORDS[wanted]}", path)
        return value

    def finite(self, value: float, path: str) -> float:
        try:
            number = float(value)
        except OverflowError:  # a whole number beyond any float
            number = math.inf
        if not math.isfinite(number):
            raise self.wrong("must be a finite number", path)
        return number

    def scalar(self, value: Any, path: str) -> Any:  # noqa: ANN401
        if value is None or isinstance(value, str | bool | int):
            return value
        if isinstance(value, float):
            return self.finite(value, path)
        raise self.wrong("must be text, a number, true, false or null", path)

    def items(self, values: Any, members: tuple[Any, ...], path: str) -> list[Any]:  # noqa: ANN401
        """Return every item as its type: one type for all (`tuple[T, ...]`), or one each."""
        kinds = members[:1] * len(values) if members[-1] is Ellipsis else members
        if len(kinds) != len(values):
            raise self.wrong(f"must have {len(kinds)} items", path)
        pairs = enumerate(zip(values, kinds, strict=True))
        return [self.value(item, kind, f"{path}[{index}]") for index, (item, kind) in pairs]

    @abc.abstractmethod
    def sequence(self, value: Any, members: tuple[Any, ...], path: str) -> Any: ...  # noqa: ANN401

    @abc.abstractmethod
    def options(self, value: Any, path: str) -> Any: ...  # noqa: ANN401

    @abc.abstractmethod
    def record(self, value: Any, kind: type, path: str) -> Any: ...  # noqa: ANN401

    @abc.abstractmethod
    def choice(self, value: Any, kind: type[Enum], path: str) -> Any: ...  # noqa: ANN401

    @abc.abstractmethod
    def wrong(self, what: str, path: str, hint: str = "") -> GateError: ...


class _Writer(_Walker):
    def record(self, value: Any, kind: type, path: str) -> dict[str, Any]:  # noqa: ANN401
        types_of = _field_types(kind)
        if type(value) is not kind:
            raise self.wrong(f"must be a {kind.__name__}", path)
        return {name: self.value(getattr(value, name), wanted, _at(path, name)) for name, wanted in types_of.items()}

    def sequence(self, value: Any, members: tuple[Any, ...], path: str) -> list[Any]:  # noqa: ANN401
        if type(value) is not tuple:
            raise self.wrong("must be a tuple", path)
        return self.items(value, members, path)

    def options(self, value: Any, path: str) -> dict[str, Any]:  # noqa: ANN401
        names = [name for name, _ in value]
        if names != sorted(set(names)):
            raise self.wrong("must have sorted, different names", path)
        return {name: self.scalar(item, _at(path, name)) for name, item in value}

    def choice(self, value: Any, kind: type[Enum], path: str) -> Any:  # noqa: ANN401
        if type(value) is not kind:
            raise self.wrong(f"must be a {kind.__name__}", path)
        return value.value

    def wrong(self, what: str, path: str, hint: str = "") -> GateError:
        return Internal(what, field=path, hint=hint)


class _Reader(_Walker):
    def __init__(self, where: str, mend: str) -> None:
        self.where = where
        self.mend = mend

    def record(self, value: Any, kind: type, path: str) -> Any:  # noqa: ANN401
        if type(value) is not dict:
            raise self.wrong("must be an object", path)
        types_of = _field_types(kind)
        for name in value:
            if name not in types_of:
                near = difflib.get_close_matches(name, types_of, n=1)
                hint = f"did you mean {near[0]}?" if near else self.other_version("a newer")
                raise self.wrong("is an unknown key", _at(path, name), hint)
        late = _late_fields(kind)
        for name in types_of:
            if name not in value and name not in late:
                raise self.wrong("is missing", _at(path, name), self.other_version("an older"))
        there = {name: wanted for name, wanted in types_of.items() if name in value}
        return kind(**{name: self.value(value[name], wanted, _at(path, name)) for name, wanted in there.items()})

    def sequence(self, value: Any, members: tuple[Any, ...], path: str) -> tuple[Any, ...]:  # noqa: ANN401
        if type(value) is not list:
            raise self.wrong("must be a list", path)
        if members[0] is float and all(type(item) is float and math.isfinite(item) for item in value):
            return tuple(value)  # nearly all of a file of measurements, and many times faster
        return tuple(self.items(value, members, path))

    def options(self, value: Any, path: str) -> Options:  # noqa: ANN401
        if type(value) is not dict:
            raise self.wrong("must be an object", path)
        return tuple((name, self.scalar(item, _at(path, name))) for name, item in sorted(value.items()))

    def choice(self, value: Any, kind: type[Enum], path: str) -> Enum:  # noqa: ANN401
        for choice in kind:
            if type(value) is type(choice.value) and value == choice.value:
                return choice
        raise self.wrong("is not a known value", path, f"one of {', '.join(str(choice.value) for choice in kind)}")

    def other_version(self, which: str) -> str:
        """Return what may have made a field too few or too many, and what can be done about it."""
        return f"edited, or of {which} fidelity-gate: {self.mend}" if self.mend else ""

    def wrong(self, what: str, path: str, hint: str = "") -> GateError:
        return Refused(what, where=self.where, field=path, hint=hint)
