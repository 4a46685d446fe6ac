"""How a metric is spread over the probes: a row for every candidate, all on one scale, against the bound."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fidelity_gate.bounds import mean, observations
from fidelity_gate.records import Aggregate, Direction
from fidelity_gate.reports.html.curves import is_cosine
from fidelity_gate.reports.html.figures import count_of, device_named, notable, required_of, told
from fidelity_gate.reports.html.scales import even_scale, nines_scale
from fidelity_gate.units import format_value
from fidelity_gate.wording import simulated_devices

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fidelity_gate.records import CheckResult, Measurement
    from fidelity_gate.reports.html.figures import Index
    from fidelity_gate.reports.html.scales import Scale

MOST_SETS = 10
MOST_ROWS = 24
BINS = 60
SHARES = "fraction"
FEW = 3  # so many different shares are counted, not spread out
WIDTH, TALL = 340.0, 34.0
LETTER = 6.2  # width of a character of a scale


@dataclass(frozen=True, slots=True)
class Bin:
    """One column of a histogram."""

    x: float
    y: float
    width: float
    height: float
    beyond: bool


@dataclass(frozen=True, slots=True)
class Part:
    """One of the few values that there are, and how many probes have it."""

    start: float
    width: float
    kind: str  # "good", "middle", "bad"
    text: str


@dataclass(frozen=True, slots=True)
class Spread:
    """One candidate; of what a device computed, on one device."""

    candidate: str
    device: str
    described: str
    bins: tuple[Bin, ...]
    parts: tuple[Part, ...]
    bounds: tuple[float, ...]  # x
    mean_at: float
    mean: str
    tail: str
    worst: str
    beyond: str


@dataclass(frozen=True, slots=True)
class SpreadSet:
    """All candidates' rows of one metric."""

    title: str
    options: str
    tail: str
    ticks: tuple[tuple[float, str], ...]
    required: str
    rows: tuple[Spread, ...]
    left_out: int


def spread_sets(index: Index, names: tuple[str, ...]) -> tuple[SpreadSet, ...]:
    """Return the spread of every metric with one value a probe that some check judges.

    Args:
        index: the report.
        names: the candidates in the order of the page.
    """
    groups: dict[tuple[str, str], list[Measurement]] = {}
    for one in index.in_order(names):
        if one.per_probe and len(one.values) > 1 and index.results_of(one):
            groups.setdefault((one.metric, notable(one.options)), []).append(one)
    first = sorted(groups, key=lambda key: (key[0] != "carry_fidelity", key))[:MOST_SETS]
    return tuple(_set(index, *key, groups[key]) for key in first)


def _set(index: Index, metric: str, options: str, found: list[Measurement]) -> SpreadSet:
    shown = found[:MOST_ROWS]
    counted = all(one.unit == SHARES and len(set(one.values)) <= FEW for one in shown)
    scale = _scale_of(index, shown)
    return SpreadSet(
        title=metric.replace("_", " ").capitalize(),
        options=options,
        tail="p95" if shown[0].direction is Direction.LOWER else "p05",
        ticks=() if counted else _ticks(scale),
        required=_required(index, shown),
        rows=tuple(_row(index, one, scale, counted=counted) for one in shown),
        left_out=len(found) - len(shown),
    )


def _ticks(scale: Scale) -> tuple[tuple[float, str], ...]:
    """Return the lines of a scale, without those whose text would cover the one before."""
    kept: list[tuple[float, str]] = []
    for tick in scale.ticks():
        x = min(WIDTH * tick.at, WIDTH - len(tick.text) * LETTER / 2)
        if not tick.minor and (not kept or x - kept[-1][0] > LETTER * (len(tick.text) + len(kept[-1][1])) / 2 + 4):
            kept.append((max(x, len(tick.text) * LETTER / 2), tick.text))
    return tuple(kept)


def _scale_of(index: Index, shown: list[Measurement]) -> Scale:
    figures = [value for one in shown for value in one.values]
    ends = [end for one in shown for result in index.results_of(one) for end in _ends(result)]
    if all(is_cosine(one) for one in shown):
        return nines_scale([*figures, *ends])
    return even_scale([*figures, *ends], shown[0].unit)


