"""Figures over the steps of the recursion: a panel for every candidate, all of one metric on one scale."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fidelity_gate.records import Aggregate, Direction
from fidelity_gate.reports.html.figures import notable, told
from fidelity_gate.reports.html.scales import Shape, even_scale, nines, nines_scale
from fidelity_gate.units import format_exact

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fidelity_gate.records import Bound, CurvePoint, Measurement
    from fidelity_gate.reports.html.figures import Index
    from fidelity_gate.reports.html.scales import Scale

HEADLINE = "carry_fidelity"
# How each metric's panels are introduced; a metric without a line here is shown under its own name.
TITLES = {
    HEADLINE: "Carry fidelity over the steps",
    "carry_range": "Carry range over the steps",
    "step_fidelity": "Fidelity of single steps",
    "carry_norm_ratio": "Carry norm over the steps",
    "answer_agreement": "Answers the same as the reference's, over the steps",
}
NOTES = {
    HEADLINE: (
        "Mean cosine between the candidate's carry and the reference's after every step, both running freely. Every "
        "line of the scale is ten times closer to the reference."
    ),
    "carry_range": "The largest value of the candidate's carry as a multiple: what a fixed-point format has to hold.",
    "step_fidelity": "What one step alone does, from the reference's own carry. Every line is ten times closer.",
    "carry_norm_ratio": "The norm of the candidate's carry over the reference's: 1 is the same; no cosine sees it.",
}
ORDER = tuple(TITLES)
MOST_SETS = 8
MOST_PANELS = 24
MOST_STEPS = 48  # of a panel; of more, evenly chosen ones are shown

LEFT, RIGHT, TOP, BOTTOM = 58.0, 254.0, 10.0, 158.0
APART = 12.0  # between two labels


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a panel, and what is said at its end."""

    kind: str  # "mean", "tail", "worst", "floor"
    points: Shape
    end: float  # y
    label: str
    label_at: float  # y


@dataclass(frozen=True, slots=True)
class Rule:
    """A bound, or a line of the scale."""

    y: float
    text: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One step as figures."""

    step: int
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Panel:
    """One candidate."""

    candidate: str
    described: str
    lines: tuple[Line, ...]
    dots: tuple[tuple[float, float, str], ...]  # x, y, kind: where there is one step only
    band: Shape
    bounds: tuple[Rule, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class CurveSet:
    """All candidates' panels of one metric."""

    title: str
    note: str
    options: str
    columns: tuple[str, ...]
    ticks: tuple[Rule, ...]
    steps: tuple[tuple[float, str], ...]
    panels: tuple[Panel, ...]
    left_out: int


def curve_sets(index: Index, names: tuple[str, ...]) -> tuple[CurveSet, ...]:
    """Return the panels of every metric that was followed over the steps, carry fidelity first.

    Args:
        index: the report.
        names: the candidates in the order of the page.
    """
    groups: dict[tuple[int, str, str], dict[str, Measurement]] = {}
    for one in index.in_order(names):
        if one.curve:
            place = ORDER.index(one.metric) if one.metric in ORDER else len(ORDER)
            known = groups.setdefault((place, one.metric, _options(one)), {})
            if one.candidate not in known or _at(one) == "last":
                known[one.candidate] = one
    chosen = sorted(groups)[:MOST_SETS]
    return tuple(_set(index, metric, options, groups[place, metric, options]) for place, metric, options in chosen)


def sparkline(points: Iterable[CurvePoint], scale: Scale) -> Shape:
    """Return the mean over the steps as the points of a line in a box of 100 by 24."""
    found = _thinned(tuple(points))
    across = max(1, len(found) - 1)
    return Shape(
        " ".join(
            f"{2 + 96 * place / across:.1f},{22 - 20 * scale.at(point.mean):.1f}" for place, point in enumerate(found)
        )
    )


def is_cosine(one: Measurement) -> bool:
    """Return whether a metric is shown by its distance from 1: values of no unit that end there."""
    points = [figure for point in one.curve for figure in (point.mean, point.worst)]
    return one.unit == "" and one.direction is Direction.HIGHER and max((*one.values, *points), default=2.0) <= 1.0


def _set(index: Index, metric: str, options: str, found: dict[str, Measurement]) -> CurveSet:
    shown = dict(list(found.items())[:MOST_PANELS])
    scale = _scale_of(index, shown.values())
    steps = sorted({point.step for one in shown.values() for point in one.curve})
    tail = "p95" if next(iter(shown.values())).direction is Direction.LOWER else "p05"
    floored = any(one.floor_curve for one in shown.values())
    return CurveSet(
        title=TITLES.get(metric, metric.replace("_", " ").capitalize()),
        note=NOTES.get(metric, ""),
        options=options,
        columns=("mean", tail, "worst", *(("noise floor",) if floored else ())),
        ticks=tuple(Rule(_y(tick.at), tick.text, "minor" if tick.minor else "") for tick in scale.ticks()),
        steps=_step_labels(steps),
        panels=tuple(_panel(index, one, scale, (steps[0], steps[-1])) for one in shown.values()),
        left_out=len(found) - len(shown),
    )


def _scale_of(index: Index, found: Iterable[Measurement]) -> Scale:
    measurements = tuple(found)
    figures = [f for one in measurements for point in one.curve for f in (point.mean, point.p05, point.worst)]
    ends = [
        end
        for one in measurements
        for bound in index.bounds_of(one)
        for end in (bound.minimum, bound.maximum)
        if end is not None
    ]
    if all(is_cosine(one) for one in measurements):
        return nines_scale([*figures, *ends])
    floors = [point.mean for one in measurements for point in one.floor_curve]
    return even_scale([*figures, *ends, *floors], measurements[0].unit)


