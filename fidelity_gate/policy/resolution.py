"""How finely a check can tell: what values its metric can have, and how many probes may be bad before it fails."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from fidelity_gate.bounds import SUBSET
from fidelity_gate.records import Aggregate, Direction
from fidelity_gate.wording import LINT

if TYPE_CHECKING:
    from fidelity_gate.policy.bounding import Resolved

# Metrics whose values are 1 or 0 for a probe; a drop is 1, 0 or -1.
_RIGHT_OR_WRONG = ("puzzle_exact", "puzzle_exact_drop")
_NEAR = 1e-9  # what arithmetic may lose


def looked_at(resolved: Resolved, probes: int) -> int:
    """Return how many of so many probes a check looks at: all, or as many as it asks for."""
    asked = dict(resolved.check.options).get(SUBSET)
    return min(asked, probes) if type(asked) is int and asked > 0 else probes


def right_or_wrong(resolved: Resolved) -> bool:
    """Return whether a probe is either right or wrong for the metric, with nothing between."""
    check = resolved.check
    options = dict(check.options)
    return check.metric in _RIGHT_OR_WRONG or (options.get("level") == "puzzle" and options.get("at") != "mean")


def whole_numbers(resolved: Resolved) -> bool:
    """Return whether what is compared can only be a whole number."""
    check = resolved.check
    if check.aggregate is None:
        return check.metric == LINT
    return right_or_wrong(resolved) and check.aggregate is not Aggregate.MEAN


def slack(resolved: Resolved) -> float | None:
    """Return how much worse than perfect, or than before, a bound lets a share be; None where it bounds no such share.

    What was before is at most perfect, so a share of it is at most that share.
    """
    losses = [loss for loss in (resolved.check.bound.max_drop, resolved.check.bound.max_regression) if loss is not None]
    left = _slack(resolved)
    return min([*losses, *([] if left is None else [left])], default=None)


def _slack(resolved: Resolved) -> float | None:
    bound, direction = resolved.check.bound, resolved.plug.direction
    if direction is Direction.HIGHER and bound.minimum is not None:
        highest: float | None = getattr(resolved.plug, "limits", (None, None))[1]
        return None if highest is None else highest - bound.minimum
    return bound.maximum if direction is Direction.LOWER else None


def lost_at_most(resolved: Resolved, probes: int) -> int | None:
    """Return how many of so many probes may be lost altogether: from perfect to 0. None where no such count exists."""
    check, left = resolved.check, _slack(resolved)
    if check.aggregate is None or left is None or resolved.plug.unit not in ("", "fraction"):
        return None
    if check.aggregate is Aggregate.MEAN:
        return min(probes, max(0, math.floor(left * probes + _NEAR)))
    return unseen(check.aggregate, probes)


def unseen(aggregate: Aggregate, probes: int) -> int:
    """Return how many probes, from the worst on, an aggregate that picks one does not look at."""
    last = probes - 1
    shares = {Aggregate.P01: last // 100, Aggregate.P05: 5 * last // 100, Aggregate.P95: 5 * last // 100}
    return shares.get(aggregate, last // 2 if aggregate is Aggregate.MEDIAN else 0)


def probes_needed(resolved: Resolved) -> int | None:
    """Return with how many probes a mean can tell what its bound asks for; None where the number does not matter."""
    left = slack(resolved)
    if resolved.check.aggregate is not Aggregate.MEAN or not right_or_wrong(resolved) or not left or left < 0:
        return None
    return math.ceil(1 / left - _NEAR)
