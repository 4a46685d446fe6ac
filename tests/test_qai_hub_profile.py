"""Microseconds, bytes and units of a profile of Qualcomm AI Hub become seconds, bytes and shares, or nothing at all."""

from __future__ import annotations

import copy
import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fidelity_gate.devices.qai_hub_profile import profile_of
from fidelity_gate.errors import NotMeasured
from fidelity_gate.records import UnitShare

# The client's own example, of version 1.8.
SUMMARY = {
    "estimated_inference_time": 3652,
    "estimated_inference_peak_memory": 166_711_296,
    "first_load_time": 1_374_293,
    "warm_load_time": 277_823,
    "compile_time": 0,
    "inference_memory_increase_range": (0, 2_658_496),
    "inference_memory_peak_range": (2_654_208, 39_406_752),
    "all_inference_times": [10_003, 4205],
}
LAYERS = [
    {"name": "a", "type": "MatMul", "compute_unit": "NPU", "execution_time": 30},
    {"name": "b", "type": "MatMul", "compute_unit": "NPU", "execution_time": 10},
    {"name": "c", "type": "Softmax", "compute_unit": "CPU", "execution_time": 5},
    {"name": "d", "type": "Add", "compute_unit": "UNSPECIFIED", "execution_time": 0},
]


def told(**changes):
    summary = {key: value for key, value in {**SUMMARY, **changes}.items() if value != "absent"}
    return {"execution_summary": summary, "execution_detail": copy.deepcopy(LAYERS)}


def test_microseconds_become_seconds_and_bytes_stay_bytes():
    runs, found = profile_of(told(), compiled_bytes=77)
    assert runs == (0.010003, 0.004205)
    assert found.estimated_seconds == 0.003652
    assert (found.first_load_seconds, found.warm_load_seconds) == (1.374293, 0.277823)
    assert found.process_peak_bytes == 166_711_296
    assert found.inference_peak_bytes == (2_654_208, 39_406_752)
    assert found.compiled_bytes == 77


def test_layers_are_counted_and_timed_by_the_unit_that_ran_them():
    _, found = profile_of(told())
    assert found.shares == (
        UnitShare("npu", 2, 0.00004, (("MatMul", 2),)),
        UnitShare("cpu", 1, 0.000005, (("Softmax", 1),)),
        UnitShare("unknown", 1, 0.0, (("Add", 1),)),
    )


def test_where_one_layer_has_no_time_no_unit_has_one():
    profile = told()
    del profile["execution_detail"][1]["execution_time"]
    assert {share.seconds for share in profile_of(profile)[1].shares} == {None}
    assert profile_of({**told(), "execution_detail": []})[1].shares == ()


def test_a_profile_reads_the_same_from_the_file_that_the_client_writes():
    assert profile_of(json.loads(json.dumps(told()))) == profile_of(told())


def test_the_clients_own_conversion_is_read_for_every_version():
    client = pytest.importorskip("qai_hub.client")
    messages = pytest.importorskip("qai_hub.public_api_pb2")
    detail = messages.ProfileDetail(execution_time=3652, after_execution_peak_memory=5000)
    detail.all_execution_times.extend([10_003, 4205])
    for major, minor, runs, memory in ((1, 8, 2, 5000), (1, 1, 0, 5000), (1, 0, 0, 5000), (2, 0, 0, None)):
        detail.major_version, detail.minor_version = major, minor
        times, found = profile_of(client._profile_pb_to_python_dict(detail))
        assert (len(times), found.estimated_seconds, found.process_peak_bytes) == (runs, 0.003652, memory)
    with pytest.raises(NotMeasured, match="no inference time"):
        profile_of(client._profile_pb_to_python_dict(messages.ProfileDetail()))


@pytest.mark.parametrize("absent", [0, None, "absent"])
def test_what_is_0_null_or_absent_was_not_measured(absent):
    changes = dict.fromkeys(
        ("estimated_inference_time", "estimated_inference_peak_memory", "first_load_time", "warm_load_time"), absent
    )
    _, found = profile_of(told(**changes, inference_memory_peak_range=(0, 0) if absent == 0 else absent))
    assert (found.estimated_seconds, found.first_load_seconds, found.warm_load_seconds) == (None, None, None)
    assert (found.process_peak_bytes, found.inference_peak_bytes) == (None, None)


@pytest.mark.parametrize(
    "profile",
    [
        {},
        {"execution_summary": None},
        told(all_inference_times=[], estimated_inference_time=0),
        told(all_inference_times=[4205, 0]),
        told(all_inference_times=[4205, -1]),
        told(all_inference_times=[4205, math.nan]),
        told(all_inference_times=[4205, math.inf]),
        told(all_inference_times=[4205, 10**400]),
        told(all_inference_times=[4205, True]),
        told(all_inference_times=[4205, "4205"]),
        told(all_inference_times=4205),
        told(estimated_inference_time=-5),
        told(first_load_time=math.nan),
        told(estimated_inference_peak_memory="166 MB"),
        told(inference_memory_peak_range=(5, 4)),
        told(inference_memory_peak_range=(5,)),
        told(inference_memory_peak_range=7),
        {**told(), "execution_detail": [{"compute_unit": "NPU", "execution_time": -1}]},
        {**told(), "execution_detail": ["NPU"]},
    ],
    ids=str,
)
def test_a_profile_that_says_nothing_or_cannot_be_is_no_measurement(profile):
    with pytest.raises(NotMeasured):
        profile_of(profile)


@settings(deadline=None)
@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=50))
def test_every_time_is_kept_in_order_as_the_nearest_number_of_seconds(times):
    runs, _ = profile_of(told(all_inference_times=times))
    assert [round(seconds * 1e6) for seconds in runs] == times


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*SUMMARY, "type"]), inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.fixed_dictionaries({}, optional={"execution_summary": JUNK, "execution_detail": JUNK}))
def test_whatever_stands_in_a_profile_is_finite_and_positive_or_not_measured(profile):
    try:
        runs, found = profile_of(profile)
    except NotMeasured:
        return
    figures = [*runs, found.estimated_seconds, found.first_load_seconds, found.process_peak_bytes]
    assert all(figure is None or (math.isfinite(figure) and figure > 0) for figure in figures)
