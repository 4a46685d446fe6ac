"""Figures over the steps of the recursion: a panel for every candidate, all of one metric on one scale."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fidelity_gate.records import Aggregate, Direction
from fidelity_gate.reports.html.figures import device_named, notable, told
from fidelity_gate.reports.html.introductions import NOTES, TITLES
from fidelity_gate.reports.html.scales import Shape, even_scale, nines, nines_scale
from fidelity_gate.reports.html.sparklines import thinned
from fidelity_gate.units import format_exact
from fidelity_gate.wording import simulated_devices

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fidelity_gate.records import Bound, CurvePoint, Measurement
    from fidelity_gate.reports.html.figures import Index
    from fidelity_gate.reports.html.scales import Scale

ORDER = tuple(TITLES)
HERE = "here"
MOST_SETS = 8
MOST_PANELS = 24

LEFT, RIGHT, TOP, BOTTOM = 58.0, 254.0, 10.0, 158.0
APART = 12.0  # between two labels


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a panel, and what is said at its end."""

    kind: str  # "mean", "tail", "worst", "here", "floor"
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
    """One candidate; of what a device computed, on one device."""

    candidate: str
    device: str
    described: str
    lines: tuple[Line, ...]
    dots: tuple[tuple[float, float, str], ...]  # x, y, kind: where there is one step only
    band: Shape
    bounds: tuple[Rule, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class CurveSet:
    """All candidates' panels of one metric; `here` where a device's lines stand beside one of this machine."""

    title: str
    note: str
    options: str
    columns: tuple[str, ...]
    ticks: tuple[Rule, ...]
    steps: tuple[tuple[float, str], ...]
    here: bool
    panels: tuple[Panel, ...]
    left_out: int


def curve_sets(index: Index, names: tuple[str, ...]) -> tuple[CurveSet, ...]:
    """Return the panels of every metric that was followed over the steps, carry fidelity first.

    Args:
        index: the report.
        names: the candidates in the order of the page.
    """
    groups: dict[tuple[int, str, str], dict[tuple[str, str], Measurement]] = {}
    for one in index.in_order(names):
        if one.curve:
            place = ORDER.index(one.metric) if one.metric in ORDER else len(ORDER)
            known = groups.setdefault((place, one.metric, _options(one)), {})
            panel = (one.candidate, device_named(one.options, ()))
            if panel not in known or _at(one) == "last":
                known[panel] = one
    chosen = sorted(groups)[:MOST_SETS]
    return tuple(_set(index, metric, options, groups[place, metric, options]) for place, metric, options in chosen)


def is_cosine(one: Measurement) -> bool:
    """Return whether a metric is shown by its distance from 1: values of no unit that end there."""
    points = [figure for point in one.curve for figure in (point.mean, point.worst)]
    return one.unit == "" and one.direction is Direction.HIGHER and max((*one.values, *points), default=2.0) <= 1.0


def _set(index: Index, metric: str, options: str, found: dict[tuple[str, str], Measurement]) -> CurveSet:
    shown = tuple(found.values())[:MOST_PANELS]
    scale = _scale_of(index, shown)
    steps = sorted({point.step for one in shown for point in one.curve})
    tail = "p95" if shown[0].direction is Direction.LOWER else "p05"
    here = any(one.curve_here for one in shown)
    floored = any(one.floor_curve for one in shown)
    return CurveSet(
        title=TITLES.get(metric, metric.replace("_", " ").capitalize()),
        note=NOTES.get(metric, ""),
        options=options,
        columns=("mean", tail, "worst", *((HERE,) if here else ()), *(("noise floor",) if floored else ())),
        ticks=tuple(Rule(_y(tick.at), tick.text, "minor" if tick.minor else "") for tick in scale.ticks()),
        steps=_step_labels(steps),
        here=here,
        panels=tuple(_panel(index, one, scale, (steps[0], steps[-1])) for one in shown),
        left_out=len(found) - len(shown),
    )


def _scale_of(index: Index, found: Iterable[Measurement]) -> Scale:
    measurements = tuple(found)
    figures = [f for one in measurements for point in one.curve for f in (point.mean, point.p05, point.worst)]
    figures += [point.mean for one in measurements for point in one.curve_here]
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
    points = thinned(one.curve)
    floor = thinned(tuple(point for point in one.floor_curve if ends[0] <= point.step <= ends[1]))
    tail = Aggregate.P95 if one.direction is Direction.LOWER else Aggregate.P05
    kinds = (("mean", Aggregate.MEAN, "mean"), ("tail", tail, "p05"), ("worst", Aggregate.WORST, "worst"))
    last = _at(one) == "last"
    texts: dict[str, str] = {}
    drawn: list[tuple[str, list[tuple[float, float]]]] = []
    for kind, aggregate, name in kinds:
        bounds = index.bounds_of(one, aggregate) if last else ()
        texts[kind] = f"{aggregate.value} {_short(_told(one, getattr(points[-1], name), bounds))}"
        drawn.append((kind, [(_x(p.step, ends), _y(scale.at(getattr(p, name)))) for p in points]))
    here = thinned(tuple(point for point in one.curve_here if ends[0] <= point.step <= ends[1]))
    if here:
        texts[HERE] = f"{HERE} {_short(_told(one, here[-1].mean))}"
        drawn.append((HERE, [(_x(p.step, ends), _y(scale.at(p.mean))) for p in here]))
    if floor:
        higher = scale.nines and nines(floor[-1].mean) > scale.high
        texts["floor"] = "noise floor \N{UPWARDS ARROW}" if higher else "noise floor"
        drawn.append(("floor", [(_x(p.step, ends), _y(scale.at(p.mean))) for p in floor]))
    places = _spread([line[-1][1] for _, line in drawn])
    found = (
        Line(kind, _joined(line), line[-1][1], texts[kind], place)
        for (kind, line), place in zip(drawn, places, strict=True)
    )
    lines = tuple(
        sorted(found, key=lambda line: line.kind != HERE)
    )  # the last to be drawn: the device's may be the same
    dots = tuple((x, y, kind) for kind, line in drawn for x, y in line) if len(points) == 1 else ()
    means, worsts = drawn[0][1], drawn[2][1]
    return Panel(
        candidate=one.candidate,
        device=device_named(one.options, simulated_devices(index.report)),
        described=_described(one, texts),
        lines=lines,
        dots=dots,
        band=_joined([*means, *reversed(worsts)]) if len(points) > 1 else Shape(),
        bounds=_bounds(index, one, scale) if last else (),
        rows=_rows(one, points, here, floor),
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
    said.append(
        f"step {last.step}: {', '.join(texts[kind] for kind in ('mean', 'tail', 'worst', HERE) if kind in texts)}"
    )
    if one.floor_curve:
        said.append(f"noise floor at the last step: mean {_told(one, one.floor_curve[-1].mean)}")
    return "; ".join(said)


def _rows(one: Measurement, points: tuple[CurvePoint, ...], *beside: tuple[CurvePoint, ...]) -> tuple[Row, ...]:
    """Return the figures of every step, and the means of the curves beside them."""
    others = [{point.step: _told(one, point.mean) for point in curve} for curve in beside if curve]
    return tuple(
        Row(
            point.step,
            (
                *(_told(one, figure) for figure in (point.mean, point.p05, point.worst)),
                *(known.get(point.step, "-") for known in others),
            ),
        )
        for point in points
    )


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