def _row(index: Index, one: Measurement, scale: Scale, *, counted: bool) -> Spread:
    results = index.results_of(one)
    tail = Aggregate.P95 if one.direction is Direction.LOWER else Aggregate.P05
    (fifth,) = observations(one.values, tail, Direction.LOWER if tail is Aggregate.P95 else Direction.HIGHER)
    worst = _worst(one)
    texts = [
        told(figure, one.unit, index.bounds_of(one, aggregate), cosine=is_cosine(one))
        for figure, aggregate in ((mean(one.values), Aggregate.MEAN), (fifth, tail), (worst, Aggregate.WORST))
    ]
    beyond = _beyond(one, results)
    names = ("mean", tail.value, "worst")
    return Spread(
        candidate=one.candidate,
        device=device_named(one.options, simulated_devices(index.report)),
        described=f"{count_of(len(one.values), 'probe')}: "
        + ", ".join(f"{n} {t}" for n, t in zip(names, texts, strict=True)),
        bins=() if counted else _bins(one, scale, results),
        parts=_parts(one) if counted else (),
        bounds=() if counted else tuple(sorted({WIDTH * scale.at(end) for each in results for end in _ends(each)})),
        mean_at=WIDTH * scale.at(mean(one.values)),
        mean=texts[0],
        tail=texts[1],
        worst=texts[2],
        beyond=f"{beyond:,} of {len(one.values):,}",
    )


def _bins(one: Measurement, scale: Scale, results: tuple[CheckResult, ...]) -> tuple[Bin, ...]:
    counts = [0] * BINS
    beyond = [0] * BINS
    for value in one.values:
        place = min(BINS - 1, int(scale.at(value) * BINS))
        counts[place] += 1
        beyond[place] += _is_beyond(value, results)
    most = max(counts)
    wide = WIDTH / BINS
    return tuple(
        Bin(place * wide + 0.4, TALL - tall, wide - 0.8, tall, beyond[place] * 2 > count)
        for place, count in enumerate(counts)
        if count and (tall := max(1.6, TALL * count / most))
    )


def _parts(one: Measurement) -> tuple[Part, ...]:
    """Return the few different values as shares of the whole width, the best first."""
    best_first = sorted(set(one.values), reverse=one.direction is not Direction.LOWER)
    kinds = {0: "good", len(best_first) - 1: "bad"} if len(best_first) > 1 else {0: _only_kind(one, best_first[0])}
    parts: list[Part] = []
    start = 0.0
    for place, value in enumerate(best_first):
        count = one.values.count(value)
        width = WIDTH * count / len(one.values)
        text = f"{format_value(value, one.unit)}: {count_of(count, 'probe')}"
        parts.append(Part(start, width, kinds.get(place, "middle"), text))
        start += width
    return tuple(parts)


def _only_kind(one: Measurement, value: float) -> str:
    good = value >= 1 if one.direction is not Direction.LOWER else value <= 0
    return "good" if good else "bad"


def _worst(one: Measurement) -> float:
    if one.direction is Direction.BOTH:
        return max(one.values, key=lambda value: abs(value - 1))
    return min(one.values) if one.direction is Direction.HIGHER else max(one.values)


def _beyond(one: Measurement, results: tuple[CheckResult, ...]) -> int:
    return sum(_is_beyond(value, results) for value in one.values)


def _is_beyond(value: float, results: Iterable[CheckResult]) -> bool:
    """Return whether a probe alone misses a bound that some check holds all of them to."""
    return any(
        (each.bound.minimum is not None and value < each.bound.minimum)
        or (each.bound.maximum is not None and value > each.bound.maximum)
        for each in results
    )


def _required(index: Index, shown: list[Measurement]) -> str:
    found = {
        f"{result.check.aggregate.value if result.check.aggregate else ''} {required_of(result)}".strip()
        for one in shown
        for result in index.results_of(one)
    }
    return ", ".join(sorted(found)[:4])


def _ends(result: CheckResult) -> tuple[float, ...]:
    return tuple(end for end in (result.bound.minimum, result.bound.maximum) if end is not None)
