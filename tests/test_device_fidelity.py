"""Steps on a device: sent as one request, held against the reference's own, beside the same steps made here.

Most devices here compute in this process (`inferring.Twisted`); `host-cpu` and the simulated AI Hub are real ones.
"""

from __future__ import annotations

import hashlib

import numpy as np
import onnx
import pytest
from exported import exported
from hypothesis import given
from hypothesis import strategies as st
from inferring import FAULTS, Twisted, measured, policy_of
from onnx import numpy_helper

import fidelity_gate.devices
from fidelity_gate import measurements_file
from fidelity_gate.errors import PolicyError
from fidelity_gate.judge import judge
from fidelity_gate.measuring import device_comparing
from fidelity_gate.measuring.device_driving import evenly
from fidelity_gate.metrics.device_fidelity_predicted import DeviceFidelityPredicted
from fidelity_gate.metrics.device_step_fidelity import DeviceStepFidelity
from fidelity_gate.records import MeasureStatus, Outcome
from fidelity_gate.zoo.catalog import entry

ON = "device: phone"
SMALL, TWO_RUNS, EIGHT = "trm-addition", "hrm-sudoku", "trm-attention-sudoku"


@pytest.fixture(autouse=True)
def _twisted(monkeypatch):
    monkeypatch.setitem(fidelity_gate.devices.TABLE, "twisted", "inferring:Twisted")
    Twisted.asked.clear()


@pytest.fixture(scope="module")
def coarse(tmp_path_factory):
    """Return exports whose matrices have a few values only: candidates that differ from their references."""
    folder, made = tmp_path_factory.mktemp("coarse"), {}

    def of(name, **kw):
        key = (name, *sorted(kw.items()))
        if key not in made:
            model = onnx.load(exported(name, **kw))
            for tensor in model.graph.initializer:
                array = numpy_helper.to_array(tensor)
                if array.dtype == np.float32 and array.ndim == 2:
                    scale = np.abs(array).max() / 24
                    tensor.CopyFrom(numpy_helper.from_array((np.round(array / scale) * scale), tensor.name))
            made[key] = folder / f"{name}-{len(made)}.onnx"
            made[key].write_bytes(model.SerializeToString())
        return made[key]

    return of


def values(measurement):
    assert measurement.status is MeasureStatus.MEASURED, measurement.reason
    return np.array(measurement.values)


# ---------------------------------------------------------------- what is measured


@pytest.mark.parametrize("kind", [{"batch": 1}, {"batch": None}, {"batch": 1, "unit": "act-step"}])
def test_forced_steps_of_a_device_that_computes_as_here_are_the_local_step_fidelity(coarse, kind):
    found, whole = measured(
        TWO_RUNS,
        coarse(TWO_RUNS, **kind),
        ("device_step_fidelity", f"{ON}, stream: all"),
        ("step_fidelity", "stream: all"),
        ("device_step_fidelity", f"{ON}, at: worst, tokens: worst"),
        ("step_fidelity", "at: worst, tokens: worst"),
    )
    for there, here in (found[:2], found[2:]):
        assert 0.3 < values(here).mean() < 0.9999
        assert np.abs(values(there) - values(here)).max() < 1e-5
        assert [point.step for point in there.curve] == list(range(1, 9))
        assert there.curve == there.curve_here
    assert ", ".join(f"{p.step} {p.mean:.4f} ({p.mean:.4f})" for p in found[0].curve) in found[0].detail
    assert "the device adds +0;" in found[0].detail
    # All steps of all probes at once; a step of two H-cycles takes the second run from what the first gave.
    runs = 1 if "unit" in kind else 2
    assert [len(next(iter(feeds.values()))) for _, feeds, _ in Twisted.asked] == [8 * 8] * runs
    (steps,) = whole.candidates[0].device_steps
    assert (steps.entries, steps.requests, len(steps.jobs), steps.rows) == (64 * runs, runs, runs, tuple(range(8)))


