"""Warnings of `policy lint`: a policy that is sound, and still weaker than its author may think.

Nothing here changes a verdict. Each rule has an id, shown in brackets, and a section in docs/policy.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fidelity_gate.policy.advice_figures import RULES as FIGURES
from fidelity_gate.policy.devices import HOST
from fidelity_gate.policy.energy import METRIC, NAME
from fidelity_gate.policy.targets import LIMIT_UNITS, SHIPPED, limit_of
from fidelity_gate.policy.weaknesses import Advice, Seen, in_order
from fidelity_gate.records import Aggregate, Direction, Evidence, Severity
from fidelity_gate.wording import LINT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fidelity_gate.policy.bounding import Resolved
    from fidelity_gate.policy.problems import Problems
    from fidelity_gate.records import Policy

# Metrics that see what leaves the output head.
_ANSWERS = ("answer_agreement", "puzzle_exact", "puzzle_exact_drop")
_MIDDLES = (Aggregate.MEAN, Aggregate.MEDIAN)


def advise(policy: Policy, checks: Sequence[Resolved], places: Problems) -> tuple[Advice, ...]:
    """Return every weakness, in the order of the file."""
    active = [resolved for resolved in checks if resolved.check.severity is not Severity.OFF]
    seen = Seen(policy, active, places)
    found = [advice for rule in _RULES for advice in rule(seen)]
    found += _switched_off(checks)
    return in_order(found)


def _only_blind(seen: Seen) -> Iterator[Advice]:
    traced = {r.check.metric for r in seen.checks if r.plug.evidence.traced}
    if traced == {"consecutive_similarity"}:
        what = "consecutive_similarity is nearly blind to precision, and nothing else looks at the trajectory"
        yield Advice("only-consecutive", seen.of("consecutive_similarity")[0].check.place, what, "add carry_fidelity")


def _no_trajectory(seen: Seen) -> Iterator[Advice]:
    if not seen.traced:
        what = "every check looks at files alone: nothing compares what the models do"
        yield Advice("files-only", seen.first, what, "add carry_fidelity and answer_agreement")


def _no_norm(seen: Seen) -> Iterator[Advice]:
    fidelity = seen.of("carry_fidelity")
    if fidelity and not seen.of("carry_norm_ratio"):
        what = "a cosine is blind to scale: a carry ten times too long has fidelity 1"
        yield Advice("scale-blind", fidelity[0].check.place, what, "add carry_norm_ratio beside carry_fidelity")


def _no_answers(seen: Seen) -> Iterator[Advice]:
    if seen.traced and not any(map(seen.of, _ANSWERS)):
        what = "carry metrics cannot see damage to the output head"
        yield Advice("answers-unseen", seen.first, what, "add answer_agreement, which needs no labels")


def _no_share(seen: Seen) -> Iterator[Advice]:
    models = seen.policy.candidates
    compressed = not models or not all(model.uncompressed for model in models)  # none: the command line names them
    if compressed and not seen.of("compressed_share"):
        what = "a file that was left uncompressed has perfect fidelity"
        yield Advice("share-unseen", seen.first, what, "add compressed_share")


def _mean_only(seen: Seen) -> Iterator[Advice]:
    for metric in sorted({resolved.check.metric for resolved in seen.checks}):
        of_metric = [resolved for resolved in seen.of(metric) if resolved.check.severity is Severity.ERROR]
        if not of_metric:
            continue
        aggregates = {resolved.check.aggregate for resolved in of_metric}
        plug = of_metric[0].plug
        fidelity = plug.unit == "" and plug.direction is Direction.HIGHER and not getattr(plug, "predicts", False)
        if fidelity and aggregates <= set(_MIDDLES):
            what = f"the {next(iter(aggregates))} of {metric} hides one collapsed probe in a hundred"
            yield Advice("mean-only", of_metric[0].check.place, what, "add a check with aggregate: worst or p05")


def _one_sided(seen: Seen) -> Iterator[Advice]:
    for resolved in seen.checks:
        bound = resolved.check.bound
        if resolved.plug.direction is Direction.BOTH and None in (bound.minimum, bound.maximum):
            missing = "max" if bound.maximum is None else "min"
            what = f"{resolved.check.metric} can be bad both ways, and {resolved.check.id} has no {missing}"
            yield Advice("one-sided", resolved.check.place, what, f"add {missing}:")


def _idle_limits(seen: Seen) -> Iterator[Advice]:
    """Warn of a limit of one's own target that no check uses."""
    for index, target in enumerate(seen.policy.targets):
        if target.name in SHIPPED:
            continue
        used = {unit for r in seen.checks if r.check.target == target.name for unit in (r.check.bound.maximum,)}
        for word in LIMIT_UNITS:
            limit = limit_of(target, word)
            if limit is not None and float(limit) not in used:
                what = f"no check uses the {word} limit of the target '{target.name}'"
                yield Advice(
                    "idle-limit",
                    seen.places.place(("targets", index)),
                    what,
                    f"require: {{max: target.{word}}}, or remove the limit",
                )


