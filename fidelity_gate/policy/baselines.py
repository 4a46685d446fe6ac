"""The policy's `baseline:` and `history:` blocks, and the ends of checks that are relative to them."""

from __future__ import annotations

import os.path
from typing import TYPE_CHECKING, Any

from fidelity_gate.policy.quantities import QuantityError, parse_quantity
from fidelity_gate.records import Against, BaselineSpec, Direction, Evidence, HistorySpec

if TYPE_CHECKING:
    from fidelity_gate.policy.problems import Path, Problems
    from fidelity_gate.policy.schema import PolicyBlock
    from fidelity_gate.policy.schema_checks import BaselineBlock, CheckBlock, HistoryBlock

BASELINE, HISTORY = "baseline", "history"
LOSSES = ("max_regression", "max_drop")
SUFFIX = ".jsonl"
_EXAMPLES = {
    BASELINE: "baseline: {path: baselines/release.json} at the top of the policy",
    HISTORY: "history: {path: history.jsonl} at the top of the policy",
}


def baseline_spec(block: BaselineBlock | None, problems: Problems) -> BaselineSpec | None:
    """Return where the baseline is; None where the policy names none."""
    if block is None:
        return None
    return BaselineSpec(_path(BASELINE, block.path, problems), problems.place((BASELINE,), key=True))


def history_spec(block: HistoryBlock | None, problems: Problems) -> HistorySpec | None:
    """Return where the history is and how it counts; what is wrong with the block goes to the problems."""
    if block is None:
        return None
    if not block.path.endswith(SUFFIX):
        problems.add((HISTORY, "path"), "is no name of a history", f"a file of JSON lines, ending in {SUFFIX}")
    if block.minimum > block.last:
        what = f"can never be reached: only the last {block.last} runs count"
        problems.add((HISTORY, "minimum"), what, f"1 to {block.last}")
    return HistorySpec(
        path=_path(HISTORY, block.path, problems),
        last=block.last,
        minimum=block.minimum,
        floor_seconds=_floor("floor", block.floor, "seconds", problems),
        floor_bytes=_floor("memory_floor", block.memory_floor, "bytes", problems),
        spreads=block.spreads,
        warn_while_new=block.while_new == "warn",
        place=problems.place((HISTORY,), key=True),
    )


def known_pasts(block: PolicyBlock) -> tuple[Against, ...]:
    """Return what checks of this policy can be held against."""
    return tuple(
        past for past, there in ((Against.BASELINE, block.baseline), (Against.HISTORY, block.history)) if there
    )


def losses(path: Path, block: CheckBlock, plug: Any, problems: Problems) -> dict[str, float]:  # noqa: ANN401  (a metric)
    """Return what a check lets through, by key, in base units; what is wrong with it goes to the problems.

    Args:
        path: of the check's `require:`.
        block: the check.
        plug: its metric, with its options.
        problems: what is wrong goes here.
    """
    written = {key: value for key in LOSSES if (value := getattr(block.require, key)) is not None}
    if written and plug.direction is Direction.BOTH:
        what = f"{block.metric} can be bad both ways, so nothing says which way is a regression"
        problems.add((*path, next(iter(written))), what, "use min: and max:", key=True)
        return {}
    found: dict[str, float] = {}
    for key, value in written.items():
        try:
            found[key] = parse_quantity(value, "fraction" if key == "max_regression" else plug.unit)
        except QuantityError as error:
            problems.add((*path, key), error.what, error.hint)
    for key, loss in found.items():
        _check_reach((*path, key), loss, plug, problems)
    return found


def held_against(
    path: Path,
    block: CheckBlock,
    plug: Any,  # noqa: ANN401  (a metric)
    known: tuple[Against, ...],
    problems: Problems,
) -> Against | None:
    """Return what a check is held against; None for one that is not relative, or after adding a problem.

    Args:
        path: of the check.
        block: the check.
        plug: its metric, with its options.
        known: what there is in the policy.
        problems: what is wrong goes here.
    """
    at = (*path, "against")
    if all(getattr(block.require, key) is None for key in LOSSES):
        if block.against is not None:
            problems.add(
                at, "compares with nothing", "require: max_regression or max_drop, or remove the key", key=True
            )
        return None
    if block.against is None and len(known) != 1:
        choice = " or ".join(known) if known else "the policy has neither baseline nor history"
        problems.add((*path, "require"), f"is relative, and nothing says to what: {choice}", _hint(known))
        return None
    against = Against(block.against) if block.against else known[0]
    if against not in known:
        problems.add(at, f"the policy has no {against}", _EXAMPLES[against])
    elif against is Against.HISTORY and plug.evidence is not Evidence.DEVICE:
        what = f"a history holds numbers of devices only, and {block.metric} needs none"
        problems.add(at if block.against else (*path, "require"), what, f"against: baseline; {_EXAMPLES[BASELINE]}")
    return against


def _hint(known: tuple[Against, ...]) -> str:
    return f"against: {Against.BASELINE}" if known else _EXAMPLES[BASELINE]


def _check_reach(path: Path, loss: float, plug: Any, problems: Problems) -> None:  # noqa: ANN401  (a metric)
    """Refuse a loss that nothing could stay under or nothing could exceed."""
    lowest, highest = getattr(plug, "limits", (None, None))
    if loss < 0:
        problems.add(path, "is negative", "how much worse than before a number may be: 0 or more")
    elif path[-1] == "max_regression" and loss >= 1:
        problems.add(path, "lets everything through: it is a share of the old number", "0 % to under 100 %, like 5 %")
    elif lowest is not None and highest is not None and path[-1] == "max_drop" and loss >= highest - lowest:
        problems.add(path, "is as much as all possible values lie apart, so nothing can miss it", "less")


def _path(key: str, written: str, problems: Problems) -> str:
    folder = os.path.dirname(problems.place((key, "path")).file)  # noqa: PTH120  (of the file that says it)
    return os.path.normpath(os.path.join(folder, written))  # noqa: PTH118


def _floor(key: str, written: str | float, unit: str, problems: Problems) -> float:
    try:
        floor = parse_quantity(written, unit)
    except QuantityError as error:
        problems.add((HISTORY, key), error.what, error.hint)
        return 0.0
    if floor < 0:
        problems.add((HISTORY, key), "is negative", "0 or more")
    return floor
