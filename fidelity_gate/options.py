"""Scalars -> the typed fields of plugs: what a policy, a recipe string and a command line may write for an option."""

from __future__ import annotations

import enum
import math
import re
import types
import typing
from typing import Any, Literal, Union

NO_MATCH = object()

_LARGEST_INT = 2**63 - 1
_INT_TEXT = re.compile(r"[+-]?(0|[1-9][0-9]{0,18})", re.ASCII)
_FLOAT_TEXT = re.compile(r"[+-]?([0-9]{1,40}(\.[0-9]{0,40})?|\.[0-9]{1,40})([eE][+-]?[0-9]{1,4})?", re.ASCII)
_BOOL_TEXT = {"true": True, "false": False}
_WORDS = {int: "a whole number", float: "a finite number", str: "text", bool: "true or false", type(None): "none"}


def converted(value: object, wanted: Any, *, from_text: bool) -> object:  # noqa: ANN401  (a type)
    """Return `value` as the type `wanted`, or `NO_MATCH`.

    Args:
        value: a scalar; a list or a tuple for tuple types.
        wanted: `str`, `int`, `float`, `bool`, an enumeration, `Literal`, `tuple`, or a union of these and None.
        from_text: text is parsed ("4" is a number, "true" a bool, "none" None). Without it only `6x9` is, for tuples,
            because options hold no sequences.

    Whole numbers stand for floats; bools never stand for numbers; what is not finite or beyond 64 bits matches nothing.
    """
    for member in _members(wanted):
        taken = _as_member(value, member, parse=from_text)
        if taken is not NO_MATCH:
            return taken
    return NO_MATCH


def described(wanted: Any) -> str:  # noqa: ANN401  (a type)
    """Return what the type `wanted` allows, for people."""
    return " or ".join(_described_member(member) for member in _members(wanted))


def shown(value: object) -> str:
    """Return a value as its author may have written it, of at most 60 characters."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value) if abs(value) <= _LARGEST_INT else "a number beyond 64 bits"
    if isinstance(value, list | tuple):
        return "a list"
    return f"'{value[:60]}'" if isinstance(value, str) else f"{value!r:.60}"


def _members(wanted: Any) -> tuple[Any, ...]:  # noqa: ANN401
    """Return the members of a union, or the type alone; text last, so that `4` is a number wherever it may be one."""
    is_union = typing.get_origin(wanted) in (Union, types.UnionType)
    return tuple(sorted(typing.get_args(wanted), key=lambda member: member is str)) if is_union else (wanted,)


def _as_member(value: object, member: Any, *, parse: bool) -> object:  # noqa: ANN401
    """Return `value` as one plain type, or `NO_MATCH`."""
    if typing.get_origin(member) is Literal:
        return next((choice for choice in typing.get_args(member) if _same(value, choice, parse=parse)), NO_MATCH)
    if typing.get_origin(member) is tuple:
        return _as_tuple(value, typing.get_args(member), parse=parse)
    if isinstance(member, type) and issubclass(member, enum.Enum):
        return next((choice for choice in member if _same(value, choice.value, parse=parse)), NO_MATCH)
    if parse and isinstance(value, str):
        value = _parsed(value, member)
    return _as_plain(value, member)


def _same(value: object, choice: object, *, parse: bool) -> bool:
    if type(value) is type(choice):
        return value == choice
    return parse and isinstance(value, str) and _parsed(value, type(choice)) == choice


def _as_plain(value: object, member: Any) -> object:  # noqa: ANN401
    """Return `value` if it is a `member`; a whole number may stand for a float, a bool never for a number."""
    if value is None or member is type(None):
        return value if value is None and member is type(None) else NO_MATCH
    if isinstance(value, bool) or member is bool:
        return value if isinstance(value, bool) and member is bool else NO_MATCH
    if isinstance(value, int) and abs(value) > _LARGEST_INT:
        return NO_MATCH
    if member is float and isinstance(value, int | float):
        return float(value) if math.isfinite(value) else NO_MATCH
    return value if member in (int, str) and isinstance(value, member) else NO_MATCH


def _parsed(text: str, member: Any) -> object:  # noqa: ANN401
    """Return what `text` says as a `member`; the text itself where it is not one."""
    if member is bool:
        return _BOOL_TEXT.get(text, text)
    if member is type(None):
        return None if text == "none" else text
    if member is int and _INT_TEXT.fullmatch(text):
        return int(text)
    if member is float and _FLOAT_TEXT.fullmatch(text):
        return float(text)
    return text


def _as_tuple(value: object, members: tuple[Any, ...], *, parse: bool) -> object:
    """Return a tuple from a sequence, or from `6x9` (options hold no sequences, so that form is always read)."""
    if isinstance(value, str):
        value, parse = value.split("x"), True
    if not isinstance(value, list | tuple):
        return NO_MATCH
    kinds = members[:1] * len(value) if members[-1] is Ellipsis else members
    if len(kinds) != len(value) or not value:
        return NO_MATCH
    taken = tuple(_as_member(item, kind, parse=parse) for item, kind in zip(value, kinds, strict=True))
    return NO_MATCH if any(item is NO_MATCH for item in taken) else taken


def _described_member(member: Any) -> str:  # noqa: ANN401
    if typing.get_origin(member) is Literal:
        return ", ".join(str(choice) for choice in typing.get_args(member))
    if typing.get_origin(member) is tuple:
        return "whole numbers as 2x3" if typing.get_args(member)[0] is int else "values as AxB"
    if isinstance(member, type) and issubclass(member, enum.Enum):
        return ", ".join(str(choice.value) for choice in member)
    return _WORDS.get(member, str(member))