def _idle_lint(seen: Seen) -> Iterator[Advice]:
    if seen.policy.lint.place.line and not seen.of(LINT):
        what = "the block blocks nothing, and nothing is linted: no check has the metric lint"
        yield Advice("idle-lint", seen.policy.lint.place, what, "add {metric: lint, require: {max: 0}}")


def _lint_of_warnings(seen: Seen) -> Iterator[Advice]:
    """Warn where a count of findings may be exceeded: which ones they are is not looked at."""
    for resolved in seen.of(LINT):
        most = resolved.check.bound.maximum
        if most:
            what = f"any {most:g} findings are let through, whatever they are"
            yield Advice(
                "any-findings", resolved.check.place, what, "max: 0, and lint: {ignore: [CODE]} for known ones"
            )


def _idle_energy_models(seen: Seen) -> Iterator[Advice]:
    used = {dict(resolved.check.options).get(NAME) for resolved in seen.of(METRIC)}
    for model in seen.policy.energy_models:
        if model.name not in used:
            place = seen.places.place(("energy_models", model.name), key=True)
            what = f"no check uses the energy model '{model.name}'"
            yield Advice("idle-energy-model", place, what, f"options: {{model: {model.name}}}, or remove it")


def _idle_devices(seen: Seen) -> Iterator[Advice]:
    used = {resolved.plug.device for resolved in seen.checks if resolved.plug.evidence is Evidence.DEVICE}
    for device in seen.policy.devices:
        if device.name not in used:
            what = f"no check uses the device '{device.name}'"
            yield Advice("idle-device", device.place, what, f"options: {{device: {device.name}}}, or remove it")


def _borrowed_limits(seen: Seen) -> Iterator[Advice]:
    """Warn where the limit of a device class is held against a figure of the machine that the gate runs on."""
    for resolved in seen.checks:
        check = resolved.check
        kinds = {device.name: device.use for device in seen.policy.devices}
        if check.target and resolved.plug.evidence is Evidence.DEVICE and kinds.get(resolved.plug.device) == HOST:
            what = f"holds a limit of '{check.target}' against a figure of the machine that the gate runs on"
            yield Advice("borrowed-limit", check.place, what, "fine only where that machine is the target")


def _switched_off(checks: Sequence[Resolved]) -> Iterator[Advice]:
    for resolved in {r.check.id: r for r in checks if r.check.severity is Severity.OFF}.values():
        yield Advice("switched-off", resolved.check.place, f"{resolved.check.id} is off", "nothing looks at it")


_RULES: tuple[Callable[[Seen], Iterator[Advice]], ...] = (
    _only_blind,
    _no_trajectory,
    _no_norm,
    _no_answers,
    _no_share,
    _mean_only,
    _one_sided,
    *FIGURES,
    _idle_limits,
    _idle_lint,
    _lint_of_warnings,
    _idle_energy_models,
    _idle_devices,
    _borrowed_limits,
)
