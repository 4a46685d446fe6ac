"""Figures of devices in every report for people: what they ran on, the job, and whether any device ran at all."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made import measured, measurement, policy

from fidelity_gate.judge import judge
from fidelity_gate.records import (
    Bound,
    Check,
    DeviceJob,
    DeviceRun,
    DeviceSpec,
    DeviceSteps,
    Direction,
    Report,
    StepsWanted,
)
from fidelity_gate.reports.html.page import Html
from fidelity_gate.reports.junit import JUnit
from fidelity_gate.reports.markdown import Markdown
from fidelity_gate.reports.sarif import Sarif
from fidelity_gate.reports.terminal import Terminal

ON = "on qai_hub (Phone, onnx on npu, os 14, job jabc https://hub.example/jobs/jabc/): p50 of 100 runs"
SAID = "SIMULATED, no device ran anything: s24"
REPORTERS = (Terminal(), Html(), JUnit(), Markdown())


def job(simulated):
    return DeviceJob("jabc", "https://hub.example/jobs/jabc/", "Phone", "14", "onnx", "npu", "0" * 64, "", simulated)


def gated(bound=0.03, **device):
    """Return the report of a latency of 10 ms, on a device that said this of the candidate."""
    check = Check("in-time", "latency", Bound(maximum=bound), options=(("device", "s24"),))
    made = policy(check, devices=(DeviceSpec("s24", "qai_hub"),))
    figure = measurement(
        (0.01,),
        metric="latency",
        options=check.options,
        unit="seconds",
        direction=Direction.LOWER,
        per_probe=False,
        curve=(),
        floor_values=(),
        detail=ON,
    )
    data = measured(figure)
    data = replace(data, candidates=(replace(data.candidates[0], **device),))
    return Report(judge(made, data), made, data, "2026-01-02T03:04:05+00:00")


def ran(simulated):
    return {"device_runs": (DeviceRun(device="s24", plug="qai_hub", run_seconds=(0.01,), job=job(simulated)),)}


def computed(simulated):
    steps = DeviceSteps(StepsWanted("s24"), "qai_hub", (), (0,), (1,), entries=1, requests=1, jobs=(job(simulated),))
    return {"device_steps": (steps,)}


@pytest.mark.parametrize("reporter", REPORTERS, ids=lambda one: type(one).__name__)
def test_a_figure_that_passes_says_what_it_ran_on_and_names_its_job(reporter):
    told = reporter.render(gated(**ran(simulated=False))).replace("\\", "")
    assert "jabc" in told
    assert "onnx on npu" in told.replace("\n", " ")
    assert "simulated" not in told.lower()


@pytest.mark.parametrize("of", [ran, computed])
@pytest.mark.parametrize("reporter", [*REPORTERS, Sarif()], ids=lambda one: type(one).__name__)
def test_a_verdict_that_passes_on_a_simulated_device_says_so(reporter, of):
    assert SAID in reporter.render(gated(**of(simulated=True))).replace("\\", "")


def test_the_rows_of_the_page_say_it_too():
    assert "on s24 (simulated)" in Html().render(gated(**ran(simulated=True)))


def test_what_is_blocked_anyway_says_only_why():
    told = Terminal().render(gated(bound=0.001, **ran(simulated=True)))
    assert told.splitlines()[-1].startswith("BLOCKED (exit 1): ")
    assert SAID not in told
