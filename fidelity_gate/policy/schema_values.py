"""The single values of a policy: names, paths, quantities, days; and what every block of them is."""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from fidelity_gate.text import printable

RESERVED_NAMES = ("reference", "gate", "verdict")
LONGEST_PATH = 1000
LONGEST_SAID = 400
ZOO = "zoo:"

# No dots: names are joined with dots in JUnit, and two of them must never make the same class name.
ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$"
DIGEST_PATTERN = r"^[0-9a-f]{64}$"
DAY_PATTERN = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
OPERATOR_PATTERN = r"[A-Za-z][A-Za-z0-9_.-]{0,127}"
ID_WORDS = "letters, digits, - and _, at most 64, starting with a letter or digit"


def _no_reserved(name: str) -> str:
    if name.lower() in RESERVED_NAMES:
        raise PydanticCustomError("policy", "'{name}' is a name of the gate's own", {"name": name, "hint": "rename it"})
    return name


def _path(text: str) -> str:
    if not text.strip() or text != text.strip() or printable(text, LONGEST_PATH) != text:
        what = "is not a path that can be shown: empty, too long, or with hidden or doubled characters"
        raise PydanticCustomError("policy", what, {"hint": "rename the file"})
    return text


def unsaid(text: str) -> str:
    """Return why a reason, a ticket or an owner cannot be shown as it is; "" where it can."""
    if not text.strip():
        return "is empty"
    if len(text) > LONGEST_SAID:
        return f"is longer than {LONGEST_SAID} characters"
    return "" if printable(text, LONGEST_SAID) == text else "holds line breaks, hidden characters or a double colon"


def _said(text: str) -> str:
    if what := unsaid(text):
        raise PydanticCustomError("policy", "{what}", {"what": what, "hint": "one plain line"})
    return text


def _day(text: str) -> str:
    try:
        date.fromisoformat(text)
    except ValueError as error:
        what, hint = "is no day of the calendar", "as 2026-01-31"
        raise PydanticCustomError("policy", what, {"hint": hint}) from error
    return text


def _operator(name: str) -> str:
    if not re.fullmatch(OPERATOR_PATTERN, name):
        hint = (
            "as ONNX names it, like MatMul; with its domain where that is not the standard: com.microsoft.MatMulNBits"
        )
        raise PydanticCustomError("policy", "'{name}' cannot be the name of an operator", {"name": name, "hint": hint})
    return name


def _scalar(value: object) -> object:
    if isinstance(value, str | int | float):
        return value
    raise PydanticCustomError("policy", "must be one value, not {kind}", {"kind": kind_of(value)})


def _scalar_or_scalars(value: object) -> object:
    if isinstance(value, dict):
        return {key: _scalar(item) for key, item in value.items()}
    return _scalar(value)


def _quantity(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        hint = "a quantity such as 0.97, 95 %, 8 MiB or 30 ms"
        raise PydanticCustomError("policy", "must be a quantity, not {kind}", {"kind": kind_of(value), "hint": hint})
    return value


def kind_of(value: object) -> str:
    """Return what a value of the file is, for people."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return f"'{printable(value, 40)}'" if isinstance(value, str) else f"the number {value}"


_SCALAR_SCHEMA = {"type": ["string", "number", "boolean"]}
_SCALARS_SCHEMA = {"anyOf": [_SCALAR_SCHEMA, {"type": "object", "additionalProperties": _SCALAR_SCHEMA}]}

Scalar = Annotated[Any, PlainValidator(_scalar), WithJsonSchema(_SCALAR_SCHEMA)]
ScalarOrScalars = Annotated[Any, PlainValidator(_scalar_or_scalars), WithJsonSchema(_SCALARS_SCHEMA)]
Quantity = Annotated[Any, PlainValidator(_quantity), WithJsonSchema({"type": ["string", "number"]})]
Id = Annotated[str, StringConstraints(pattern=ID_PATTERN), AfterValidator(_no_reserved)]
PathText = Annotated[str, AfterValidator(_path)]


Day = Annotated[str, StringConstraints(pattern=DAY_PATTERN), AfterValidator(_day)]
Said = Annotated[str, AfterValidator(_said), Field(json_schema_extra={"minLength": 1, "maxLength": LONGEST_SAID})]
Digest = Annotated[str, StringConstraints(pattern=DIGEST_PATTERN)]
Operator = Annotated[str, AfterValidator(_operator)]


class Block(BaseModel):
    """A mapping of the policy: unknown keys are errors, nothing is converted, nothing changes afterwards."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        strict=True, extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=()
    )
