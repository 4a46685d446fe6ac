"""One `checks:` entry -> records.Check, one a target; refused unless its metric can meet it and can miss it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from fidelity_gate import registry
from fidelity_gate.bounds import FEWEST_OF_A_SUBSET, FEWEST_PROBES, SUBSET
from fidelity_gate.policy.baselines import LOSSES, held_against, losses
from fidelity_gate.policy.devices import check_device
from fidelity_gate.policy.energy import with_figure
from fidelity_gate.policy.plugs import built, option_values
from fidelity_gate.policy.problems import near_or_known
from fidelity_gate.policy.quantities import QuantityError, parse_quantity
from fidelity_gate.policy.targets import LIMIT_UNITS, PREFIX, limit_of
from fidelity_gate.records import Aggregate, Bound, Check, Direction, Severity
from fidelity_gate.units import format_exact
from fidelity_gate.wording import LINT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fidelity_gate.policy.problems import Path, Problems
    from fidelity_gate.policy.schema_checks import CheckBlock
    from fidelity_gate.records import Against, DeviceSpec, EnergyModel, Target

ENDS = ("min", "max")


@dataclass(frozen=True, slots=True)
class Setting:
    """What a check is resolved against."""

    targets: tuple[Target, ...]
    candidates: tuple[str, ...]
    minimum_probes: int
    steps: Mapping[str, int]  # candidate -> ACT steps that it shares with the reference; "" is the policy's own
    problems: Problems
    energy_models: tuple[EnergyModel, ...] = ()
    devices: tuple[DeviceSpec, ...] = ()
    pasts: tuple[Against, ...] = ()  # what relative checks can be held against
    refused: frozenset[str] = frozenset()  # names of targets that the policy lists and that are wrong: told there


@dataclass(frozen=True, slots=True)
class Resolved:
    """A check with its metric at hand, for whoever looks at several of them."""

    check: Check
    plug: Any  # a metric


def resolve(name: str, block: CheckBlock, setting: Setting) -> tuple[Resolved, ...]:
    """Return the check, once for every target it is about; what is wrong with it goes to the problems."""
    path: Path = ("checks", name)
    plug = _metric(path, block, setting)
    before = len(setting.problems.found)
    targets = _targets(path, block, setting)
    candidates = _candidates(path, block, setting)
    if plug is None:
        return ()
    _check_aggregate(path, block, plug, setting)
    check_device(path, block.metric, plug, setting.devices, setting.problems)
    _check_step(
        path, plug, min(setting.steps.get(name, setting.steps[""]) for name in candidates or setting.steps), setting
    )
    against = held_against(path, block, plug, setting.pasts, setting.problems)
    bounds = [(target, _bound(path, block, plug, target, setting)) for target in targets]
    if len(setting.problems.found) > before:
        return ()
    aggregate = Aggregate(block.aggregate) if block.aggregate else None
    check = Check(
        id=name,
        metric=block.metric,
        bound=Bound(),
        # Defaults too: two policies that mean the same then say the same.
        options=option_values(plug, registry.option_types(type(plug))),
        aggregate=aggregate,
        severity=Severity(block.severity),
        candidates=candidates,
        place=setting.problems.place(path, key=True),
        against=against,
    )
    return tuple(
        Resolved(replace(check, bound=bound, target=target.name if target else ""), plug) for target, bound in bounds
    )


def _metric(path: Path, block: CheckBlock, setting: Setting) -> Any:  # noqa: ANN401  (a metric)
    """Return the metric with its options, or None."""
    known = registry.table_of("metrics")
    if block.metric not in known:
        hint = near_or_known(block.metric, known)
        setting.problems.add((*path, "metric"), f"no metric is named '{block.metric}'", hint)
        return None
    at = (*path, "options")
    options = with_figure(block.metric, block.options, setting.energy_models, at, setting.problems)
    return None if options is None else built("metrics", block.metric, options, at, setting.problems)


def _targets(path: Path, block: CheckBlock, setting: Setting) -> tuple[Target | None, ...]:
    """Return the targets that the check is about; (None,) where the target does not matter."""
    known = {target.name: target for target in setting.targets}
    if block.metric == LINT and block.targets is not None:
        hint = "remove the key; what a candidate is for is said at the candidate"
        setting.problems.add((*path, "targets"), "lint looks at all targets of a candidate at once", hint, key=True)
    for index, name in enumerate(block.targets or ()):
        if name not in known and name not in setting.refused:
            hint = near_or_known(name, known) if known else "list it under targets: at the top of the policy"
            setting.problems.add((*path, "targets", index), f"'{name}' is not a target of this policy", hint)
    _refuse_twice((*path, "targets"), block.targets or [], setting)
    named = [block.require.min, block.require.max]
    about_target = any(isinstance(end, str) and end.startswith(PREFIX) for end in named)
    if block.targets is not None:
        return tuple(known[name] for name in dict.fromkeys(block.targets) if name in known)
    if about_target and not known and not setting.refused:
        hint = "list at least one under targets: at the top of the policy"
        setting.problems.add((*path, "require"), "names a limit of a target, and the policy has no targets", hint)
    return tuple(known.values()) if about_target else (None,)


def _candidates(path: Path, block: CheckBlock, setting: Setting) -> tuple[str, ...]:
    # A policy whose candidates come from the command line has none to compare names with yet.
    names = block.candidates or []
    for index, name in enumerate(names):
        if setting.candidates and name not in setting.candidates:
            hint = near_or_known(name, setting.candidates)
            setting.problems.add((*path, "candidates", index), f"'{name}' is not a candidate of this policy", hint)
    _refuse_twice((*path, "candidates"), names, setting)
    return tuple(names)


def _refuse_twice(path: Path, names: list[str], setting: Setting) -> None:
    for index, name in enumerate(names):
        if name in names[:index]:
            setting.problems.add((*path, index), f"'{name}' is named twice", "name it once")


def _check_aggregate(path: Path, block: CheckBlock, plug: Any, setting: Setting) -> None:  # noqa: ANN401
    add, at = setting.problems.add, (*path, "aggregate")
    if not plug.per_probe:
        if block.aggregate:
            add(at, f"{block.metric} is one number, there is nothing to aggregate", "remove the key", key=True)
        return
    if not block.aggregate:
        add(at, "is missing", f"{block.metric} has a value a probe; choose {', '.join(Aggregate)}")
        return
    aggregate = Aggregate(block.aggregate)
    fewest = FEWEST_PROBES.get(aggregate, 1)
    _check_subset((*path, "options", SUBSET), plug, max(fewest, min(setting.minimum_probes, FEWEST_OF_A_SUBSET)), add)
    if setting.minimum_probes < fewest:
        what = f"needs at least {fewest} probes, and minimum_probes is {setting.minimum_probes}"
        add(at, f"{aggregate} {what}", f"minimum_probes: {fewest}, or aggregate: worst")
    spared = {Direction.HIGHER: (Aggregate.P95,), Direction.LOWER: (Aggregate.P01, Aggregate.P05)}
    if aggregate in spared.get(plug.direction, ()):
        what = f"{aggregate} looks at the best probes only, {plug.direction} is better for {block.metric}"
        add(at, what, "p05 or worst" if plug.direction is Direction.HIGHER else "p95 or worst")


def _check_subset(path: Path, plug: Any, fewest: int, add: Callable[..., None]) -> None:  # noqa: ANN401  (a metric)
    """Refuse a part of the probes that is too small for anything to be decided by it."""
    asked = getattr(plug, SUBSET, 0)
    if 0 < asked < fewest:
        other = "" if fewest == FEWEST_OF_A_SUBSET else ", or aggregate: worst"
        add(path, f"decides nothing: at least {fewest} probes are needed", f"{SUBSET}: {fewest}{other}")


def _check_step(path: Path, plug: Any, steps: int, setting: Setting) -> None:  # noqa: ANN401  (a metric)
    step = getattr(plug, "at", None)
    if isinstance(step, int) and step > steps:
        what = f"step {step} is never reached: recursion has {steps}"
        setting.problems.add((*path, "options", "at"), what, f"1 to {steps}, or last")


def _bound(path: Path, block: CheckBlock, plug: Any, target: Target | None, setting: Setting) -> Bound:  # noqa: ANN401
    """Return the bound; whatever is wrong with it goes to the problems."""
    at, problems = (*path, "require"), setting.problems
    before = len(problems.found)
    written = {end: getattr(block.require, end) for end in ENDS if getattr(block.require, end) is not None}
    relative = losses(at, block, plug, problems)
    if not written and all(getattr(block.require, key) is None for key in LOSSES):
        problems.add(at, "holds no bound", "min:, max:, max_regression: or max_drop:, there are no defaults")
    numbers = {end: _end((*at, end), value, plug, target, setting) for end, value in written.items()}
    texts = [f"{end}: {_as_written((*at, end), numbers[end], plug, problems)}" for end in written]
    texts += [f"{key}: {problems.raw((*at, key))}" for key in relative]
    bound = Bound(numbers.get("min"), numbers.get("max"), ", ".join(texts), **relative)
    if len(problems.found) == before:
        _check_direction(at, bound, plug, block.metric, problems)
        _check_reach(at, bound, plug, problems)
    return bound


def _end(path: Path, written: Any, plug: Any, target: Target | None, setting: Setting) -> float | None:  # noqa: ANN401
    """Return one end in the metric's unit, or None after adding a problem."""
    if isinstance(written, str) and written.startswith(PREFIX):
        return _limit(path, written.removeprefix(PREFIX), plug, target, setting)
    try:
        return parse_quantity(written, plug.unit)
    except QuantityError as error:
        setting.problems.add(path, error.what, error.hint)
        return None


