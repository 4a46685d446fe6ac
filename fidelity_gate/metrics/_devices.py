"""What latency and peak_memory share: the run of a device in a record, and how it is labelled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fidelity_gate.errors import NotMeasured
from fidelity_gate.records import Role

if TYPE_CHECKING:
    from fidelity_gate.records import DeviceRun, ModelRecord

FLOAT32_BITS = 32
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
    threads = machine.get("threads")
    counted = None if threads is None else f"{threads} thread{'' if threads == 1 else 's'}"
    widened = "weights widened to float32" if is_widened(record) else None
    facts = (machine.get("processor"), counted, machine.get("runtime"), widened, machine.get("system"))
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
