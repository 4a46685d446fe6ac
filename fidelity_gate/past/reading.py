"""What a policy says of the past -> records.Past, for one judgement."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from fidelity_gate.comparable import place_of
from fidelity_gate.past import baseline_file, history_file
from fidelity_gate.past.adding import job_of, run_id
from fidelity_gate.records import Past, PastPlace

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fidelity_gate.records import MeasurementSet, PastRun, Policy

KEPT = 50  # runs of one candidate on one device that are kept for pictures; those that count are kept in any case


def refuse_unreadable(policy: Policy) -> None:
    """Raise what reading the past would raise, before hours are spent on a run that needs it.

    Raises:
        Refused: there is no baseline, or one of the files is not what it should be.
    """
    if policy.baseline is not None:
        baseline_file.read(policy.baseline.path)
    if policy.history is not None:
        history_file.read(policy.history.path)


def past_of(policy: Policy, measured: MeasurementSet) -> Past | None:
    """Return what a run is held against; None where its policy says nothing of the past.

    Raises:
        Refused: there is no baseline, or one of the files is not what it should be.
    """
    if policy.baseline is None and policy.history is None:
        return None
    baseline = None if policy.baseline is None else baseline_file.read(policy.baseline.path)
    runs, notes = ((), ()) if policy.history is None else history_file.read(policy.history.path)
    earlier = _earlier(runs, policy, measured) if policy.history is not None else ()
    last = policy.history.last if policy.history is not None else 0
    return Past(baseline, _kept(earlier, last), notes)


def _earlier(runs: Iterable[PastRun], policy: Policy, measured: MeasurementSet) -> tuple[PastRun, ...]:
    """Return the runs of this policy's candidates in the places of this run: never this run, nor its jobs, again."""
    own = run_id(measured)
    jobs = {job for record in measured.candidates for run in record.device_runs if (job := job_of(run))}
    places = {
        (record.name, record.depth, place_of(run)) for record in measured.candidates for run in record.device_runs
    }
    return tuple(
        run
        for run in runs
        if run.policy_name == policy.name
        and (run.candidate, run.depth, PastPlace(run.device, run.use, run.where)) in places
        and run.run_id != own
        and run.job not in jobs
    )


def _kept(runs: tuple[PastRun, ...], last: int) -> tuple[PastRun, ...]:
    """Return the newest runs of every series, and older ones as far as a number needs them: a verdict carries them."""
    kept: list[PastRun] = []
    seen: Counter[object] = Counter()
    for run in reversed(runs):
        series = (run.candidate, run.depth, run.device, run.where)
        counted = [(series, one.metric, one.options, one.aggregate) for one in run.figures if not one.regressed]
        if seen[series] < KEPT or any(seen[figure] < last for figure in counted):
            kept.append(run)
            seen.update([series, *counted])
    return tuple(reversed(kept))