def _limit(path: Path, word: str, plug: Any, target: Target | None, setting: Setting) -> float | None:  # noqa: ANN401
    """Return the limit that the target has, or None after adding a problem."""
    add = setting.problems.add
    if word not in LIMIT_UNITS:
        add(path, f"targets have no limit named '{word}'", near_or_known(word, LIMIT_UNITS))
    elif LIMIT_UNITS[word] != plug.unit:
        unit = f"in {plug.unit}" if plug.unit else "a bare number"
        add(path, f"target.{word} is in {LIMIT_UNITS[word]}, and the metric is {unit}")
    elif target is None:
        return None  # the policy has no targets, or none of the check's is one of them: told already
    elif (limit := limit_of(target, word)) is None:
        add(path, f"the target '{target.name}' has no {word} limit", "give it one, or name other targets: in the check")
    else:
        return float(limit)
    return None


def _as_written(path: Path, number: float | None, plug: Any, problems: Problems) -> str:  # noqa: ANN401
    raw = problems.raw(path)
    return f"{raw} = {format_exact(number, plug.unit)}" if raw.startswith(PREFIX) and number is not None else raw


def _check_direction(path: Path, bound: Bound, plug: Any, metric: str, problems: Problems) -> None:  # noqa: ANN401
    if bound.relative and not bound.absolute:
        return  # the end that follows from the past faces the right way
    if plug.direction is Direction.HIGHER and bound.minimum is None:
        problems.add((*path, "max"), f"faces the wrong way: higher is better for {metric}", "use min:", key=True)
    elif plug.direction is Direction.LOWER and bound.maximum is None:
        problems.add((*path, "min"), f"faces the wrong way: lower is better for {metric}", "use max:", key=True)
    if None not in (bound.minimum, bound.maximum) and bound.minimum > bound.maximum:  # type: ignore[operator]
        problems.add(path, "min is above max, so nothing can meet it", "swap them, or drop one")