def test_every_entry_is_one_run_of_the_graph_in_its_own_shapes_from_the_reference_s_carry(coarse):
    measured(EIGHT, coarse(EIGHT, unit="act-step"), ("device_step_fidelity", ON), count=3)
    ((workload, feeds, outputs),) = Twisted.asked
    graph = onnx.load(exported(EIGHT, unit="act-step")).graph
    shapes = {each.name: tuple(d.dim_value for d in each.type.tensor_type.shape.dim) for each in graph.input}
    assert {name: {array.shape for array in arrays} for name, arrays in feeds.items()} == {
        name: {shape} for name, shape in shapes.items()
    }
    assert set(outputs) <= {each.name for each in graph.output}
    assert workload.graph.digest == hashlib.sha256(workload.graph.data).hexdigest()
    # Entries stand by probe, then by step; the first step of every probe starts from the initial carry.
    first = feeds["z_H"][0]
    assert all(np.array_equal(feeds["z_H"][probe * 8], first) for probe in range(3))
    assert not np.array_equal(feeds["z_H"][1], feeds["z_H"][2])
    assert len({array.tobytes() for array in feeds["inputs"]}) == 3


def test_the_difference_of_a_device_s_arithmetic_is_told_step_by_step(coarse):
    (found,), _ = measured(
        EIGHT, coarse(EIGHT), ("device_step_fidelity", ON), device="{use: twisted, arithmetic: noise 5 %}"
    )
    there, here = (np.array([point.mean for point in curve]) for curve in (found.curve, found.curve_here))
    assert (here - there > 3e-4).all()
    assert f"the device adds {values(found).mean() - here.mean():+.2g}" in found.detail
    assert "j1 https://hub.test/jobs/j1" in found.ran_on


def test_a_graph_as_reference_whose_states_have_other_names_is_told_by_the_candidate_s_map(tmp_path):
    model = onnx.load(exported(SMALL))
    for values_of in (model.graph.input, model.graph.output):
        for value in values_of:
            value.name = value.name.replace("z_", "state_")
    for node in model.graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                names[place] = name.replace("z_", "state_") if name.startswith("z_") else name
    del model.metadata_props[:]
    path = tmp_path / "renamed.onnx"
    path.write_bytes(model.SerializeToString())
    keys = "uncompressed: true, model: {state: {state_H: state_H_out, state_L: state_L_out}, halt: q_halt"
    (found, other), _ = measured(
        SMALL,
        path,
        ("device_step_fidelity", f"{ON}, stream: z_L, at: last"),  # without metadata it starts elsewhere
        ("device_answer_agreement", ON),
        reference=exported(SMALL),
        candidate_keys=f"{keys}, map: {{z_H: state_H, z_L: state_L}}, unit: h-cycle}}",
    )
    assert values(found).min() > 0.999999
    assert values(other).min() == 1


# ---------------------------------------------------------------- some of it


@given(st.integers(1, 300), st.integers(0, 320))
def test_some_of_many_are_evenly_chosen_and_the_last_is_among_them(count, wanted):
    chosen = evenly(count, wanted)
    assert chosen == tuple(sorted(set(chosen)))
    assert len(chosen) == (min(wanted, count) or count)
    assert chosen[-1] == count - 1
    gaps = np.diff((-1, *chosen))
    assert gaps.max() - gaps.min() <= 1


def test_some_probes_and_steps_are_recorded_and_judged_as_such(coarse):
    (found,), whole = measured(
        EIGHT, coarse(EIGHT, unit="act-step"), ("device_step_fidelity", f"{ON}, probes: 8, steps: 3"), count=20
    )
    assert found.rows == evenly(20, 8) == (1, 4, 6, 9, 11, 14, 16, 19)
    assert [point.step for point in found.curve] == [2, 5, 8]
    (steps,) = whole.candidates[0].device_steps
    assert (steps.rows, steps.steps, steps.entries) == (found.rows, (2, 5, 8), 24)
    policy = policy_of(
        EIGHT,
        coarse(EIGHT, unit="act-step"),
        [("device_step_fidelity", f"{ON}, probes: 8, steps: 3")],
        count=20,
    )
    read = measurements_file.load(measurements_file.dump(whole), "m.json")
    assert read == whole
    assert judge(policy, read).results[0].outcome is Outcome.PASS


