"""Scales: from a figure to a place in a picture.

A cosine near 1 is shown by its distance from 1, one step of the scale for every factor of ten: 0.99 and 0.999 are as
far apart as 0.9 and 0.99, because that is how much further a candidate has strayed from its reference.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fidelity_gate.units import format_value

if TYPE_CHECKING:
    from collections.abc import Iterable

DEEPEST = 7  # 0.9999999: float32 tells no more apart
TICKS = 4
ROOMY = 3  # nines on a scale, up to which there is room for more lines
LOWEST = "\N{LESS-THAN OR EQUAL TO} 0"  # cosines below 0 are no closer
STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


class Shape(str):
    """Coordinates of a line or an outline, made of numbers alone: whatever their length they are never cut."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Tick:
    """One line of a scale: its place (0 to 1) and what it says."""

    at: float
    text: str
    minor: bool = False


@dataclass(frozen=True, slots=True)
class Scale:
    """Places of figures, from 0 (the lowest figure) to 1; figures beyond the ends are put at the ends."""

    low: float
    high: float
    nines: bool = False
    unit: str = ""

    def at(self, figure: float) -> float:
        """Return the place of a figure."""
        place = nines(figure) if self.nines else figure
        return min(1.0, max(0.0, (place - self.low) / (self.high - self.low)))

    def ticks(self) -> tuple[Tick, ...]:
        """Return the lines of the scale, from the lowest up."""
        return self._nine_ticks() if self.nines else self._even_ticks()

    def _nine_ticks(self) -> tuple[Tick, ...]:
        whole = range(math.ceil(self.low), math.floor(self.high) + 1)
        lines = [
            Tick(self.at(_with_nines(count)), f"{_with_nines(count):.{count}f}" if count else LOWEST) for count in whole
        ]
        half = Tick(self.at(0.5), "0.5" if self.high - self.low <= ROOMY else "", minor=True)
        return (*lines, half) if self.low <= 0 else tuple(lines)

    def _even_ticks(self) -> tuple[Tick, ...]:
        rough = (self.high - self.low) / TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * each for each in STEPS if power * each >= rough * 0.999)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return tuple(
            Tick(self.at(count * step), _line_text(count * step, self.unit)) for count in range(first, last + 1)
        )


def _line_text(figure: float, unit: str) -> str:
    """Return what stands at a line of an even scale: 0.9, 1, 11.4 ms."""
    text = format_value(figure, unit).partition(" (")[0]
    return text.rstrip("0").rstrip(".") if not unit and "." in text and "e" not in text else text


def nines(figure: float) -> float:
    """Return how many nines a cosine has: 0 for 0 and less, 1 for 0.9, 2 for 0.99, at most `DEEPEST`."""
    distance = max(10.0**-DEEPEST, min(1.0, 1.0 - figure))
    return -math.log10(distance)


def nines_scale(figures: Iterable[float]) -> Scale:
    """Return a scale of nines over whole steps that holds all figures."""
    places = [nines(figure) for figure in figures]
    low = min(math.floor(min(places) + 1e-9), DEEPEST - 1)
    high = max(math.ceil(max(places) - 1e-9), low + 1)
    return Scale(float(low), float(high), nines=True)


def even_scale(figures: Iterable[float], unit: str) -> Scale:
    """Return an even scale that holds all figures, with a little room at both ends."""
    found = list(figures)
    low, high = min(found), max(found)
    room = (high - low) * 0.04 or abs(high) * 0.1 or 1.0
    return Scale(low - room, high + room, unit=unit)


def _with_nines(count: int) -> float:
    return 1.0 - 10.0**-count
