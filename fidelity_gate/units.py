"""Numbers in base units -> texts for people, never rounded so far that a text contradicts a verdict."""

from __future__ import annotations

import itertools
import math
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

BYTE_UNITS = {
    "B": Decimal(1),
    "kB": Decimal(10) ** 3,
    "MB": Decimal(10) ** 6,
    "GB": Decimal(10) ** 9,
    "KiB": Decimal(2) ** 10,
    "MiB": Decimal(2) ** 20,
    "GiB": Decimal(2) ** 30,
}
SECOND_UNITS = {"ns": Decimal("1e-9"), "us": Decimal("1e-6"), "ms": Decimal("1e-3"), "s": Decimal(1)}
PERCENT = {"%": Decimal("0.01")}
FLOP_UNITS = {  # operations, never operations a second; a multiply-add counts as 2
    "FLOP": Decimal(1),
    "kFLOP": Decimal(10) ** 3,
    "MFLOP": Decimal(10) ** 6,
    "GFLOP": Decimal(10) ** 9,
    "TFLOP": Decimal(10) ** 12,
}
DURATION_UNITS = {"s": Decimal(1), "min": Decimal(60), "h": Decimal(3600)}  # of what people wait for, in seconds
DAY_UNITS = {"d": Decimal(1)}
JOULE_UNITS = {"nJ": Decimal("1e-9"), "uJ": Decimal("1e-6"), "mJ": Decimal("1e-3"), "J": Decimal(1)}

# Unit of a metric -> what may be written behind a number; every unit that is not here is dimensionless.
UNITS_OF = {
    "bytes": BYTE_UNITS,
    "seconds": SECOND_UNITS,
    "fraction": PERCENT,
    "flop": FLOP_UNITS,
    "joules": JOULE_UNITS,
    "days": DAY_UNITS,
    "duration": DURATION_UNITS,
}
# Units in which a number alone says nothing: 500 could be GFLOP or MFLOP, 8 could be MB or MiB.
NEEDS_NAME = ("bytes", "seconds", "flop", "joules", "days", "duration")

DIGITS = 4
_MOST_DIGITS = 17  # that many always tell two floats apart
_EXACT = Context(prec=1200)  # a float has up to 309 digits before the point and 1,074 behind, of which few are shown


def format_value(value: float, unit: str, *, digits: int = DIGITS) -> str:
    """Return a measured number for people, rounded to `digits` significant digits (decimals for cosines and ratios).

    Args:
        value: in the base unit: bytes, seconds, a fraction for shares (which are shown in %).
        unit: of the metric: "bytes", "seconds", "fraction", "flop", "joules"; anything else is a plain number.
        digits: how many.

    Returns:
        `9.511 MiB (9.973 MB)`, `11.4 ms`, `97.25 %`, `187 GFLOP`, `3 mJ`, `0.9713`, `not a number`.
    """
    if not math.isfinite(value):
        return _not_finite(value)
    return _written(value, unit, _scale(value, unit), digits)


def format_exact(value: float, unit: str) -> str:
    """Return a threshold for people: every digit it has, in the unit that says it shortest.

    Returns:
        `8 MiB (8.389 MB)`, `30 ms`, `97 %`, `0.97`.
    """
    if not math.isfinite(value):
        return _not_finite(value)
    return _written(value, unit, _shortest(value, unit), None)


def format_against(observed: float, limit: float, unit: str) -> tuple[str, str]:
    """Return a measured number and the threshold beside it, so that their texts compare as the numbers do.

    The threshold is exact. The measured number gets as many digits as it needs to stay on its side: 0.96997 against
    0.97 is `0.96997`, never `0.9700`.
    """
    if not (math.isfinite(observed) and math.isfinite(limit)):
        return format_value(observed, unit), format_exact(limit, unit)
    scale = _shortest(limit, unit) if limit else _scale(observed, unit)
    exact = _scaled(limit, unit, scale)
    for digits in range(DIGITS, _MOST_DIGITS + 1):
        if _order(_shown(_scaled(observed, unit, scale), scale, digits), exact) == _order(observed, limit):
            return _written(observed, unit, scale, digits), _written(limit, unit, scale, None)
    return _written(observed, unit, scale, None), _written(limit, unit, scale, None)


