"""What the tests of door 2 share: one policy, what would be measured for it, and a function that runs pytest on it."""

from __future__ import annotations

import email.parser  # noqa: F401
from dataclasses import fields, replace
from importlib.metadata import entry_points

import filelock  # noqa: F401
import pytest
import rich.box
import rich.console
import rich.progress
import rich.table  # noqa: F401
from made import measured, measurement, sram

import fidelity_gate.inputs.npz
import fidelity_gate.judge
import fidelity_gate.measurements_file
import fidelity_gate.policy.loading
import fidelity_gate.pytest_parts.collecting
import fidelity_gate.pytest_parts.guarding
import fidelity_gate.reports.terminal
import fidelity_gate.verbs.orders
import fidelity_gate.verbs.progress
import fidelity_gate.verbs.stages
import fidelity_gate.zoo.paths  # noqa: F401
from fidelity_gate import gate
from fidelity_gate.metrics.carry_fidelity import CarryFidelity
from fidelity_gate.metrics.files import SramPeak

# Everything the plugin imports is imported above: pytester forgets what its sessions import, again and again.
PLUGIN = "fidelity_gate.pytest_plugin"
INSTALLED = any(point.value == PLUGIN for point in entry_points(group="pytest11"))
POLICY = """\
apiVersion: fidelity-gate/v1
name: sudoku-release
reference: ref.safetensors
candidates: {int8: int8.safetensors, int4: int4.safetensors}
inputs: {use: npz, path: eval.npz}
recursion: {h_cycles: 2, l_cycles: 2, steps: 3}
minimum_probes: 2
targets: [soc-8mb]
checks:
  carry-fidelity: {metric: carry_fidelity, aggregate: mean, require: {min: 0.97}}
  fits: {metric: sram_peak, require: {max: target.sram}}
  worst: {metric: carry_fidelity, aggregate: worst, require: {min: 0.985}, severity: warn}
  quiet: {metric: carry_fidelity, aggregate: median, require: {min: 0.99}, severity: off}
"""
NAMES = [
    "carry-fidelity[int8]",
    "carry-fidelity[int4]",
    "fits[int8-soc-8mb]",
    "fits[int4-soc-8mb]",
    "worst[int8]",
    "worst[int4]",
    "gate.verdict",
]


def defaults(metric):
    return tuple(sorted((field.name, field.default) for field in fields(metric)))


def data(int4: float = 0.98, **changes):
    """Return what the gate would measure for the policy above."""
    found = [
        measurement((0.98, 0.99), options=defaults(CarryFidelity)),
        measurement((int4, int4), candidate="int4", options=defaults(CarryFidelity)),
        replace(sram(1000.0), options=defaults(SramPeak)),
        replace(sram(1000.0, candidate="int4"), options=defaults(SramPeak)),
    ]
    return measured(*found, candidates=("int8", "int4"), **changes)


class Measuring:
    """Stands in for the conductor and counts how often it is asked."""

    def __init__(self) -> None:
        self.result = data()
        self.later = None  # what the calls after the first one give, where that differs
        self.calls = 0

    def __call__(self, policy, options, progress):
        self.calls += 1
        if self.calls > 1 and self.later is not None:
            return self.later
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


@pytest.fixture
def measuring(monkeypatch: pytest.MonkeyPatch) -> Measuring:
    fake = Measuring()
    monkeypatch.setattr(gate, "measure", fake)
    return fake


@pytest.fixture
def session(pytester: pytest.Pytester):
    """Return a function that runs pytest in a folder with one policy."""
    (pytester.path / "release.gate.yaml").write_text(POLICY)

    def run(*args: str, cache: bool = False, **how: bool) -> pytest.RunResult:
        own = () if INSTALLED else ("-p", PLUGIN)
        # Hypothesis would be imported anew in every session. This project's own sessions turn warnings into errors, and
        # warning filters are the process's.
        quiet = ("-p", "no:hypothesispytest", "-p", "no:timeout", "-W", "default")
        without = () if cache else ("-p", "no:cacheprovider")
        return pytester.runpytest_inprocess(*own, *quiet, *without, *args, **how)

    return run