def test_the_same_steps_are_asked_for_once_whoever_wants_them(coarse):
    _, whole = measured(
        SMALL,
        coarse(SMALL),
        ("device_step_fidelity", ON),
        ("device_step_fidelity", f"{ON}, at: worst"),
        ("device_answer_agreement", ON),
        ("device_fidelity_predicted", ON),
        ("device_step_fidelity", f"{ON}, probes: 8"),
        count=12,
    )
    assert len(Twisted.asked) == 2
    assert [len(steps.rows) for steps in whole.candidates[0].device_steps] == [12, 8]


def test_what_does_not_fit_one_dataset_goes_up_in_several_and_comes_to_the_same(coarse, monkeypatch):
    args = (EIGHT, coarse(EIGHT, unit="act-step"), ("device_step_fidelity", f"{ON}, stream: all"))
    (whole,), _ = measured(*args)
    monkeypatch.setattr(device_comparing, "LARGEST_DATASET", 3 * 2 * 8 * 16 * 64 * 4)
    (parts,), told = measured(*args)
    assert whole.values == parts.values
    assert whole.curve == parts.curve
    sizes = [len(feeds["inputs"]) for _, feeds, _ in Twisted.asked]
    assert sizes[0] == 64
    assert sum(sizes[1:]) == 64
    assert len(sizes) > 2
    assert told.candidates[0].device_steps[0].requests == len(sizes) - 1


# ---------------------------------------------------------------- a free run


def test_a_free_run_of_few_steps_feeds_the_device_what_it_gave_itself_one_request_a_run(coarse):
    free, wanted = f"{ON}, mode: free, steps: 3, at: 3, stream: all", "stream: all, at: 3"
    (there, here), whole = measured(
        TWO_RUNS, coarse(TWO_RUNS), ("device_step_fidelity", free), ("carry_fidelity", wanted), count=4
    )
    assert np.abs(values(there) - values(here)).max() < 1e-5
    assert values(here).mean() < 0.9999
    assert len(Twisted.asked) == 3 * 2
    assert {len(feeds["inputs"]) for _, feeds, _ in Twisted.asked} == {4}
    assert whole.candidates[0].device_steps[0].steps == (1, 2, 3)


def test_a_free_run_goes_on_from_the_device_s_own_arithmetic(coarse):
    device = "{use: twisted, arithmetic: noise 5 %}"
    free = ("device_step_fidelity", f"{ON}, mode: free, steps: 3, at: last")
    (found,), _ = measured(EIGHT, coarse(EIGHT, unit="act-step"), free, device=device, count=4)
    (one, _), (two, _), (three, _) = [(feeds["z_H"], outputs) for _, feeds, outputs in Twisted.asked]
    assert not np.array_equal(one[0], two[0])
    assert not np.array_equal(two[0], three[0])
    there, here = found.curve[-1].mean, found.curve_here[-1].mean
    assert there < here


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"mode": "free"}, "every step of a free run is a job of its own"),
        ({"probes": -1}, "there are no -1 probes"),
        ({"steps": -2}, "there are no -2 steps"),
        ({"at": 0}, "there is no step 0"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, what):
    with pytest.raises(PolicyError, match=what):
        DeviceStepFidelity(device="phone", **options)


@pytest.mark.parametrize("doubt", [0.0, -1.0, 1.5, float("nan")])
def test_a_doubt_that_is_no_distance_is_refused(doubt):
    with pytest.raises(PolicyError, match="no distance"):
        DeviceFidelityPredicted(device="phone", max_doubt=doubt)


# ---------------------------------------------------------------- what must never come out as a figure


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("lost", "the device is not there any more"),
        ("an output missing", "did not give the output"),
        ("one entry less", "for 15 of 16 entries"),
        ("one entry more", "for 17 of 16 entries"),
        ("nothing", "it gave nothing"),
        ("another shape", "and float32 1x"),
        ("a transposed shape", "and float32 1x"),
        ("another type", "is float64"),
        ("a list", "is no array but list"),
        ("NaN", "of entry 2 of 16, a run of step 2, is not finite on the device"),
        ("another file", "ran another file"),
        ("another unit", "job j1 was to run on the npu, and ran on the cpu"),
        ("no layers", "was to run on the npu, and does not say which layers ran where"),
        ("no profile", "was to run on the npu, and does not say which layers ran where"),
    ],
)
def test_whatever_a_device_gives_wrongly_is_not_measured_and_says_so(coarse, fault, reason):
    assert fault in FAULTS
    found, whole = measured(
        SMALL,
        coarse(SMALL),
        ("device_step_fidelity", ON),
        ("device_answer_agreement", ON),
        ("device_fidelity_predicted", ON),
        device=f"{{use: twisted, fault: {fault}}}",
    )
    for one in found:
        assert one.status is MeasureStatus.NOT_MEASURED
        assert reason in one.reason
        assert one.reason.startswith("phone (twisted): ")
    assert whole.candidates[0].device_steps[0].gap


