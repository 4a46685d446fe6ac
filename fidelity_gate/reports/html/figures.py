"""Figures as texts that can never stand on the wrong side of a bound, and what a check was judged on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fidelity_gate.matching import key_of
from fidelity_gate.units import DIGITS, format_against, format_value
from fidelity_gate.wording import requirement

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from fidelity_gate.matching import Key
    from fidelity_gate.records import Aggregate, Bound, CheckResult, Measurement, Options, Report

ONE = f"{1:.{DIGITS}f}"  # what a cosine of 0.99999 is rounded to elsewhere
MOST_DIGITS = 17
NEAREST = 0.9999999
LONGEST = 60  # characters of a requirement in its author's words
# What every reader takes for granted; anything else is said.
USUAL = {
    "against": "reference",
    "at": "last",
    "mode": "forced",
    "probes": 0,
    "severity": "error",
    "steps": 0,
    "stream": "first",
    "tokens": "mean",
}


@dataclass(frozen=True, slots=True)
class Index:
    """A report, and which checks were judged on which measurement."""

    report: Report
    judged: Mapping[Key, tuple[CheckResult, ...]] = field(default_factory=dict)
    measured: Mapping[Key, Measurement] = field(default_factory=dict)

    def in_order(self, names: tuple[str, ...]) -> list[Measurement]:
        """Return the measurements by candidate, in the order of a page."""
        place = {name: at for at, name in enumerate(names)}
        return sorted(self.measured.values(), key=lambda one: place.get(one.candidate, len(place)))

    def results_of(self, one: Measurement) -> tuple[CheckResult, ...]:
        """Return the checks that were judged on a measurement."""
        return self.judged.get(key_of(one.metric, one.options, one.candidate), ())

    def behind(self, result: CheckResult) -> Measurement | None:
        """Return the measurement that a check was judged on."""
        return self.measured.get(key_of(result.check.metric, result.check.options, result.candidate))

    def bounds_of(self, one: Measurement, aggregate: Aggregate | None = None) -> tuple[Bound, ...]:
        """Return the bounds that a measurement was held to; only those on one aggregate where it is named."""
        results = self.results_of(one)
        return tuple(each.bound for each in results if aggregate is None or each.check.aggregate is aggregate)


def indexed(report: Report) -> Index:
    """Return the report with its checks found by what they were judged on."""
    judged: dict[Key, tuple[CheckResult, ...]] = {}
    for result in report.verdict.results:
        key = key_of(result.check.metric, result.check.options, result.candidate)
        judged[key] = (*judged.get(key, ()), result)
    measurements = report.measured.measurements if report.measured else ()
    return Index(report, judged, {key_of(one.metric, one.options, one.candidate): one for one in measurements})


def device_named(options: Options, simulated: Container[str]) -> str:
    """Return `s24`, `s24 (simulated)`, or "" for what no device computed: no figure of one is shown without it."""
    device = str(dict(options).get("device") or "")
    return f"{device} (simulated)" if device in simulated else device


def told(value: float, unit: str, bounds: Iterable[Bound] = (), *, cosine: bool = False) -> str:
    """Return a figure with as many digits as it needs to stay on its side of every bound it was held to.

    Args:
        value: raw.
        unit: of the metric.
        bounds: what it was held to.
        cosine: whether 1 is the best there is, and what is not quite 1 must not be shown as 1.
    """
    ends = {end for bound in bounds for end in (bound.minimum, bound.maximum) if end is not None}
    texts = [format_against(value, end, unit)[0] for end in sorted(ends)]
    text = max(texts, key=len, default=format_value(value, unit))
    return _not_one(value) if cosine and value < 1 and text in ("1", ONE) else text


def _not_one(value: float) -> str:
    """Return a cosine that is not quite 1 with as many digits as show it, as far as float32 tells any apart."""
    if value > NEAREST:
        return f"> {NEAREST}"
    texts = (format_value(value, "", digits=digits) for digits in range(DIGITS + 1, MOST_DIGITS))
    return next((text for text in texts if float(text) < 1), format_value(value, "", digits=MOST_DIGITS))


def observed_of(result: CheckResult) -> str:
    """Return what was observed, or "" where nothing was."""
    if result.observed is None:
        return ""
    bound = result.bound
    cosine = not result.unit and bound.maximum is None and (bound.minimum or 0.0) <= 1
    return told(result.observed, result.unit, (bound,), cosine=cosine)


def required_of(result: CheckResult) -> str:
    """Return the requirement; where the unit is not known, in the words of its author."""
    bound = result.bound
    ends = (bound.minimum, bound.maximum)
    if bound.text and (ends == (None, None) or (result.observed is None and not result.unit)):
        return bound.text[:LONGEST]
    beside = result.observed if result.compared else None
    return requirement(bound, result.unit, beside=beside).replace(">= ", "≥ ").replace("<= ", "≤ ")


def margin_of(result: CheckResult) -> str:
    """Return `+0.0250` or `-0.4611`, with a real minus sign, or "" where nothing was compared."""
    if result.margin is None:
        return ""
    sign = "\N{MINUS SIGN}" if result.margin < 0 else "+"
    return sign + format_value(abs(result.margin), result.unit).partition(" (")[0]


def count_of(number: int, noun: str) -> str:
    """Return `1 probe` or `500 probes`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def notable(options: Options) -> str:
    """Return the options of a metric that a reader has to know; a device is told elsewhere."""
    said = ((name, value) for name, value in options if value is not None and name != "device")
    return ", ".join(f"{name} {value}" for name, value in said if USUAL.get(name) != value)
