"""Devices that compute in this process (`InferringDevice`), each with an arithmetic or a fault of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from fidelity_gate import gate
from fidelity_gate.errors import NotMeasured
from fidelity_gate.models.onnx_options import Optimization
from fidelity_gate.models.onnx_session import Session
from fidelity_gate.policy.loading import load_policy_text
from fidelity_gate.records import DeviceInference, DeviceJob, DeviceProfile, DeviceRun, UnitShare
from fidelity_gate.zoo.catalog import entry

JOB = DeviceJob("j1", "https://hub.test/jobs/j1", "Phone", "14", "onnx", "npu", "", "2026-01-02T03:04:05Z", False)
PROFILE = DeviceProfile((UnitShare("npu", 9), UnitShare("cpu", 1, types=(("Gather", 1),))))
ON_CPU = DeviceProfile((UnitShare("npu", 4), UnitShare("cpu", 6)))


def bfloat16(array):
    """Return the nearest values that bfloat16 has."""
    return ((array.view(np.uint32) + 0x8000) & np.uint32(0xFFFF0000)).view(np.float32)


def noisy(size):
    """Return an arithmetic that adds Gaussian noise, a share of the root mean square; equal for equal values."""

    def add(array):
        draws = np.random.default_rng(int(np.abs(array).sum() * 1e3) % 2**32).standard_normal(array.shape)
        return (array + size * np.sqrt(np.square(array).mean()) * draws).astype(np.float32)

    return add


ARITHMETIC: Mapping[str, Callable[[Any], Any]] = {
    "as here": lambda array: array,
    "bf16": bfloat16,
    "fp16": lambda array: array.astype(np.float16).astype(np.float32),
    "noise 1 %": noisy(0.01),
    "noise 5 %": noisy(0.05),
    "off": lambda array: array,  # no rewriting of the graph
}


@dataclass(frozen=True)
class Twisted:
    """Runs the very graph, and rounds what comes out; or gives back something that is wrong.

    Attributes:
        arithmetic: a key of ARITHMETIC.
        fault: a key of FAULTS.
    """

    arithmetic: str = "as here"
    fault: str = ""

    units: ClassVar[Mapping[str, str]] = {}
    asked: ClassVar[list] = []  # every request: (workload, feeds, outputs)

    def describe(self):
        return (("processor", "Twisted 1"),)

    def run(self, workload):
        raise AssertionError("steps are not timed")

    def infer(self, workload, feeds, outputs):
        self.asked.append((workload, feeds, tuple(outputs)))
        level = Optimization.OFF if self.arithmetic == "off" else Optimization.ALL
        session, twist = Session(workload.graph.data, level, 1, ""), ARITHMETIC[self.arithmetic]
        entries = [dict(zip(feeds, arrays, strict=True)) for arrays in zip(*feeds.values(), strict=True)]
        rows = [[twist(array) for array in session.run(list(outputs), each)] for each in entries]
        found = {name: [row[place] for row in rows] for place, name in enumerate(outputs)}
        run = DeviceRun(machine=self.describe(), job=replace(JOB, model_digest=workload.graph.digest), profile=PROFILE)
        told = DeviceInference(found, run)
        return FAULTS[self.fault](told) if self.fault else told


def changed(edit):
    """Return a fault that changes one output: the first by name."""

    def apply(told):
        name = min(told.outputs)
        return replace(told, outputs={**told.outputs, name: edit(list(told.outputs[name]))})

    return apply


def _without_one(told):
    return replace(told, outputs={name: told.outputs[name] for name in sorted(told.outputs)[1:]})


def _lost(told):
    raise NotMeasured("the device is not there any more")


def _spoilt(arrays):
    spoilt = arrays[1].copy()
    spoilt.flat[3] = np.nan
    return [arrays[0], spoilt, *arrays[2:]]


FAULTS = {
    "lost": _lost,
    "an output missing": _without_one,
    "one entry less": changed(lambda arrays: arrays[:-1]),
    "one entry more": changed(lambda arrays: [*arrays, arrays[0]]),
    "nothing": lambda told: replace(told, outputs={}),
    "another shape": changed(lambda arrays: [arrays[0][:, :-1], *arrays[1:]]),
    "a transposed shape": changed(lambda arrays: [np.swapaxes(each, -1, -2).copy() for each in arrays]),
    "another type": changed(lambda arrays: [each.astype(np.float64) for each in arrays]),
    "a list": changed(lambda arrays: [each.tolist() for each in arrays]),
    "NaN": changed(_spoilt),
    "another file": lambda told: replace(told, run=replace(told.run, job=replace(told.run.job, model_digest="0" * 64))),
    "another unit": lambda told: replace(told, run=replace(told.run, profile=ON_CPU)),
    "no layers": lambda told: replace(told, run=replace(told.run, profile=DeviceProfile())),
    "no profile": lambda told: replace(told, run=replace(told.run, profile=None)),
}


class Silent:
    """A progress that nobody looks at."""

    def start(self, label, total):
        pass

    def advance(self, count):
        pass

    def done(self):
        pass


POLICY = """\
apiVersion: fidelity-gate/v1
name: on-a-device
reference: {reference}
candidates: {{small: {{path: {candidate}, {candidate_keys}}}}}
inputs: {{use: npz, path: {inputs}, count: {count}}}
recursion: {{h_cycles: {depth.h_cycles}, l_cycles: {depth.l_cycles}, steps: {depth.steps}}}
devices: {{phone: {device}}}
checks:
{checks}
"""


def policy_of(
    name, candidate, checks, *, device="{use: twisted}", count=8, candidate_keys="uncompressed: true", **more
):
    """Return the policy of one zoo model and one candidate; a check is written as (metric, options)."""
    zoo = entry(name)
    lines = [
        f"  c{place}: {{metric: {metric}, options: {{{options}}}, aggregate: mean, require: {{min: 0.01}}}}"
        for place, (metric, options) in enumerate(checks)
    ]
    text = POLICY.format(
        reference=more.get("reference", zoo.weights),
        candidate=candidate,
        candidate_keys=candidate_keys,
        inputs=zoo.evaluation,
        count=count,
        depth=more.get("depth", zoo.depth),
        device=device,
        checks="\n".join(lines),
    )
    return load_policy_text(text, "p.yaml")


def measured(name, candidate, *checks, **more):
    """Return the measurements of checks, in their order, and the whole set."""
    policy = policy_of(name, candidate, checks, **more)
    found = gate.measure(policy, gate.MeasureOptions(check_repeats=False), Silent())
    by_key = {(one.metric, one.options): one for one in found.measurements}
    return [by_key[check.metric, check.options] for check in policy.checks], found
