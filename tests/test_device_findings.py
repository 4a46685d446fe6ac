"""Findings of profiles: compressed and yet slower, or on the CPU, with reasons that the records hold and no others."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from saved_profiles import profile, published

from fidelity_gate.device_findings import ELSEWHERE, SLOWER, Ran, is_float, is_quantized, off_unit, slowdown
from fidelity_gate.device_records.comparing import findings, float_twin
from fidelity_gate.device_records.opening import read_profiles
from fidelity_gate.policy.targets import SHIPPED
from fidelity_gate.records import DeviceProfile, Target, UnitShare
from fidelity_gate.shipped import policy_path

HEXAGON = SHIPPED["hexagon-npu"]
FLOAT = Ran("net float", "float", 0.010, (UnitShare("npu", 900),), 97, 97)
INT8 = Ran("net int8", "int8", 0.025, (UnitShare("npu", 900),), 97, 97)
times = st.floats(1e-6, 1e3)


@pytest.mark.parametrize("text", ["float", "fp32", "FP16", "bfloat16", "float32"])
def test_floats_are_floats_and_not_quantized(text):
    assert is_float(text)
    assert not is_quantized(text)


@pytest.mark.parametrize("text", ["int8", "w8a8", "w8a16", "W4A16", "uint8", "4.25-bit", "w4"])
def test_integers_are_quantized_and_no_floats(text):
    assert is_quantized(text)
    assert not is_float(text)


@pytest.mark.parametrize("text", ["", "mixed", "w8a8-ish", "default", "8"])
def test_what_nobody_can_tell_is_neither(text):
    assert not is_float(text)
    assert not is_quantized(text)


@settings(deadline=None)
@given(times, times)
def test_there_is_a_finding_exactly_where_the_quantized_one_is_slower(ours, theirs):
    found = slowdown(replace(INT8, seconds=ours), replace(FLOAT, seconds=theirs))
    assert (found is not None) == (ours > theirs)


@pytest.mark.parametrize(
    ("ours", "twin"),
    [
        (INT8, replace(FLOAT, precision="w8a8")),
        (replace(INT8, precision="fp16"), FLOAT),
        (replace(INT8, precision=""), FLOAT),
        (replace(INT8, seconds=None), FLOAT),
        (INT8, replace(FLOAT, seconds=None)),
    ],
)
def test_nothing_is_said_where_precision_or_time_of_either_is_not_known(ours, twin):
    assert slowdown(ours, twin, (HEXAGON,)) is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"shares": (UnitShare("npu", 828), UnitShare("cpu", 72))}, "72 of its 900 layers run on the CPU, none of the"),
        (
            {"shares": (UnitShare("npu", 828, 0.005), UnitShare("cpu", 72, 0.015))},
            "none of the float one's, for 75 % of the layers' time",
        ),
        ({"shares": (UnitShare("npu", 1300),)}, "it has 400 layers more than the float one (1,300 against 900)"),
        (
            {"shares": (UnitShare("npu", 900, None, (("MatMul", 90), ("QuantizeLinear", 270), ("Cast", 30))),)},
            "at least 300 of its 900 layers (33.33 %) only convert between formats (Cast, QuantizeLinear)",
        ),
        ({"tokens": 97}, "a step has 97 tokens, and static INT8 pays from 400 on hexagon-npu"),
        ({"smallest_side": 97}, "its smallest matrices have a side of 97, under the tile of 128 of hexagon-npu"),
        ({"shares": ()}, "how much of it quantizes and dequantizes is not known"),
    ],
)
def test_every_reason_is_told_where_the_records_hold_it_and_only_there(changes, reason):
    plain = replace(INT8, tokens=916, smallest_side=512)
    without, found = (slowdown(one, FLOAT, (HEXAGON,)) for one in (plain, replace(plain, **changes)))
    assert without is not None
    assert without.reasons == ("nothing in the records says why",)
    assert found is not None
    assert len(found.reasons) == 1
    assert reason in found.reasons[0]


def test_a_target_that_wants_nothing_and_a_float_twin_with_as_many_cpu_layers_explain_nothing():
    on_cpu = (UnitShare("npu", 828), UnitShare("cpu", 72))
    found = slowdown(replace(INT8, shares=on_cpu), replace(FLOAT, shares=on_cpu), (Target("phone"),))
    assert found is not None
    assert found.reasons == ("nothing in the records says why",)


# ---------------------------------------------------------------- layers on the CPU


def test_layers_on_the_cpu_are_a_finding_where_they_were_meant_for_another_unit():
    mixed = replace(INT8, shares=(UnitShare("npu", 99), UnitShare("cpu", 1, None, (("Gather", 1),))))
    found = off_unit(mixed, "npu")
    assert found is not None
    assert found.message == "net int8: 1 of 100 layers runs on the CPU, and it was compiled for the NPU"
    assert found.reasons == ("there are 1 Gather among them",)
    assert off_unit(mixed, "cpu") is None
    assert off_unit(INT8, "npu") is None
    assert off_unit(mixed, "") is not None  # the other layers' unit tells what was meant


def test_all_layers_on_the_cpu_are_a_finding_only_where_something_says_that_they_were_not_meant_to_be():
    all_cpu = replace(INT8, shares=(UnitShare("cpu", 42),), seconds=0.013)
    assert off_unit(all_cpu, "") is None
    assert off_unit(all_cpu, "", [("tflite", replace(all_cpu, seconds=0.02))]) is None
    found = off_unit(all_cpu, "", [("tflite", replace(INT8, shares=(UnitShare("npu", 41),), seconds=0.0015))])
    assert found is not None
    assert found.message == "net int8: all 42 layers run on the CPU"
    assert found.reasons == ("tflite on the same device runs all 41 on the NPU, in 1.5 ms against 13 ms",)


# ---------------------------------------------------------------- among saved profiles


@pytest.mark.parametrize(
    "changes",
    [
        {"device": "Samsung Galaxy S22 5G"},
        {"os": "15"},
        {"runtime": "tflite"},
        {"model": "maze"},
        {"depth": replace(profile().depth, h_cycles=1)},
        {"simulated": True},
        {"precision": "w8a16"},
    ],
)
def test_a_twin_differs_in_nothing_but_its_precision(changes):
    twin = profile(precision="float", variant="reference")
    assert float_twin(profile(), (profile(), twin)) == twin
    assert float_twin(profile(), (profile(), replace(twin, **changes))) is None


def test_of_several_twins_the_newest_counts():
    old, new = (profile(precision="float", measured=day) for day in ("2026-04-01", "2026-04-02"))
    assert float_twin(profile(), (new, old)) == new


def test_timed_runs_are_compared_by_their_median_and_rows_by_their_one_figure():
    twin = profile(precision="float", run_seconds=(0.001, 0.0119, 9.0))
    assert list(findings((profile(run_seconds=(0.0118,)),), (twin,))) == []
    (found,) = findings((profile(run_seconds=(0.012,)),), (twin,))
    assert found.kind == SLOWER
    row = published(precision="fp32", profile=DeviceProfile(estimated_seconds=0.01138))
    (found,) = findings((published(),), (row,), (HEXAGON,))
    assert "2.39 times as slow as fp32 (27.23 ms against 11.38 ms a run)" in found.message


def test_table_11_says_that_int8_slows_sudoku_down_on_the_phones_and_nothing_else():
    known, _ = read_profiles(policy_path("examples/trm-table11.json"))
    found = list(findings(known, known, (HEXAGON,)))
    assert [one.message.removeprefix("TRM Sudoku-Extreme int8 on ") for one in found] == [
        "Samsung Galaxy S24: 2.39 times as slow as fp32 (27.23 ms against 11.38 ms a run)",
        "Samsung Galaxy S22 5G: 2.64 times as slow as fp32 (79.68 ms against 30.17 ms a run)",
    ]
    for one in found:
        assert "97 tokens" in one.reasons[0]
        assert "a side of 97" in one.reasons[1]
        assert "is not known" in one.reasons[2]


def test_the_published_silent_fallback_comes_out_as_a_finding(shared):
    known, _ = read_profiles(shared / "data" / "aihub_profiles.json")
    assert len(known) == 159
    found = [one for one in findings(known, known, (HEXAGON,)) if "resnet18 w8a8 on Dragonwing RB3" in one.name]
    (fallback,) = found
    assert fallback.kind == ELSEWHERE
    assert "all 42 layers run on the CPU" in fallback.message
    assert "tflite on the same device runs all 41 on the NPU, in 1.481 ms against 13.76 ms" in fallback.reasons[0]


def test_the_worst_published_slowdown_is_told_with_its_layers_on_the_cpu(shared):
    known, _ = read_profiles(shared / "data" / "aihub_profiles.json")
    vit = [one for one in known if (one.model, one.precision, one.device) == ("vit", "w8a8", "Samsung Galaxy S24")]
    found = [one for one in findings(vit, known, (HEXAGON,)) if one.kind == SLOWER]
    assert len(found) == 1
    assert "25 times as slow as float (226.1 ms against 9.059 ms a run)" in found[0].message
    assert found[0].reasons[0] == "72 of its 1,302 layers run on the CPU, none of the float one's"