def test_layers_that_fell_back_are_told_before_the_steps(coarse):
    (found,), whole = measured(SMALL, coarse(SMALL), ("device_step_fidelity", ON))
    assert "FALLBACK from the npu: npu 9 of 10 layers, cpu 1 of 10 layers (Gather 1)" in found.detail
    assert found.detail.index("FALLBACK") < found.detail.index("by step (here): 1 ")  # a long one is cut at its end
    assert [share.layers for share in whole.candidates[0].device_steps[0].shares] == [9, 1]


def test_every_fault_of_the_list_has_a_test():
    table = test_whatever_a_device_gives_wrongly_is_not_measured_and_says_so.pytestmark[0].args[1]
    assert {fault for fault, _ in table} == set(FAULTS)


def test_a_candidate_that_is_no_step_graph_is_told_to_be_exported_first():
    keys, weights = "uncompressed: true", entry(SMALL).weights
    found, _ = measured(
        SMALL,
        entry(TWO_RUNS).weights if weights is None else weights,
        ("device_step_fidelity", ON),
        candidate_keys=keys,
        reference=exported(SMALL),
    )
    assert found[0].status is MeasureStatus.NOT_MEASURED
    assert "no step graph" in found[0].reason
    assert "export it first" in found[0].reason
    assert not Twisted.asked


def test_a_stream_that_the_models_do_not_have_is_refused_whatever_the_device(coarse):
    with pytest.raises(PolicyError, match="no stream 'z_X'"):
        measured(SMALL, coarse(SMALL), ("device_step_fidelity", f"{ON}, stream: z_X"))


def test_a_device_that_only_tells_times_is_refused_in_the_policy(coarse):
    recorded = "{use: recorded, path: profiles.json, device: X, runtime: onnx, max_age: 30 d}"
    with pytest.raises(PolicyError, match="cannot be measured by the device 'phone'"):
        policy_of(SMALL, coarse(SMALL), [("device_step_fidelity", ON)], device=recorded)


# ---------------------------------------------------------------- a free run, foretold


def foretold(coarse, name, arithmetic, *, options=""):
    """Return a prediction, the true free run on the device, and the free run here."""
    steps = entry(name).depth.steps
    return measured(
        name,
        coarse(name, unit="act-step"),
        ("device_fidelity_predicted", f"{ON}{options}"),
        ("device_step_fidelity", f"{ON}, mode: free, steps: {steps}, at: last"),
        ("carry_fidelity", ""),
        device=f"{{use: twisted, arithmetic: {arithmetic}}}",
        count=4,
    )[0]


def test_what_is_foretold_of_a_device_that_computes_as_here_is_the_free_run_here(coarse):
    predicted, true, here = foretold(coarse, EIGHT, "as here")
    assert np.abs(values(predicted) - values(here)).max() < 1e-5
    assert np.abs(values(predicted) - values(true)).max() < 1e-9
    assert "a prediction, stream z_H, 0 apart where the same errors are turned" in predicted.detail
    assert "errors grow here by" in predicted.detail
    assert predicted.curve == predicted.curve_here


@pytest.mark.parametrize(("name", "arithmetic"), [(EIGHT, "noise 5 %"), (SMALL, "noise 5 %")])
def test_what_is_foretold_is_nearer_to_the_free_run_of_the_device_than_any_figure_of_here(coarse, name, arithmetic):
    predicted, true, here = (values(each).mean() for each in foretold(coarse, name, arithmetic))
    assert abs(predicted - true) < 5e-4
    assert abs(predicted - true) < abs(here - true)


def test_nothing_is_foretold_where_as_large_errors_in_the_opposite_direction_end_elsewhere(coarse):
    predicted, true, _ = foretold(coarse, TWO_RUNS, "noise 5 %", options=", max_doubt: 0.000001")
    assert true.status is MeasureStatus.MEASURED
    assert predicted.status is MeasureStatus.NOT_MEASURED
    assert "how errors grow cannot be told" in predicted.reason


