"""The worst probes as puzzles: the input, the reference's answer and the candidate's, their different cells marked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fidelity_gate.reports.html.figures import count_of, told
from fidelity_gate.reports.html.scales import Shape
from fidelity_gate.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fidelity_gate.records import Exhibit, MeasurementSet

MOST_CELLS = 14_000  # drawn on one page: about a megabyte
MOST_PUZZLES = 48
MOST_CANDIDATES = 24
MOST_LETTERED = 400  # cells of a grid: of a larger one, only colours can be seen
MOST_DESCRIBED = 24  # cells that differ, said in words
LONGEST = 8  # characters of a token
WRAP = 20  # cells of a line, where a probe is one long row
SIDE = 20.0
SMALL, MEDIUM = 6, 12  # columns of a picture
FLAT = 4  # so many times wider than high, three pictures do not fit beside one another
HUES = 10  # of coloured cells, in the style sheet
DIFFERENT = ("wrong", "other")  # in the candidate's answer, and in the reference's
WALL, EMPTY, PATH = "#", frozenset(" ._"), "o"
BOXES = {"_.1234": (2, 2), "_.123456": (2, 3), "_.123456789": (3, 3)}  # rows, columns of a box of sudoku


@dataclass(frozen=True, slots=True)
class Letter:
    """What stands in one cell."""

    x: float
    y: float
    text: str
    kind: str  # "given", "own", "wrong", "aside"


@dataclass(frozen=True, slots=True)
class Patch:
    """Cells that look alike, drawn as one shape."""

    kind: str
    path: Shape


@dataclass(frozen=True, slots=True)
class Picture:
    """One grid."""

    title: str
    described: str
    width: float
    height: float
    patches: tuple[Patch, ...]
    letters: tuple[Letter, ...]
    lines: Shape
    boxes: Shape


@dataclass(frozen=True, slots=True)
class Puzzle:
    """One probe."""

    anchor: str
    heading: str
    facts: str
    verdict: str
    same: bool
    size: str  # "small", "medium", "large", "long"
    pictures: tuple[Picture, ...]


@dataclass(frozen=True, slots=True)
class Wall:
    """The puzzles of one candidate."""

    candidate: str
    puzzles: tuple[Puzzle, ...]


@dataclass(frozen=True, slots=True)
class Gallery:
    """All puzzles of a page."""

    walls: tuple[Wall, ...] = ()
    left_out: int = 0

    @property
    def anchors(self) -> dict[tuple[str, int], str]:
        """Return where each puzzle is on the page, by candidate and probe."""
        return {
            (wall.candidate, int(one.anchor.rpartition("-")[2])): one.anchor
            for wall in self.walls
            for one in wall.puzzles
        }


def gallery(measured: MeasurementSet | None, first: Iterable[str]) -> Gallery:
    """Return the puzzles to show, the worst of every candidate before the second worst of any.

    Args:
        measured: what holds the exhibits.
        first: candidates in the order of the page.
    """
    found: dict[str, list[Exhibit]] = {name: [] for name in first}
    exhibits = measured.exhibits if measured else ()
    for one in exhibits:
        if one.candidate in found and _sound(one) and (one.differing or not found[one.candidate]):
            found[one.candidate].append(one)  # where nothing differs, one picture says it
    chosen = _chosen(list(found.values())[:MOST_CANDIDATES])
    walls = tuple(
        Wall(name, tuple(_puzzle(one, place) for one in kept))
        for place, name in enumerate(found)
        if (kept := [one for one in found[name] if id(one) in chosen])
    )
    return Gallery(walls, sum(map(len, found.values())) - sum(len(wall.puzzles) for wall in walls))


def _chosen(found: list[list[Exhibit]]) -> frozenset[int]:
    kept: set[int] = set()
    room = MOST_CELLS
    for turn in range(max(map(len, found), default=0)):
        for one in [exhibits[turn] for exhibits in found if len(exhibits) > turn]:
            cost = 3 * len(one.inputs)
            if cost <= room and len(kept) < MOST_PUZZLES:
                room -= cost
                kept.add(id(one))
    return frozenset(kept)


def _sound(one: Exhibit) -> bool:
    """Return whether an exhibit can be drawn: files may come from anybody."""
    rows, columns = one.grid
    whole = rows > 0 and columns > 0 and rows * columns == len(one.inputs)
    answers = 0 < len(one.reference) == len(one.answer)
    return whole and answers and one.probe >= 0 and 0 <= one.start <= one.start + len(one.reference) <= len(one.inputs)


def _puzzle(one: Exhibit, place: int) -> Puzzle:
    differing = frozenset(one.differing)
    letters = len(one.inputs) <= MOST_LETTERED
    pictures = (
        _picture(one, "Input", one.inputs, frozenset(), letters=letters),
        _picture(one, "Reference", _whole(one, one.reference), differing, letters=letters),
        _picture(one, "Candidate", _whole(one, one.answer), differing, letters=letters),
    )
    close = "" if one.fidelity is None else f"fidelity {told(one.fidelity, '', cosine=True)}"
    return Puzzle(
        anchor=f"p{place}-{one.probe}",
        heading=f"Probe {one.probe}",
        facts=close,
        verdict=_verdict(one),
        same=not differing,
        size=_size(*_laid_out(one)),
        pictures=pictures,
    )


def _size(rows: int, columns: int) -> str:
    """Return the class of a picture: wide ones of few rows stand below one another."""
    if columns <= SMALL:
        return "small"
    if rows * FLAT <= columns:
        return "long"
    return "medium" if columns <= MEDIUM else "large"


def _verdict(one: Exhibit) -> str:
    cells = sum(one.counted)
    said = f"{len(one.differing)} of {count_of(cells, 'cell')} differ" if one.differing else "the same answer"
    if not any(label is not None for label in one.labels) or len(one.labels) != len(one.reference):
        return said
    wrong = [
        sum(label is not None and label != cell for label, cell in zip(one.labels, answer, strict=True))
        for answer in (one.reference, one.answer)
    ]
    told_of = ["right" if not count else f"{count_of(count, 'cell')} wrong" for count in wrong]
    return f"{said}; reference {told_of[0]}, candidate {told_of[1]}"


def _whole(one: Exhibit, answer: tuple[int, ...]) -> tuple[int, ...]:
    """Return the tokens of the whole grid, the answer in its place."""
    return (*one.inputs[: one.start], *answer, *one.inputs[one.start + len(answer) :])


def _picture(one: Exhibit, title: str, tokens: tuple[int, ...], differing: frozenset[int], *, letters: bool) -> Picture:
    rows, columns = _laid_out(one)
    wide = SIDE
    if letters:
        wide = max(SIDE, 7.5 * max(len(_symbol(one, token)) for token in tokens) + 8)
    kinds = [_kind(one, title, cell, differing) for cell in range(len(tokens))]
    shapes: dict[str, list[str]] = {}
    marks: list[Letter] = []
    for cell, token in enumerate(tokens):
        row, column = divmod(cell, columns)
        box = f"M{column * wide:g} {row * SIDE:g}h{wide:g}v{SIDE:g}h-{wide:g}z"
        symbol, kind = _symbol(one, token), "given" if title == "Input" else kinds[cell]
        faded = " quiet" if differing and kind not in DIFFERENT else ""  # so that the others can be found
        fill = "wall" if symbol == WALL else "" if letters else f"hue{token % HUES}{faded}"
        for shape in (fill, kind if kind in DIFFERENT else ""):
            if shape:
                shapes.setdefault(shape, []).append(box)
        if letters and symbol != WALL:
            marks.append(_letter((column + 0.5) * wide, row * SIDE + 14.5, symbol, kind))
    order = sorted(shapes, key=lambda kind: (kind in DIFFERENT, kind))
    return Picture(
        title=title,
        described=_described(one, title, tokens, differing),
        width=columns * wide,
        height=rows * SIDE,
        patches=tuple(Patch(kind, Shape("".join(shapes[kind]))) for kind in order),
        letters=tuple(marks),
        lines=_lines((rows, columns), wide, cells=len(tokens)),
        boxes=_boxes(one, wide),
    )


def _laid_out(one: Exhibit) -> tuple[int, int]:
    """Return the rows and columns of the picture: those of the grid, and of one long row several lines."""
    rows, columns = one.grid
    return (-(-columns // WRAP), WRAP) if rows == 1 and columns > WRAP else (rows, columns)


def _letter(x: float, y: float, symbol: str, kind: str) -> Letter:
    if symbol in EMPTY:
        return Letter(x, y, "\N{MIDDLE DOT}", f"blank {kind}")
    return Letter(x, y, "\N{BLACK CIRCLE}" if symbol == PATH else symbol, kind)


def _kind(one: Exhibit, title: str, cell: int, differing: frozenset[int]) -> str:
    place = cell - one.start
    if place in differing:
        return "wrong" if title == "Candidate" else "other"
    if not 0 <= place < len(one.reference) or not one.counted[place]:
        return "aside"
    answer = one.reference if title == "Reference" else one.answer
    return "given" if answer[place] == one.inputs[cell] else "own"


def _symbol(one: Exhibit, token: int) -> str:
    symbol = one.symbols[token] if 0 <= token < len(one.symbols) else str(token)
    return printable(symbol, LONGEST) if symbol else "_"


def _described(one: Exhibit, title: str, tokens: tuple[int, ...], differing: frozenset[int]) -> str:
    """Return the picture in words: every row of a small one, and what differs."""
    rows, columns = one.grid
    said = f"a grid of {rows} by {columns}"
    if len(tokens) <= MOST_LETTERED // 4:
        lines = [" ".join(_symbol(one, t) for t in tokens[row * columns : (row + 1) * columns]) for row in range(rows)]
        said = "; ".join(f"row {row + 1}: {line}" for row, line in enumerate(lines))
    if title != "Candidate" or not differing:
        return said
    cells = []
    for place in sorted(differing)[:MOST_DESCRIBED]:
        row, column = divmod(place + one.start, columns)
        theirs, ours = _symbol(one, one.answer[place]), _symbol(one, one.reference[place])
        cells.append(f"row {row + 1} column {column + 1}: {theirs} instead of {ours}")
    more = len(differing) - len(cells)
    return f"{said}. Different: {'; '.join(cells)}" + (f"; and {more} more" if more else "")


def _lines(grid: tuple[int, int], wide: float, each: tuple[int, int] = (1, 1), *, cells: int = 0) -> Shape:
    """Return lines after every so many rows and columns; of fewer `cells` than a full grid, the last row is short."""
    rows, columns = grid
    last = (cells % columns or columns) if cells else columns
    across = "".join(
        f"M0 {row * SIDE:g}h{(last if row == rows else columns) * wide:g}" for row in range(0, rows + 1, each[0])
    )
    down = "".join(
        f"M{column * wide:g} 0v{(rows if column <= last else rows - 1) * SIDE:g}"
        for column in range(0, columns + 1, each[1])
    )
    return Shape(across + down)


def _boxes(one: Exhibit, wide: float) -> Shape:
    """Return the outlines of the boxes of a sudoku, and of any other grid its frame."""
    rows, columns = one.grid
    box = BOXES.get("".join(one.symbols))
    if box and rows == columns == box[0] * box[1]:
        return _lines(one.grid, wide, box)
    if _laid_out(one) != one.grid:
        return Shape("")
    return Shape(f"M0 0h{columns * wide:g}v{rows * SIDE:g}h-{columns * wide:g}z")
