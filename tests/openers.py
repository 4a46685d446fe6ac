"""Models that a device opens in a process of its own, made of numpy alone: what `Workload.opener` names in tests."""

from __future__ import annotations

import json
import os
import time

import numpy as np
from fakes import DEPTH, FakeRecursion, some_probes

from fidelity_gate.errors import ModelRefused

MIB = 1 << 20


def plain(job, threads):
    return FakeRecursion(), some_probes(1), DEPTH


def shallow(job, threads):
    return FakeRecursion(extra_steps=1), some_probes(1), DEPTH


def asleep(job, threads):
    time.sleep(60)


def wants_three_threads(job, threads):
    """Refuses unless three threads are said everywhere where a library could look for them."""
    said = [os.environ.get(f"{name}_NUM_THREADS") for name in ("OMP", "MKL", "OPENBLAS")]
    if threads != 3 or said != ["3"] * 3:
        raise ModelRefused(f"is to run on {threads} threads, and the environment says {said}")
    return plain(job, threads)


def large(job, threads):
    """Opens a model of 96 MiB with a library that nobody else imports."""
    import fidelity_gate.record_json  # noqa: F401

    recursion = FakeRecursion()
    recursion.weights = np.ones(96 * MIB // 8)
    return recursion, some_probes(1), DEPTH


def from_files(job, threads):
    told = json.loads((job.inputs / "told.json").read_bytes())
    return FakeRecursion(seed=told["seed"]), some_probes(1), DEPTH


class SlowToAnswer(FakeRecursion):
    def run(self, batch, depth, **noise):
        for state in super().run(batch, depth, **noise):
            time.sleep(0.05)
            yield state


def slow_to_answer(job, threads):
    """Opens a model that waits far longer than it computes."""
    return SlowToAnswer(), some_probes(1), DEPTH
