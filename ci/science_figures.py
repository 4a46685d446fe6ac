"""Draws the figures of docs/science.md from the tables of docs/results.md: `make pages`.

Inline SVG without a script or a style sheet: lines and texts take the page's own colour, so that they are read on light
and dark pages alike, and what tells series apart is their shape as well as their colour.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE, RESULTS = DOCS / "science.md", DOCS / "results.md"
BLOCK = re.compile(r"(<!-- figure: ([a-z-]+), made by `make pages` -->\n).*?(<!-- end of figure -->)", re.DOTALL)
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 340, 60, 20, 40, 48
COLOURS = ("#0d9488", "#d97706", "#7c3aed", "#dc2626")  # at least 3:1 on white and on slate
LEFT_OF_ROWS = 230  # where rows have names
CHECKPOINT, GRAPH = "checkpoint", "graph"


@dataclass(frozen=True, slots=True)
class Rung:
    """One row of a table of results."""

    model: str
    recipe: str
    numbers: dict[str, float]  # by the column's title; percentages as shares


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis from left to right: the figures at its ends, and where it begins."""

    low: float
    high: float
    left: int

    def x(self, value: float) -> float:
        """Return where a figure lies."""
        return self.left + (value - self.low) / (self.high - self.low) * (WIDTH - self.left - RIGHT)

    def ticks(self) -> list[float]:
        """Return every tenth, or every fifth where there are many."""
        tenths = range(round(10 * self.low), round(10 * self.high) + 1)
        return [tenth / 10 for tenth in (tenths if len(tenths) < 9 else tenths[::2])]


def main() -> None:
    """Write the page where its figures are not those of the tables."""
    text = drawn(PAGE.read_text(encoding="utf-8"))
    if text != PAGE.read_text(encoding="utf-8"):
        PAGE.write_text(text, encoding="utf-8")
        sys.stdout.write(f"{PAGE.relative_to(DOCS.parent)}\n")


def drawn(page: str) -> str:
    """Return the page with every figure drawn anew."""
    rungs = [rung for kind, rung in read(RESULTS.read_text(encoding="utf-8")) if kind == CHECKPOINT]
    return BLOCK.sub(lambda found: f"{found[1]}{FIGURES[found[2]](rungs)}\n{found[3]}", page)


def read(text: str) -> Iterator[tuple[str, Rung]]:
    """Yield every row of the tables, with whether it is of checkpoints or of step graphs."""
    model = kind = ""
    heads: list[str] = []
    for line in text.splitlines():
        if line.startswith("## "):
            model, kind = line.removeprefix("## "), CHECKPOINT
        elif line.startswith("### "):
            kind = GRAPH
        elif line.startswith("| recipe |") and "| fidelity mean |" in line:
            heads = _cells(line)
        elif line.startswith("| `") and heads:
            row = dict(zip(heads, _cells(line), strict=True))
            numbers = {head: _number(text) for head, text in row.items() if re.match(r"-?[0-9]", text)}
            yield kind, Rung(model, row["recipe"].strip("`"), numbers)
        elif not line.startswith("|"):
            heads = []


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def _number(text: str) -> float:
    plain = float(re.match(r"-?[0-9.]+", text)[0])  # type: ignore[index]
    return plain / 100 if text.endswith("%") else plain


def thresholds(rungs: list[Rung]) -> str:
    """Draw mean fidelity against exact accuracy, a shape and a colour for each model."""
    models = sorted({rung.model for rung in rungs})
    scale = Scale(0.4, 1.0, LEFT)
    parts = [*_axes("mean carry fidelity at the last step", scale, "puzzles solved", (0.0, 1.0))]
    for number, model in enumerate(models):
        for rung in (rung for rung in rungs if rung.model == model):
            x, y = scale.x(rung.numbers["fidelity mean"]), _y(rung.numbers["exact"], 0.0, 1.0)
            told = (
                f"{model}, {rung.recipe}: fidelity {rung.numbers['fidelity mean']:g}, exact {rung.numbers['exact']:.1%}"
            )
            parts.append(_mark(number, x, y, told))
        parts += _legend(number, model)
    return _figure(
        parts,
        "Fidelity and accuracy of every rung of four models: the same fidelity is sound for one, broken for another.",
    )


def compounding(rungs: list[Rung]) -> str:
    """Draw, for naive and calibrated INT4, the fidelity of one step and that of a free run."""
    wanted = [rung for rung in rungs if rung.recipe in ("int4-naive", "int4-calibrated")]
    scale = Scale(0.4, 1.0, LEFT_OF_ROWS)
    parts = list(_axes("carry fidelity, mean over probes", scale, "", None))
    for row, rung in enumerate(sorted(wanted, key=lambda rung: (rung.recipe, rung.model))):
        y = TOP + 14 + row * (HEIGHT - TOP - BOTTOM - 14) / len(wanted)
        step, free = (scale.x(rung.numbers[key]) for key in ("one step", "fidelity mean"))
        parts.append(_line(step, y, free, y, opacity=0.6))
        parts.append(_mark(0, step, y, f"one step: {rung.numbers['one step']:g}"))
        parts.append(_mark(1, free, y, f"free run: {rung.numbers['fidelity mean']:g}"))
        parts.append(_text(LEFT_OF_ROWS - 14, y + 4, f"{rung.recipe}, {rung.model}", anchor="end"))
    parts += [*_legend(0, "one step from the reference's carry"), *_legend(1, "free run, last step", wide=True)]
    return _figure(
        parts,
        "One step from the reference's own carry, and the end of a free run: errors compound where the two are apart.",
    )


