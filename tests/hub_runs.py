"""One small step graph through `qai_hub` against a simulated hub, for tests: its workload, and what came of it."""

from __future__ import annotations

import functools
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from fakes import some_facts
from onnx_steps import REASONER, reasoner, write

from fidelity_gate.devices import qai_hub_client, qai_hub_jobs, qai_hub_waiting
from fidelity_gate.devices.qai_hub import QaiHub
from fidelity_gate.errors import GateError
from fidelity_gate.files import sha256_hex
from fidelity_gate.records import Depth, DeviceRun, Part, StepFile, Workload

DEPTH = Depth(h_cycles=2, l_cycles=1, steps=4)
S24 = "Samsung Galaxy S24"


def impatient(monkeypatch):
    """Make the gate look often, and repeat its questions at once."""
    monkeypatch.setattr(qai_hub_client, "PAUSES", (0.01, 0.02))
    monkeypatch.setattr(qai_hub_jobs, "AFTER_SILENCE", (0.0, 0.02, 0.1))
    monkeypatch.setattr(qai_hub_waiting, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(qai_hub_waiting, "LONGEST_PAUSE", 0.1)


@functools.cache
def graph(name="step"):
    """Return the step graph, two runs of which make a step, and what its first run is fed."""
    with tempfile.TemporaryDirectory() as folder:
        data = write(Path(folder), REASONER, reasoner(), metadata={"called": name}).read_bytes()
    feeds = {"z": np.zeros((1, 7, 6), np.float32), "inputs": np.arange(7, dtype=np.int32).reshape(1, 7) % 5}
    return StepFile(data, sha256_hex(data), feeds, ("z_out", "logits"), 2)


def workload(step=None, *, compiled=False, tell=None):
    """Return the graph as a device is given it."""
    facts = some_facts("int8", file_format="onnx")
    return Workload(
        "int8", facts, DEPTH, Part.PUZZLE, False, "", {}, graph=step or graph(), compiled=compiled, tell=tell
    )


def phone(**changes):
    """Return the device."""
    return QaiHub(**{"device": S24, "allow_simulated": True, "timeout": 60.0, **changes})


@dataclass(frozen=True)
class Came:
    """What came of a run."""

    run: DeviceRun | None = None
    error: GateError | None = None


def ran(plug=None, work=None):
    """Return the run, or why there is none; nothing but the gate's own errors may come out of a device."""
    try:
        return Came((plug or phone()).run(work or workload()))
    except GateError as error:
        return Came(error=error)


def submissions(hub):
    """Return how many jobs were submitted: requests, whether they were answered or not."""
    return sum(one.method == "POST" and one.path == "jobs/" for one in hub.requests)
