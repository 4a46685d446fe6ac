"""What devices say of the compared models: each model runs alone, in a process of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fidelity_gate import registry
from fidelity_gate.errors import PolicyError, Refused, Undecided
from fidelity_gate.measuring import planning
from fidelity_gate.measuring.reopening import packed
from fidelity_gate.measuring.step_files import step_file
from fidelity_gate.records import DeviceRecord, DeviceRun, Evidence, Part, Workload

if TYPE_CHECKING:
    from fidelity_gate.measuring.planning import Wanted
    from fidelity_gate.measuring.staging import Stage
    from fidelity_gate.protocols import Device, Progress
    from fidelity_gate.records import DeviceSpec, Measurement, ModelRecord, Policy

OPENER = "fidelity_gate.measuring.reopening:opened"
LABEL = "timing"


def described(policy: Policy, wants: tuple[Wanted, ...]) -> tuple[DeviceRecord, ...]:
    """Return the policy's devices and the machines behind them, where a check needs one; nothing runs."""
    if not any(want.plug.evidence is Evidence.DEVICE for want in wants):
        return ()
    return tuple(DeviceRecord(one.name, one.use, one.options, _plug(one).describe()) for one in policy.devices)


def run(
    stage: Stage, wants: tuple[Wanted, ...], progress: Progress, *, allow_code: bool
) -> tuple[Stage, list[Measurement]]:
    """Return the stage with what devices said of its models, and the measurements that follow from it.

    The reference runs on every device too, to be shown beside; no measurement depends on it.

    Args:
        stage: what is compared.
        wants: what is asked for.
        progress: told after every model.
        allow_code: let a model's file run Python of its owner.
    """
    asked = _of_devices(wants)
    if not asked:
        return stage, []
    timed = replace(stage, records=_timed(stage, asked, progress, allow_code=allow_code))
    return timed, [
        planning.from_records(want, timed.reference, candidate)
        for candidate in timed.candidates
        for want in asked
        if candidate.name in want.candidates
    ]


def _of_devices(wants: tuple[Wanted, ...]) -> tuple[Wanted, ...]:
    return tuple(want for want in wants if want.plug.evidence is Evidence.DEVICE and not want.stepped)


def _timed(stage: Stage, asked: tuple[Wanted, ...], progress: Progress, *, allow_code: bool) -> tuple[ModelRecord, ...]:
    """Return the records with a run for every device that is asked about them."""
    orders = [
        (device, index)
        for device in stage.policy.devices
        for index, record in enumerate(stage.records)
        if any(_is_about(want, device, stage, record) for want in asked)
    ]
    found: dict[int, tuple[DeviceRun, ...]] = {}
    progress.start(LABEL, len(orders))
    try:
        for done, (device, index) in enumerate(orders):
            here = tuple(want for want in asked if want.plug.device == device.name)
            workload = replace(_workload(stage, index, here, allow_code=allow_code), base=device.base)
            workload = replace(workload, tell=Telling(progress, LABEL, len(orders), done))
            found[index] = (*found.get(index, ()), _run(device, workload, stage, index))
            progress.advance(1)
    finally:
        progress.done()
    return tuple(replace(record, device_runs=found.get(index, ())) for index, record in enumerate(stage.records))


def _is_about(want: Wanted, device: DeviceSpec, stage: Stage, record: ModelRecord) -> bool:
    return want.plug.device == device.name and (record is stage.reference or record.name in want.candidates)


def _workload(stage: Stage, index: int, asked: tuple[Wanted, ...], *, allow_code: bool) -> Workload:
    """Return what a device is to run for all that is asked of it: every model the same, so that they compare."""
    policy, record = stage.policy, stage.records[index]
    spec = (policy.reference, *policy.candidates)[index]
    parts = {want.plug.part for want in asked}
    return Workload(
        name=record.name,
        facts=record.facts,
        depth=record.depth,
        part=next((part for part in (Part.PUZZLE, Part.STEP) if part in parts), None),
        memory=any(want.plug.memory for want in asked),
        compiled=any(getattr(want.plug, "compiled", False) for want in asked),
        opener=OPENER,
        files=packed(spec, record, stage.probes, policy.run, allow_code=allow_code),
    )


def _run(spec: DeviceSpec, workload: Workload, stage: Stage, index: int) -> DeviceRun:
    """Return what the device says; why it says nothing is kept, and is told by whatever wanted a number.

    Raises:
        PolicyError: the policy names what the device does not have, whatever the model is.
    """
    plug = _plug(spec)
    try:
        if getattr(plug, "runs_graphs", False):
            record, policy = stage.records[index], stage.policy
            graph = step_file(stage.opened[index], record.depth, stage.probes, policy.run)
            workload = replace(workload, graph=graph)
        told = plug.run(workload)
    except PolicyError as error:
        field = ".".join(part for part in (f"devices.{spec.name}", error.field) if part)
        raise PolicyError(error.what, where=str(spec.place), field=field, hint=error.hint) from error
    except (Refused, Undecided) as error:
        told = DeviceRun(gap=str(error))
    return replace(told, device=spec.name, plug=spec.use)


@dataclass(frozen=True, slots=True)
class Telling:
    """Says beside a stage's name what a long wait is for."""

    progress: Progress
    label: str
    total: int
    done: int

    def __call__(self, what: str) -> None:
        """Show it."""
        self.progress.done()
        self.progress.start(f"{self.label}: {what}", self.total)
        self.progress.advance(self.done)


def _plug(spec: DeviceSpec) -> Device:
    where, field = str(spec.place), f"devices.{spec.name}"
    plug: Device = registry.build("devices", spec.use, spec.options, where=where, field=field)
    return plug
