"""Fidelity on devices: what has to be computed for which metric, and the measurements that follow from it.

Free-running on a device farm costs a job for every step. Made from the reference's own carries, all steps of all probes
are independent of one another, so one job makes them: see `device_comparing`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fidelity_gate import arrays
from fidelity_gate.errors import NotMeasured, PolicyError, Refused, Undecided
from fidelity_gate.measuring import planning, timing
from fidelity_gate.measuring.device_comparing import Order, Work
from fidelity_gate.records import DeviceSteps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fidelity_gate.measuring.planning import Wanted
    from fidelity_gate.measuring.staging import Stage
    from fidelity_gate.protocols import Progress
    from fidelity_gate.records import Measurement, ModelRecord

LABEL = "steps on devices"


def run(
    stage: Stage, wants: tuple[Wanted, ...], progress: Progress, *, allow_code: bool
) -> tuple[Stage, list[Measurement]]:
    """Return the stage with what devices computed of its candidates, and the measurements that follow from it.

    Args:
        stage: what is compared.
        wants: what is asked for.
        progress: told after every candidate.
        allow_code: let a model's file run Python of its owner.

    Raises:
        PolicyError: a metric asks for what the models, or the device, do not have.
    """
    orders = list(_orders(stage, wants, allow_code=allow_code))
    if not orders:
        return stage, []
    found: list[Measurement] = []
    told: dict[int, tuple[DeviceSteps, ...]] = {}
    progress.start(LABEL, len(orders))
    try:
        for done, order in enumerate(orders):
            with arrays.quiet(stage.policy.run.threads):
                telling = timing.Telling(progress, LABEL, len(orders), done)
                steps, measurements = _carried_out(replace(order, tell=telling))
            told[order.index] = (*told.get(order.index, ()), steps)
            found += measurements
            progress.advance(1)
    finally:
        progress.done()
    records = tuple(replace(one, device_steps=told.get(index, ())) for index, one in enumerate(stage.records))
    return replace(stage, records=records), found


def _orders(stage: Stage, wants: tuple[Wanted, ...], *, allow_code: bool) -> Iterator[Order]:
    for index, record in enumerate(stage.records[1:], start=1):
        mine = [want for want in wants if want.stepped and record.name in want.candidates]
        for wanted in dict.fromkeys(want.plug.steps_wanted for want in mine):
            those = tuple(want for want in mine if want.plug.steps_wanted == wanted)
            yield Order(stage, index, wanted, those, allow_code)


def _carried_out(order: Order) -> tuple[DeviceSteps, list[Measurement]]:
    """Return what the device computed and what it comes to; why there is nothing is kept, and told by every metric."""
    work = Work(order)
    try:
        told = work.done()
    except PolicyError:
        raise
    except (Refused, Undecided) as error:
        told = DeviceSteps(order.wanted, order.device.use, gap=str(error))
    return told, [_measurement(want, order.record, work, told) for want in order.wants]


def _measurement(want: Wanted, candidate: ModelRecord, work: Work, told: DeviceSteps) -> Measurement:
    if told.gap:
        return planning.not_run(want, candidate.name, f"{told.wanted.device} ({told.plug}): {told.gap}")
    try:
        measured = want.plug.measured(work.readings(want), told, candidate)
    except NotMeasured as error:
        return planning.not_run(want, candidate.name, str(error))
    some = told.rows if len(told.rows) < len(work.order.stage.probes) else ()
    return planning.from_steps(want, candidate.name, replace(measured, rows=some))
