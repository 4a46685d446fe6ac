"""What metrics of devices share: the run of a device in a record, whether to believe it, and how it is labelled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fidelity_gate.errors import NotMeasured
from fidelity_gate.records import Role
from fidelity_gate.units import format_value

if TYPE_CHECKING:
    from collections.abc import Callable

    from fidelity_gate.records import DeviceProfile, DeviceRun, ModelRecord, UnitShare

FLOAT32_BITS = 32
SIMULATED = "SIMULATED: no device ran it"
LLM_INT8 = "LLM.int8"  # the one encoding of an artifact that computes with the integers it stores


def run_on(record: ModelRecord, device: str) -> DeviceRun:
    """Return what the device of this name said of a model.

    Raises:
        NotMeasured: it was not asked, or could not say.
    """
    found = next((run for run in record.device_runs if run.device == device), None)
    if found is None:
        what = f"nothing ran on the device '{device}'" if device else "names no device"
        raise NotMeasured(what, hint="options: {device: NAME}, NAME from the policy's devices:")
    if found.gap:
        raise NotMeasured(f"{device} ({found.plug}): {found.gap}")
    return found


def label(run: DeviceRun, record: ModelRecord) -> str:
    """Return `on host-cpu (Intel Xeon, 1 thread, torch 2.13.0, Linux 6.1)`; no figure goes without it."""
    machine = dict(run.machine)
    job = run.job
    threads = machine.get("threads")
    counted = None if threads is None else f"{threads} thread{'' if threads == 1 else 's'}"
    widened = "weights widened to float32" if job is None and is_widened(record) else None
    runtime = f"{job.runtime} on {job.compute_unit}" if job else machine.get("runtime")
    simulated = SIMULATED if job and job.simulated else None
    where = f"job {job.id} {job.url}".strip() if job and job.id else None
    facts = (simulated, machine.get("processor"), counted, runtime, widened, machine.get("system"), where)
    said = ", ".join(str(fact) for fact in facts if fact)
    return f"on {run.plug} ({said})" if said else f"on {run.plug}"


def is_widened(record: ModelRecord) -> bool:
    """Return whether a model computes in float32 although it stores less: integers save it no time here.

    Graphs, and modules of the owner's own, compute as they say.
    """
    if not record.facts.family or record.facts.file_format == "onnx":
        return False
    block = (tensor for tensor in record.facts.tensors if tensor.role is Role.BLOCK)
    return any(tensor.bits < FLOAT32_BITS and LLM_INT8 not in tensor.stored_as for tensor in block)


def profile_of(run: DeviceRun) -> DeviceProfile:
    """Return what a device's profile says; raises NotMeasured where the device gives none."""
    if run.profile is None:
        raise NotMeasured(f"{run.device} ({run.plug}) gives no profile")
    return run.profile


def shares_of(run: DeviceRun) -> tuple[UnitShare, ...]:
    """Return what each compute unit did; raises NotMeasured where the profile does not say."""
    shares = profile_of(run).shares
    if not sum(share.layers for share in shares):
        raise NotMeasured(f"the profile of {run.device} does not say which layers ran where")
    return shares


def refuse_elsewhere(run: DeviceRun) -> None:
    """Raise NotMeasured where a job was to use one compute unit, and most of it ran on another, or nobody knows."""
    if run.job is None or run.job.anywhere:
        return
    shares, unit = shares_of(run), profile_of(run).main_unit
    if not run.job.allows(unit):
        what = f"was to run on the {run.job.compute_unit}, and ran on the {unit}: {spread_over(shares)}"
        raise NotMeasured(what, hint="npu_share says how much fell back; other operators, or compute_unit: all")


def fallback(run: DeviceRun) -> str:
    """Return what fell back to another unit than was asked for, with the types of its layers; "" for nothing."""
    if run.job is None or run.profile is None or all(run.job.allows(share.unit) for share in run.profile.shares):
        return ""
    return f"FALLBACK from the {run.job.compute_unit}: {spread_over(run.profile.shares)}"


def spread_over(shares: tuple[UnitShare, ...]) -> str:
    """Return `npu 1230 of 1302 layers, cpu 72 of 1302 layers (Softmax 40, Gather 32)`."""
    total = sum(share.layers for share in shares)
    first = max(shares, key=lambda share: share.layers)
    return ", ".join(_share(share, total, types=share is not first) for share in shares)


def _share(share: UnitShare, total: int, *, types: bool) -> str:
    kinds = ", ".join(f"{name} {count}" for name, count in share.types) if types else ""
    return f"{share.unit} {share.layers} of {total} layers{f' ({kinds})' if kinds else ''}"


def beside(reference: ModelRecord, device: str, unit: str, read: Callable[[DeviceRun], float]) -> str:
    """Return what the same figure is of the reference on the same device, or why that is not known."""
    try:
        found = read(run_on(reference, device))
    except NotMeasured as error:
        return not_beside(error)
    return f"reference {format_value(found, unit)}"


def not_beside(error: NotMeasured) -> str:
    """Return why there is no figure of the reference, without how to export it: that stands in every line."""
    return f"reference not measured: {error.what.partition(' (export it first')[0]}"
