"""Checks a step graph and runs it once on zeros. Lives in a child process with limits: files nobody may trust."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fidelity_gate.errors import ModelRefused
from fidelity_gate.models.onnx_options import Optimization
from fidelity_gate.models.onnx_session import Session

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fidelity_gate.sandbox import Job, Json

GRAPH_FILE = "step.onnx"


def attempt(job: Job) -> Mapping[str, Json]:
    """Check `step.onnx`, load it, and run it once where `feeds` says with what.

    The request holds `optimization`, and `feeds`: input -> [type, shape, value], or null for no run.

    Raises:
        ModelRefused: the checker, the session or the run refuses it.
    """
    data = (job.inputs / GRAPH_FILE).read_bytes()
    _check(data)
    session = Session(data, Optimization(str(job.request["optimization"])), 1, "")
    feeds: Any = job.request["feeds"]
    if feeds is not None:
        session.run([], {name: np.full(shape, value, dtype) for name, (dtype, shape, value) in feeds.items()})
    return {}


def _check(data: bytes) -> None:
    import onnx

    try:
        onnx.checker.check_model(data)
    except (onnx.checker.ValidationError, ValueError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else "no reason is given"
        raise ModelRefused(f"is not valid ONNX: {first}") from error
