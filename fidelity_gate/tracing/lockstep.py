"""The reference and any number of candidates, stepped side by side over batches of probes; no trajectory is ever kept.

All models of a batch make ACT step t before any makes step t + 1. Every accumulator sees the aligned pair of states and
is done with it, so memory grows neither with steps nor with probes, and all candidates share one pass of the reference.
The noise floor is one more candidate: the reference itself with a perturbed initial carry.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fidelity_gate import arrays
from fidelity_gate.errors import ModelRefused, NotMeasured, Undecided
from fidelity_gate.heap import Giver, give_back
from fidelity_gate.tracing.entrants import Lead, Reading, Rival, Task, Traced
from fidelity_gate.tracing.stepping import Entrant
from fidelity_gate.tracing.vitals import not_finite

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fidelity_gate.protocols import Progress
    from fidelity_gate.records import Probes, StepState, Tensor
    from fidelity_gate.tracing.pairs import Side

__all__ = ["Entrant", "Plan", "Reading", "Traced", "trace", "walk"]

# The repeatability check runs a few probes for a few steps, twice: dropout and races show at once, and it stays cheap.
REPEATED_PROBES = 8
REPEATED_STEPS = 2


@dataclass(frozen=True, slots=True)
class Plan:
    """How to step: probes a batch, threads, the seed of perturbations, and whether to check that runs repeat."""

    batch: int = 32
    threads: int = 1
    seed: int = 0
    repeat: bool = True


def trace(
    reference: Entrant, contestants: tuple[Entrant, ...], probes: Probes, plan: Plan, progress: Progress
) -> tuple[Traced, ...]:
    """Step all models over all probes and return what every contestant's accumulators came to.

    Args:
        reference: the model that all are compared with; its own accumulators are not used.
        contestants: the candidates and the noise floor, in any number.
        probes: N of them.
        plan: how to step.
        progress: told after every step of every batch.

    Returns:
        One record a contestant, in their order.

    Raises:
        ModelRefused: the reference is not finite, dead, or yields other steps than declared; or a contestant's streams,
            shapes or element types are not the reference's.
        Undecided: two runs of the reference differ.
    """
    lead = Lead(reference)
    rivals = tuple(Rival(entrant, reference.depth) for entrant in contestants)
    steps = max(entrant.depth.steps for entrant in (reference, *contestants))
    with arrays.quiet(plan.threads):
        if plan.repeat:
            _check_repeatable(reference, rivals, probes)
            give_back()
        tasks = tuple(_tasks(probes, plan))
        progress.start("stepping", len(tasks) * steps)
        giver = Giver()

        def on_step() -> None:
            giver.now_and_then()
            progress.advance(1)

        try:
            for task in tasks:
                _lockstep(lead, rivals, task, on_step)
        finally:
            progress.done()
    lead.refuse_dead()
    return tuple(rival.outcome() for rival in rivals)


def walk(entrant: Entrant, probes: Probes, plan: Plan) -> Iterator[tuple[int, Side]]:
    """Step one model alone.

    Yields:
        The row of the batch's first probe, and the model after a step.

    Raises:
        ModelRefused: the model is not finite, or yields other steps than declared.
    """
    for task in _tasks(probes, plan):
        runner = task.runner(entrant)
        for step in range(1, entrant.depth.steps + 1):
            # Entered step by step: held across a yield, the settings would leak into whoever iterates.
            with arrays.quiet(plan.threads):
                side = runner.step()
                trouble = not_finite(side, task.first_probe)
                if step == entrant.depth.steps:
                    runner.finish()
            if trouble:
                raise ModelRefused(trouble, field=entrant.name)
            yield task.first_probe, side


def _tasks(probes: Probes, plan: Plan) -> Iterator[Task]:
    for start in range(0, len(probes), plan.batch):
        # Each batch has its own noise; the seed and the row give it back.
        yield Task(probes.rows(start, start + plan.batch), start, plan.seed + start)


def _lockstep(lead: Lead, rivals: tuple[Rival, ...], task: Task, on_step: Callable[[], None]) -> None:
    members: tuple[Lead | Rival, ...] = (lead, *rivals)
    for member in members:
        member.open(task)
    try:
        for step in range(1, max(member.entrant.depth.steps for member in members) + 1):
            ours = lead.step()
            for rival in rivals:
                rival.step(step, ours)
            on_step()
        for member in members:
            member.finish()
    finally:
        for member in members:
            member.close()


def _check_repeatable(reference: Entrant, rivals: tuple[Rival, ...], probes: Probes) -> None:
    """Run the first probes twice through every model; a reference that differs raises, a rival is stopped.

    The noise floor is the reference from another start: running it twice again would tell nothing new.
    """
    task = Task(probes.rows(0, REPEATED_PROBES), 0, 0)
    difference = _difference(reference, task)
    if difference:
        hint = "switch dropout and other randomness off, or use one thread"
        raise Undecided(f"two runs of the reference differ: {difference}", field=reference.name, hint=hint)
    others = [rival for rival in rivals if rival.entrant.model is not reference.model]
    for rival in others:
        with contextlib.suppress(NotMeasured):  # the trace comes upon it again, and tells
            difference = _difference(rival.entrant, task)
            rival.stopped = f"two runs differ: {difference}" if difference else ""


def _difference(entrant: Entrant, task: Task) -> str:
    """Return where two runs differ ("z_H at step 2"), or nothing; what is not finite is for the trace to tell."""
    first, second = task.runner(entrant), task.runner(entrant)
    try:
        for step in range(1, min(REPEATED_STEPS, entrant.depth.steps) + 1):
            once, again = _outputs(first.step().state), _outputs(second.step().state)
            if not all(arrays.finite_probes(array).all() for array in once.values()):
                return ""
            for name in sorted(once):
                if not arrays.same_bits(once[name], again.get(name)):
                    return f"{name} at step {step}"
    finally:
        first.close()
        second.close()
    return ""


def _outputs(state: StepState) -> dict[str, Tensor]:
    heads = {"logits": state.logits, "halt": state.halt}
    return {**state.carry, **{name: value for name, value in heads.items() if value is not None}}
