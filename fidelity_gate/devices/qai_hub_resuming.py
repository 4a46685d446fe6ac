"""A job of Qualcomm AI Hub that was left behind, fetched by its id."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fidelity_gate.errors import NotMeasured

if TYPE_CHECKING:
    from collections.abc import Callable

    from fidelity_gate.records import DeviceRun

PATIENCE = 1800.0  # seconds


def resume(
    job_id: str, *, timeout: float = PATIENCE, compiled: bool = False, tell: Callable[[str], None] | None = None
) -> DeviceRun:
    """Return what a job says once it has ended: its times, its profile, and what it really ran on.

    Nothing is submitted. The model's digest is that of the file that was uploaded, which is fetched again to be hashed.

    Args:
        job_id: of a profile job that the gate submitted; also in the line that told of the timeout.
        timeout: seconds to wait.
        compiled: fetch the compiled model too, for its size.
        tell: takes what the wait is waiting for.

    Returns:
        A run whose `machine`, `run_seconds`, `profile` and `job` are known; `step_seconds` and `puzzle_seconds` where
        the model's file says how many runs make them. `device` and `plug` are left empty.

    Raises:
        NotMeasured: no client, no such job, a job that failed (with the service's reason), or a profile that says too
            little.
        OutOfTime: it has not ended yet.
    """
    raise NotMeasured(f"job {job_id} cannot be fetched yet")
