"""`8 MiB`, `30 ms`, `500 GFLOP`, `97 %`, `0.97` -> numbers in base units; a closed, case-sensitive grammar of our own.

Libraries guess: one reads `4,5MB` as 4 bytes, another `4` as half a byte. A threshold must not be guessed.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal

from fidelity_gate.text import printable
from fidelity_gate.units import NEEDS_NAME, UNITS_OF

_NUMBER = r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,20})?"
_BARE = re.compile(rf"({_NUMBER}(?:[eE][+-]?[0-9]{{1,3}})?)", re.ASCII)
_WITH_UNIT = re.compile(rf"({_NUMBER}) ?([A-Za-z%µμ]{{1,8}})", re.ASCII)

_EXAMPLES = {
    "bytes": "8 MiB or 8 MB",
    "seconds": "30 ms",
    "fraction": "0.97 or 97 %",
    "flop": "500 GFLOP",
    "joules": "500 mJ",
    "days": "90 d",
    "duration": "30 min",
}
_EVERY_UNIT = frozenset(name for table in UNITS_OF.values() for name in table)


class QuantityError(ValueError):
    """A text that is no quantity of the unit asked for; `hint` says what is."""

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


def parse_quantity(written: str | float, unit: str) -> float:
    """Return what was written, in the metric's base unit.

    Args:
        written: a number as YAML read it, or text such as `8 MiB`.
        unit: of the metric: "bytes", "seconds", "fraction", "flop", "joules"; anything else takes a bare number only.

    Raises:
        QuantityError: anything that is not exactly one finite number and, where the unit asks for it, one unit.
    """
    text = repr(written) if isinstance(written, int | float) else written
    table = UNITS_OF.get(unit, {})
    if (bare := _BARE.fullmatch(text)) and unit not in NEEDS_NAME:
        return _finite(Decimal(bare[1]), text, unit)
    if bare:
        raise QuantityError(f"'{printable(text, 40)}' has no unit", f"write it as {_EXAMPLES[unit]}")
    match = _WITH_UNIT.fullmatch(text)
    if not match:
        raise QuantityError(f"'{printable(text, 40)}' is not a quantity", _allowed(unit))
    if match[2] not in table:
        raise QuantityError(_wrong_unit(match[2], unit), _hint_for(match[2], unit))
    return _finite(Decimal(match[1]) * table[match[2]], text, unit)


def _finite(number: Decimal, text: str, unit: str) -> float:
    value = float(number)
    if not math.isfinite(value) or (value == 0) != (number == 0):
        raise QuantityError(f"'{printable(text, 40)}' is beyond what a number can hold", _allowed(unit))
    return value


def _allowed(unit: str) -> str:
    return f"write it as {_EXAMPLES[unit]}" if unit in _EXAMPLES else "write it like 0.97"


def _wrong_unit(name: str, unit: str) -> str:
    if name not in _EVERY_UNIT:
        return f"'{name}' is not a unit"
    return f"'{name}' does not fit, the metric is {f'in {unit}' if unit else 'a bare number'}"


def _hint_for(name: str, unit: str) -> str:
    table = UNITS_OF.get(unit)
    if not table:
        return _allowed(unit)
    folded = name.replace("µ", "u").replace("μ", "u").lower().removesuffix("s" if unit == "flop" else "")
    near = [known for known in table if folded in (known.lower(), known.lower().replace("ib", "b"), known[0].lower())]
    return f"did you mean {' or '.join(near)}? units are case-sensitive" if near else f"known: {', '.join(table)}"
