"""The conductor: names the stages of a measurement, from a policy to everything that its checks ask for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fidelity_gate import __version__
from fidelity_gate.judge import missed
from fidelity_gate.measuring import device_fidelity, planning, staging, static, timing
from fidelity_gate.measuring.provenance import provenance
from fidelity_gate.records import MeasurementSet
from fidelity_gate.tracing.lockstep import Plan

if TYPE_CHECKING:
    from fidelity_gate.measuring.planning import Wanted
    from fidelity_gate.measuring.staging import Stage
    from fidelity_gate.protocols import Progress
    from fidelity_gate.records import Measurement, NoiseFloor, Policy


@dataclass(frozen=True, slots=True)
class MeasureOptions:
    """What the person who starts a measurement allows; nothing here changes a number."""

    allow_code: bool = False  # hooked models: run the user's own Python
    check_repeats: bool = True  # run the first probes twice, and measure nothing that differs
    keep_going: bool = True  # run the models even where the files alone fail a check already


def measure(policy: Policy, options: MeasureOptions, progress: Progress) -> MeasurementSet:
    """Measure everything that a policy's checks ask for; what the files alone say comes first.

    A metric that cannot be measured is in the result with its reason; it never disappears.

    Args:
        policy: what to compare, on what, how deep, and what for.
        options: what is allowed.
        progress: told how far the stepping is.

    Raises:
        Refused: something that was given cannot be used, or compared.
        Undecided: two runs of the reference differ, or a limit was hit.
    """
    wants = planning.wanted(policy)
    stage = static.linted(staging.set_up(policy, allow_code=options.allow_code), wants)
    from_files = static.from_files(stage, wants)
    failed = () if options.keep_going else missed(policy, _set(stage, wants, from_files))
    if failed:
        return _set(stage, wants, [*from_files, *static.left_out(stage, wants, failed[0])])
    plan = Plan(policy.run.batch, policy.run.threads, policy.run.seed, options.check_repeats)
    stage, from_devices = timing.run(stage, wants, progress, allow_code=options.allow_code)
    stage, from_steps = device_fidelity.run(stage, wants, progress, allow_code=options.allow_code)
    models = staging.cast(stage, wants)
    stage = stage.closed()
    from_traces, floor, exhibits = staging.run(stage, models, wants, plan, progress)
    found = _set(stage, wants, [*from_files, *from_devices, *from_steps, *from_traces], floor)
    return replace(found, exhibits=exhibits)


def _set(
    stage: Stage, wants: tuple[Wanted, ...], found: list[Measurement], floor: NoiseFloor | None = None
) -> MeasurementSet:
    return MeasurementSet(
        tool_version=__version__,
        provenance=provenance(
            stage.policy,
            stage.probes,
            linted=static.wants_lint(wants),
            devices=timing.described(stage.policy, wants),
        ),
        reference=stage.reference,
        candidates=stage.candidates,
        measurements=_in_order(stage, found),
        noise_floor=floor,
    )


def _in_order(stage: Stage, found: list[Measurement]) -> tuple[Measurement, ...]:
    """Return the measurements by candidate, in the policy's order, then by metric and options."""
    order = {record.name: place for place, record in enumerate(stage.candidates)}
    return tuple(sorted(found, key=lambda one: (order[one.candidate], one.metric, repr(one.options))))