def survivors(rungs: list[Rung]) -> str:
    """Draw, under naive INT4, what is left of cells and of puzzles, and the consecutive similarity."""
    wanted = sorted((rung for rung in rungs if rung.recipe == "int4-naive"), key=lambda rung: rung.model)
    keys = ("consecutive", "cell", "exact")
    parts = list(_axes("", None, "share, or cosine", (0.0, 1.0)))
    group = (WIDTH - LEFT - RIGHT) / len(wanted)
    for number, rung in enumerate(wanted):
        parts.append(_text(LEFT + group * (number + 0.5), HEIGHT - BOTTOM + 18, rung.model, anchor="middle"))
        for place, key in enumerate(keys):
            top = _y(rung.numbers[key], 0.0, 1.0)
            x = LEFT + group * number + group * (0.14 + 0.25 * place)
            bar = f'x="{x:.1f}" y="{top:.1f}" width="{group * 0.2:.1f}" height="{HEIGHT - BOTTOM - top:.1f}"'
            parts.append(
                f'<rect {bar} fill="{COLOURS[place]}"><title>{rung.model}, {key}: {rung.numbers[key]:g}</title></rect>'
            )
            parts.append(_text(x + group * 0.1, top - 4, f"{rung.numbers[key]:.2f}", anchor="middle"))
    for place, name in enumerate(("consecutive similarity", "cells right", "puzzles right")):
        parts += _legend(place, name, square=True)
    return _figure(
        parts, "Naive INT4: consecutive similarity hardly moves and cells survive where whole puzzles are lost."
    )


FIGURES: dict[str, Callable[[list[Rung]], str]] = {
    "thresholds": thresholds,
    "compounding": compounding,
    "survivors": survivors,
}


def _y(value: float, low: float, high: float) -> float:
    return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)


def _axes(below: str, across: Scale | None, beside: str, up: tuple[float, float] | None) -> Iterator[str]:
    """Yield grid lines with their figures, and the names of the axes."""
    for value in across.ticks() if across else ():
        x = across.x(value)  # type: ignore[union-attr]
        yield _line(x, TOP, x, HEIGHT - BOTTOM)
        yield _text(x, HEIGHT - BOTTOM + 18, f"{value:.1f}", anchor="middle")
    for number in range(6) if up else ():
        value = up[0] + number * (up[1] - up[0]) / 5  # type: ignore[index]
        y = _y(value, *up)  # type: ignore[misc]
        yield _line(LEFT, y, WIDTH - RIGHT, y)
        yield _text(LEFT - 8, y + 4, f"{value:.1f}", anchor="end")
    yield _text((WIDTH + (across.left if across else LEFT)) / 2, HEIGHT - 8, below, anchor="middle")
    if beside:
        turned = f'transform="translate(16 {HEIGHT / 2}) rotate(-90)" text-anchor="middle"'
        yield f'<text {turned} fill="currentColor">{beside}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, opacity: float = 0.2) -> str:
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="currentColor" stroke-opacity="{opacity}"/>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="currentColor">{text}</text>'


def _mark(number: int, x: float, y: float, told: str) -> str:
    """Return a circle, a square, a triangle or a diamond."""
    r = 5
    shapes = (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r}"',
        f'<rect x="{x - r:.1f}" y="{y - r:.1f}" width="{2 * r}" height="{2 * r}"',
        f'<path d="M{x:.1f} {y - r - 1:.1f} l{r + 1} {2 * r} h{-2 * r - 2} z"',
        f'<path d="M{x:.1f} {y - r - 1:.1f} l{r + 1} {r + 1} l{-r - 1} {r + 1} l{-r - 1} {-r - 1} z"',
    )
    element = shapes[number][1:].split()[0]
    return f'{shapes[number]} fill="{COLOURS[number]}" fill-opacity="0.85"><title>{told}</title></{element}>'


def _legend(number: int, name: str, *, square: bool = False, wide: bool = False) -> list[str]:
    x = LEFT + number * (300 if wide else 165)
    mark = _mark(number, x, 16, name)
    if square:
        mark = f'<rect x="{x - 5}" y="11" width="10" height="10" fill="{COLOURS[number]}"/>'
    return [mark, _text(x + 12, 20, name)]


def _figure(parts: list[str], said: str) -> str:
    """Return the SVG in one block without a blank line, which would end the HTML for Markdown."""
    inside = "".join(parts)
    head = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img" font-size="12" font-family="inherit">'
    return f'<figure class="chart">{head}<title>{said}</title>{inside}</svg><figcaption>{said}</figcaption></figure>'


if __name__ == "__main__":
    main()
