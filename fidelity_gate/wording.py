"""How checks and figures are said: one place, so that no text can contradict a verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fidelity_gate.records import Outcome
from fidelity_gate.units import format_value

if TYPE_CHECKING:
    from fidelity_gate.records import Bound, CheckResult


def subject(candidate: str, target: str) -> str:
    """Return `int4@soc-8mb`, or the part of it that there is."""
    return f"{candidate}@{target}" if target else candidate


def apart(left: float, right: float, unit: str) -> tuple[str, str]:
    """Return two figures as texts that differ whenever the figures do, however close they are."""
    texts = format_value(left, unit), format_value(right, unit)
    if left == right or texts[0] != texts[1]:
        return texts
    return f"{left!r} {unit}".rstrip(), f"{right!r} {unit}".rstrip()


def figure(value: float, bound: Bound, unit: str) -> str:
    """Return a figure as text, precise enough not to look like an end of the bound that it is not."""
    texts = {apart(value, end, unit)[0] for end in (bound.minimum, bound.maximum) if end is not None}
    return max(texts, key=len, default=format_value(value, unit))


def requirement(bound: Bound, unit: str) -> str:
    """Return `>= 0.9700`, `<= 8 MiB`, or both joined by `and`."""
    least = [] if bound.minimum is None else [f">= {format_value(bound.minimum, unit)}"]
    most = [] if bound.maximum is None else [f"<= {format_value(bound.maximum, unit)}"]
    return " and ".join([*least, *most]) or "no bound"


def comparison(observed: float, bound: Bound, unit: str) -> str:
    """Return `0.9410 < 0.9700`: the observation against the end of the bound that it is nearest to, or beyond."""
    if bound.minimum is not None and observed < bound.minimum:
        return " < ".join(apart(observed, bound.minimum, unit))
    if bound.maximum is not None and observed > bound.maximum:
        return " > ".join(apart(observed, bound.maximum, unit))
    return f"{figure(observed, bound, unit)} ({requirement(bound, unit)})"


def headline(result: CheckResult) -> str:
    """Return `carry-fidelity int4@soc-8mb: 0.9410 < 0.9700`, the one line that says what became of a check."""
    said = f"{result.check.id} {subject(result.candidate, result.check.target)}".rstrip()
    return f"{said}: {what_happened(result)}"


def what_happened(result: CheckResult) -> str:
    """Return the comparison where there was one, and the reason where there was none."""
    compared = ""
    if result.observed is not None and result.outcome is not Outcome.INCONCLUSIVE:
        compared = comparison(result.observed, result.check.bound, result.unit)
    if not result.reason:
        return compared or result.outcome.value
    plain = result.outcome.value.replace("-", " ")
    told = (
        result.reason if result.outcome in (Outcome.WARN, Outcome.OFF, Outcome.WAIVED) else f"{plain}: {result.reason}"
    )
    return f"{compared}; {told}" if compared else told
