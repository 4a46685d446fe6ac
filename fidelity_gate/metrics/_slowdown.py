"""What latency says of a compressed model that is slower than its float reference on the same device, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fidelity_gate.device_findings import Ran, slowdown
from fidelity_gate.device_records.making import precision_of, smallest_side
from fidelity_gate.device_records.saved import SMALLEST_SIDE, TOKENS
from fidelity_gate.errors import NotMeasured
from fidelity_gate.metrics._devices import run_on
from fidelity_gate.records import Part

if TYPE_CHECKING:
    from collections.abc import Callable

    from fidelity_gate.records import DeviceRun, ModelRecord


def slower(
    reference: ModelRecord,
    candidate: ModelRecord,
    device: str,
    part: Part,
    read: Callable[[DeviceRun, ModelRecord], float],
) -> str:
    """Return the finding that the candidate is slower than the reference; "" where it is not, or nobody can tell.

    Args:
        reference: in floats; otherwise nothing is said.
        candidate: the reasons look at its profile, its tokens and matrices, and the targets that it is for.
        device: that both ran on, by its name in the policy.
        part: what is compared; steps of other cycles are no same step.
        read: the seconds of a run; raises NotMeasured.
    """
    depths = [(one.depth.h_cycles, one.depth.l_cycles) for one in (reference, candidate)]
    if part is Part.STEP and depths[0] != depths[1]:
        return ""
    try:
        ours, twin = (_ran(one, run_on(one, device), part, read) for one in (candidate, reference))
    except NotMeasured:
        return ""
    found = slowdown(ours, twin, candidate.targets)
    return f"FINDING {found.kind}: {found}" if found else ""


def _ran(record: ModelRecord, run: DeviceRun, part: Part, read: Callable[[DeviceRun, ModelRecord], float]) -> Ran:
    geometry, machine = record.facts.geometry, dict(run.machine)
    # What was published is of another model, and its source may say what that one is like.
    tokens, side = (value if isinstance(value := machine.get(key), int) else None for key in (TOKENS, SMALLEST_SIDE))
    return Ran(
        name=record.name,
        precision=precision_of(record.facts),
        seconds=read(run, record),
        shares=run.profile.shares if run.profile else (),
        tokens=tokens or (geometry.tokens if geometry else None),
        smallest_side=side or smallest_side(record.facts),
        what=part.value,
    )