def _panel(index: Index, one: Measurement, scale: Scale, ends: tuple[int, int]) -> Panel:
    points = _thinned(one.curve)
    floor = _thinned(tuple(point for point in one.floor_curve if ends[0] <= point.step <= ends[1]))
    tail = Aggregate.P95 if one.direction is Direction.LOWER else Aggregate.P05
    kinds = (("mean", Aggregate.MEAN, "mean"), ("tail", tail, "p05"), ("worst", Aggregate.WORST, "worst"))
    last = _at(one) == "last"
    texts: dict[str, str] = {}
    drawn: list[tuple[str, list[tuple[float, float]]]] = []
    for kind, aggregate, name in kinds:
        bounds = index.bounds_of(one, aggregate) if last else ()
        texts[kind] = f"{aggregate.value} {_short(_told(one, getattr(points[-1], name), bounds))}"
        drawn.append((kind, [(_x(p.step, ends), _y(scale.at(getattr(p, name)))) for p in points]))
    if floor:
        higher = scale.nines and nines(floor[-1].mean) > scale.high
        texts["floor"] = "noise floor \N{UPWARDS ARROW}" if higher else "noise floor"
        drawn.append(("floor", [(_x(p.step, ends), _y(scale.at(p.mean))) for p in floor]))
    places = _spread([line[-1][1] for _, line in drawn])
    lines = tuple(
        Line(kind, _joined(line), line[-1][1], texts[kind], place)
        for (kind, line), place in zip(drawn, places, strict=True)
    )
    dots = tuple((x, y, kind) for kind, line in drawn for x, y in line) if len(points) == 1 else ()
    means, worsts = drawn[0][1], drawn[2][1]
    return Panel(
        candidate=one.candidate,
        described=_described(one, texts),
        lines=lines,
        dots=dots,
        band=_joined([*means, *reversed(worsts)]) if len(points) > 1 else Shape(),
        bounds=_bounds(index, one, scale) if last else (),
        rows=_rows(one, points, floor),
    )


def _bounds(index: Index, one: Measurement, scale: Scale) -> tuple[Rule, ...]:
    found: dict[tuple[float, str], Rule] = {}
    for result in index.results_of(one):
        name = result.check.aggregate.value if result.check.aggregate else ""
        for end, sign in (
            (result.bound.minimum, "\N{GREATER-THAN OR EQUAL TO}"),
            (result.bound.maximum, "\N{LESS-THAN OR EQUAL TO}"),
        ):
            if end is not None:
                found[end, name] = Rule(
                    _y(scale.at(end)), f"{name} {sign} {_short(format_exact(end, one.unit))}", "bound"
                )
    return tuple(found.values())


def _described(one: Measurement, texts: dict[str, str]) -> str:
    first, last = one.curve[0], one.curve[-1]
    said = [f"step {first.step}: mean {_told(one, first.mean)}"]
    said.append(f"step {last.step}: {', '.join(texts[kind] for kind in ('mean', 'tail', 'worst'))}")
    if one.floor_curve:
        said.append(f"noise floor at the last step: mean {_told(one, one.floor_curve[-1].mean)}")
    return "; ".join(said)


def _rows(one: Measurement, points: tuple[CurvePoint, ...], floor: tuple[CurvePoint, ...]) -> tuple[Row, ...]:
    floors = {point.step: _told(one, point.mean) for point in floor}
    return tuple(
        Row(
            point.step,
            (
                *(_told(one, figure) for figure in (point.mean, point.p05, point.worst)),
                *((floors.get(point.step, "-"),) if floor else ()),
            ),
        )
        for point in points
    )


def _thinned(points: tuple[CurvePoint, ...]) -> tuple[CurvePoint, ...]:
    """Return at most `MOST_STEPS` of the points, the first and the last among them."""
    if len(points) <= MOST_STEPS:
        return points
    kept = sorted({round(place * (len(points) - 1) / (MOST_STEPS - 1)) for place in range(MOST_STEPS)})
    return tuple(points[place] for place in kept)


def _step_labels(steps: list[int]) -> tuple[tuple[float, str], ...]:
    ends = (steps[0], steps[-1])
    chosen = sorted({steps[0], steps[len(steps) // 2], steps[-1]}) if len(steps) > 2 else steps
    return tuple((_x(step, ends), str(step)) for step in chosen)


def _spread(places: list[float]) -> list[float]:
    """Return the places of labels, pushed apart where they would cover one another, none below the picture."""
    order = sorted(range(len(places)), key=lambda line: places[line])
    spread = list(places)
    for above, below in itertools.pairwise(order):
        spread[below] = max(spread[below], spread[above] + APART)
    limit = BOTTOM
    for line in reversed(order):
        spread[line] = min(spread[line], limit)
        limit = spread[line] - APART
    return spread


def _options(one: Measurement) -> str:
    return notable(tuple((name, value) for name, value in one.options if name != "at"))


def _at(one: Measurement) -> str:
    return str(dict(one.options).get("at", "last"))


def _told(one: Measurement, figure: float, bounds: tuple[Bound, ...] = ()) -> str:
    return told(figure, one.unit, bounds, cosine=is_cosine(one))


def _short(text: str) -> str:
    return text.partition(" (")[0]


def _joined(places: Iterable[tuple[float, float]]) -> Shape:
    return Shape(" ".join(f"{x:.1f},{y:.1f}" for x, y in places))


def _x(step: int, ends: tuple[int, int]) -> float:
    first, last = ends
    return (LEFT + RIGHT) / 2 if first == last else LEFT + (RIGHT - LEFT) * (step - first) / (last - first)


def _y(place: float) -> float:
    return BOTTOM - (BOTTOM - TOP) * place