def test_nothing_is_foretold_of_models_of_different_depths(coarse):
    keys = "uncompressed: true, recursion: {h_cycles: 2, l_cycles: 2, steps: 6}"
    found, _ = measured(
        EIGHT,
        coarse(EIGHT, unit="act-step"),
        ("device_fidelity_predicted", ON),
        ("device_step_fidelity", ON),
        candidate_keys=keys,
        count=4,
    )
    assert found[0].status is MeasureStatus.NOT_MEASURED
    assert "different depths" in found[0].reason
    assert [point.step for point in found[1].curve] == [1, 2, 3, 4, 5, 6]


# ---------------------------------------------------------------- real devices


def test_the_gate_s_own_processor_gives_the_very_bits_of_the_local_run(coarse):
    (found, here), whole = measured(
        SMALL,
        coarse(SMALL),
        ("device_step_fidelity", f"{ON}, stream: all"),
        ("step_fidelity", "stream: all"),
        device="{use: host-cpu}",
    )
    assert found.curve == found.curve_here
    assert np.abs(values(found) - values(here)).max() < 1e-5
    assert "on host-cpu (" in found.ran_on
    assert "onnxruntime" in found.ran_on
    (steps,) = whole.candidates[0].device_steps
    assert steps.jobs == ()
    assert dict(steps.machine)["threads"] == 1


@pytest.fixture
def service(monkeypatch, tmp_path):
    """Lead the unmodified client of AI Hub to a service in this process that runs the very files."""
    pytest.importorskip("qai_hub")
    from hub_runs import impatient
    from hubs import lead

    from fidelity_gate.simulated_hub import SimulatedHub

    impatient(monkeypatch)
    with SimulatedHub() as listening:
        lead(monkeypatch, listening.write_client_ini(tmp_path / "client.ini"))
        yield listening


PHONE = "use: qai_hub, device: Samsung Galaxy S24, runs: 5"


def test_forced_steps_from_a_job_are_the_local_ones_where_the_service_runs_the_same_file(coarse, service):
    checks = [("device_step_fidelity", f"{ON}, stream: all"), ("device_answer_agreement", ON)]
    (found, answers, here), whole = measured(
        SMALL,
        coarse(SMALL, unit="act-step"),
        *checks,
        ("step_fidelity", "stream: all"),
        device=f"{{{PHONE}, allow_simulated: true}}",
    )
    assert 0.3 < values(here).mean() < 0.9999
    assert np.abs(values(found) - values(here)).max() < 1e-5
    assert found.curve == found.curve_here
    assert values(answers).shape == (8,)
    (steps,) = whole.candidates[0].device_steps
    (job,) = steps.jobs
    assert (steps.entries, steps.requests) == (16, 1)
    assert job.simulated
    assert job.id in found.ran_on
    assert job.url in found.ran_on
    assert "SIMULATED" in found.ran_on


@pytest.mark.parametrize(
    ("keys", "fault", "reason"),
    [
        ("", "", "simulated"),
        (", allow_simulated: true", "failed-crash", "RUNTIME_CRASH"),
        (", allow_simulated: true", "failed-device-lost", "QDC_API_ERROR"),
    ],
)
def test_what_a_service_does_not_give_is_not_measured_with_its_own_reason(coarse, service, keys, fault, reason):
    if fault:
        service.faults.add(fault)
    (found,), _ = measured(
        SMALL, coarse(SMALL, unit="act-step"), ("device_step_fidelity", ON), device=f"{{{PHONE}{keys}}}"
    )
    assert found.status is MeasureStatus.NOT_MEASURED
    assert reason in found.reason


def test_a_device_that_the_service_does_not_have_is_a_mistake_of_the_policy(coarse, service):
    with pytest.raises(PolicyError, match=r"devices\.phone") as caught:
        measured(
            SMALL,
            coarse(SMALL, unit="act-step"),
            ("device_step_fidelity", ON),
            device="{use: qai_hub, device: Samsung Galaxy S99, allow_simulated: true}",
        )
    assert "Samsung Galaxy S2" in str(caught.value)
    assert service is not None