def format_together(values: Sequence[float], unit: str) -> tuple[str, ...]:
    """Return measured numbers in one unit, with as many digits as it takes for their texts to compare as they do."""
    if not all(math.isfinite(value) for value in values):
        return tuple(format_value(value, unit) for value in values)
    scale = _scale(max(values, key=abs), unit)
    exact = [_scaled(value, unit, scale) for value in values]
    for digits in range(DIGITS, _MOST_DIGITS + 1):
        shown = [_shown(number, scale, digits) for number in exact]
        if all(
            _order(*pair) == _order(*raw)
            for pair, raw in zip(itertools.combinations(shown, 2), itertools.combinations(exact, 2), strict=True)
        ):
            return tuple(_written(value, unit, scale, digits) for value in values)
    return tuple(_written(value, unit, scale, None) for value in values)


def _not_finite(value: float) -> str:
    return "not a number" if math.isnan(value) else "infinite"


def _order(left: float | Decimal, right: float | Decimal) -> int:
    return (left > right) - (left < right)


def _scale(value: float, unit: str) -> str:
    """Return the unit to show a measured number in: the largest that is not above it, for bytes the largest binary."""
    table = UNITS_OF.get(unit)
    if not table:
        return ""
    names = [name for name in table if name == "B" or name.endswith("iB") or unit != "bytes"]
    fitting = [name for name in names if abs(value) >= table[name]]
    return fitting[-1] if fitting else names[0]


def _shortest(value: float, unit: str) -> str:
    """Return the unit in which a threshold takes the fewest characters, such that 0.5 MiB are 512 KiB."""
    table = UNITS_OF.get(unit)
    if not table or not value:
        return _scale(value, unit)
    scaled = {name: _scaled(value, unit, name) for name in reversed(table)}
    return min(scaled, key=lambda name: (abs(scaled[name]) < 1, len(_plain(scaled[name]))))


def _scaled(value: float, unit: str, scale: str) -> Decimal:
    """Return the number in `scale`, exactly as its shortest decimal text says."""
    exact = Decimal(repr(float(value)))
    return _EXACT.divide(exact, UNITS_OF[unit][scale]) if scale else exact


def _shown(number: Decimal, scale: str, digits: int | None) -> Decimal:
    """Return the number that a text will show: with so many digits, decimals for what has no scale; None: all of it."""
    if digits is None or (not scale and number == number.to_integral_value()):
        return number
    return _rounded(number, digits, significant=bool(scale) or abs(number) < Decimal(1).scaleb(-digits))


def _rounded(number: Decimal, digits: int, *, significant: bool) -> Decimal:
    """Return the number with so many significant digits, or decimals; integer digits are never lost."""
    places = digits
    if significant and number:
        places = max(0, digits - 1 - number.adjusted())
    return number.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_EVEN, context=_EXACT)


def _plain(number: Decimal) -> str:
    text = format(number, "f")
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def _written(value: float, unit: str, scale: str, digits: int | None) -> str:
    """Return the text in `scale`; for bytes also in the other system. `digits` None: every digit."""
    number = _scaled(value, unit, scale)
    shown = _shown(number, scale, digits)
    if not scale:
        return _dimensionless(shown, padded=digits is not None and number != number.to_integral_value())
    text = f"{_plain(shown)} {scale}"
    other = {"KiB": "kB", "MiB": "MB", "GiB": "GB", "kB": "KiB", "MB": "MiB", "GB": "GiB"}.get(scale)
    if other is None:
        return text
    second = _rounded(_scaled(value, unit, other), max(digits or 0, DIGITS), significant=True)
    return f"{text} ({_plain(second)} {other})"


def _dimensionless(shown: Decimal, *, padded: bool) -> str:
    """Return a cosine, ratio or count: 12, 0.9700, 3e-09."""
    if shown and not Decimal("1e-5") <= abs(shown) < Decimal("1e17"):
        digits, _, exponent = format(shown.normalize(_EXACT), "e").partition("e")
        return f"{digits}e{int(exponent):+03d}"
    return format(shown, "f") if padded else _plain(shown)