def _check_reach(path: Path, bound: Bound, plug: Any, problems: Problems) -> None:  # noqa: ANN401  (a metric)
    """Refuse an end that nothing could meet or nothing could miss: either way it is not what its author means."""
    lowest, highest = getattr(plug, "limits", (None, None))  # a foreign metric may not say
    span = f"possible values are {_span(lowest, highest, plug.unit)}"
    least, most = bound.minimum, bound.maximum
    if least is not None and highest is not None and least > highest:
        problems.add((*path, "min"), "is above the highest possible value, so nothing can meet it", span)
    if least is not None and lowest is not None and least <= lowest:
        problems.add((*path, "min"), "is the lowest possible value or less, so nothing can miss it", span)
    if most is not None and lowest is not None and most < lowest:
        problems.add((*path, "max"), "is below the lowest possible value, so nothing can meet it", span)
    if most is not None and highest is not None and most >= highest:
        problems.add((*path, "max"), "is the highest possible value or more, so nothing can miss it", span)


def _span(lowest: float | None, highest: float | None, unit: str) -> str:
    low = "" if lowest is None else f"from {format_exact(lowest, unit)}"
    high = "" if highest is None else f"to {format_exact(highest, unit)}"
    return " ".join(part for part in (low, high) if part) or "not limited"
