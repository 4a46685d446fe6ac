"""The conductor: names the stages of a measurement, from a policy to everything that its checks ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fidelity_gate import __version__
from fidelity_gate.measuring import planning, staging
from fidelity_gate.measuring.provenance import provenance
from fidelity_gate.records import Evidence, MeasurementSet
from fidelity_gate.tracing.lockstep import Plan

if TYPE_CHECKING:
    from fidelity_gate.measuring.staging import Stage
    from fidelity_gate.protocols import Progress
    from fidelity_gate.records import Measurement, Policy


@dataclass(frozen=True, slots=True)
class MeasureOptions:
    """What the person who starts a measurement allows; nothing here changes a number."""

    allow_code: bool = False  # hooked models: run the user's own Python
    check_repeats: bool = True  # run the first probes twice, and measure nothing that differs


def measure(policy: Policy, options: MeasureOptions, progress: Progress) -> MeasurementSet:
    """Measure everything that a policy's checks ask for; judge nothing.

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
    stage = staging.set_up(policy, allow_code=options.allow_code)
    from_files = _from_files(stage, wants)
    plan = Plan(policy.run.batch, policy.run.threads, policy.run.seed, options.check_repeats)
    from_traces, floor = staging.run(stage, wants, plan, progress)
    return MeasurementSet(
        tool_version=__version__,
        provenance=provenance(policy, stage.probes),
        reference=stage.reference,
        candidates=stage.candidates,
        measurements=_in_order(stage, [*from_files, *from_traces]),
        noise_floor=floor,
    )


def _from_files(stage: Stage, wants: tuple[planning.Wanted, ...]) -> list[Measurement]:
    """Return what the files alone say; nothing is loaded for it."""
    return [
        planning.from_file(want, stage.reference, candidate)
        for candidate in stage.candidates
        for want in wants
        if want.of(candidate.name, Evidence.FILE)
    ]


def _in_order(stage: Stage, found: list[Measurement]) -> tuple[Measurement, ...]:
    """Return the measurements by candidate, in the policy's order, then by metric and options."""
    order = {record.name: place for place, record in enumerate(stage.candidates)}
    return tuple(sorted(found, key=lambda one: (order[one.candidate], one.metric, repr(one.options))))
