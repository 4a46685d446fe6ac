import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from fakes import (
    DEPTH,
    PROBES,
    SHELF,
    FakeOpened,
    FakeRecursion,
    Recorded,
    Unsteady,
    frozen,
    nan_at,
    some_facts,
    some_probes,
    zero_carry,
)

import fidelity_gate.inputs
import fidelity_gate.models
from fidelity_gate import gate, measurements_file
from fidelity_gate.digests import row_digests
from fidelity_gate.errors import InputsRefused, ModelRefused, PolicyError, Undecided
from fidelity_gate.records import (
    Aggregate,
    Bound,
    Check,
    Depth,
    InputsSpec,
    MeasureStatus,
    ModelSpec,
    NoiseFloorSpec,
    Policy,
    RunSpec,
    Severity,
)

MEAN = Aggregate.MEAN


@pytest.fixture(autouse=True)
def stocked(monkeypatch):
    """A reference, two candidates and probes that `measure` finds through the rooms' tables."""
    monkeypatch.setitem(fidelity_gate.models.TABLE, "fake", "fakes:FakeFormat")
    monkeypatch.setitem(fidelity_gate.inputs.TABLE, "fake", "fakes:FakeInputs")
    PROBES.clear()
    PROBES["probes"] = some_probes()
    SHELF.clear()
    stock("ref", FakeRecursion(), bits=32)
    stock("int8", FakeRecursion(error=0.003), bits=8)
    stock("int4", FakeRecursion(error=0.3), bits=4)


def stock(name, recursion, **facts):
    SHELF[name] = FakeOpened(some_facts(name, **facts), recursion)


def spec(name, path=None, **changes):
    return ModelSpec(name, path or name, use="fake", **changes)


def check(identifier, metric, aggregate=MEAN, **changes):
    options = tuple(sorted(changes.pop("options", {}).items()))
    return Check(identifier, metric, Bound(minimum=0.5), options, aggregate, **changes)


FIDELITY = check("carry-fidelity", "carry_fidelity")


def policy(*checks, candidates=("int8", "int4"), **changes):
    specs = tuple(each if isinstance(each, ModelSpec) else spec(each) for each in candidates)
    base = Policy(
        name="release",
        path="release.yaml",
        digest="d" * 64,
        reference=spec("reference", "ref"),
        candidates=specs,
        inputs=InputsSpec("fake"),
        recursion=DEPTH,
        checks=checks or (FIDELITY,),
        run=RunSpec(batch=16),
    )
    return replace(base, **changes)


def measured(*checks, **changes):
    return gate.measure(policy(*checks, **changes), gate.MeasureOptions(), Recorded())


def the(found, candidate, metric="carry_fidelity", **options):
    wanted = tuple(sorted(options.items()))
    (one,) = [m for m in found.measurements if (m.candidate, m.metric, m.options) == (candidate, metric, wanted)]
    return one


# ---------------------------------------------------------------- what comes out


def test_every_check_of_every_candidate_becomes_one_measurement():
    found = measured(FIDELITY, check("fits", "sram_peak", None), check("right", "cell_accuracy"))
    names = [(one.candidate, one.metric) for one in found.measurements]
    assert names == [
        (candidate, metric)
        for candidate in ("int8", "int4")
        for metric in ("carry_fidelity", "cell_accuracy", "sram_peak")
    ]
    assert all(one.status is MeasureStatus.MEASURED for one in found.measurements)
    int8, int4 = (the(found, name) for name in ("int8", "int4"))
    assert np.mean(int8.values) > 0.999 > np.mean(int4.values)
    assert len(int8.values) == len(PROBES["probes"])
    assert [point.step for point in int8.curve] == list(range(1, DEPTH.steps + 1))


def test_a_metric_that_several_checks_ask_for_is_measured_once():
    found = measured(
        FIDELITY, check("worst", "carry_fidelity", Aggregate.WORST), check("b", "carry_fidelity", target="x")
    )
    assert len(found.measurements) == 2


def test_options_keep_metrics_apart():
    found = measured(FIDELITY, check("early", "carry_fidelity", options={"at": 2}))
    assert the(found, "int4", at=2).values != the(found, "int4").values


def test_a_check_for_one_candidate_is_measured_for_that_one_only_and_off_for_none():
    off = check("off", "halt_agreement", severity=Severity.OFF)
    found = measured(FIDELITY, check("norm", "carry_norm_ratio", candidates=("int4",)), off)
    assert [one.candidate for one in found.measurements if one.metric == "carry_norm_ratio"] == ["int4"]
    assert not [one for one in found.measurements if one.metric == "halt_agreement"]


def test_two_identical_runs_give_the_same_bytes():
    checks = [FIDELITY, check("step", "step_fidelity"), check("range", "carry_range"), check("halt", "halt_agreement")]
    first, second = (measurements_file.dump(measured(*checks)) for _ in range(2))
    assert first == second
    assert measurements_file.load(first, "x") == measured(*checks)


def test_the_record_carries_all_that_can_change_a_number():
    found = measured(run=RunSpec(seed=7, threads=1, batch=8))
    assert found.provenance.policy_digest == "d" * 64
    assert len(found.provenance.inputs_digest) == 64
    assert found.provenance.probes == len(PROBES["probes"])
    assert dict(found.provenance.asked)["inputs"] == "fake"
    assert dict(found.provenance.asked)["inputs.calibration"] == "none"
    assert found.provenance.run == RunSpec(seed=7, threads=1, batch=8)
    assert {"numpy", "torch", "python"} <= dict(found.provenance.libraries).keys()
    assert dict(found.provenance.machine)["architecture"]
    assert found.reference.facts.digest == SHELF["ref"].facts.digest
    assert [record.depth for record in found.candidates] == [DEPTH, DEPTH]


def test_file_metrics_alone_load_and_run_nothing():
    found = measured(check("size", "model_size", None), check("share", "compressed_share", None))
    assert [opened.loads for opened in SHELF.values()] == [0, 0, 0]
    assert found.noise_floor is None
    assert the(found, "int8", "compressed_share").values == (1.0,)


def test_a_metric_that_cannot_be_measured_stays_in_the_record_with_its_reason():
    PROBES["probes"] = some_probes(labels=False)
    stock("int8", FakeRecursion(error=0.003), bits=8, geometry=None)
    found = measured(check("right", "puzzle_exact"), check("fits", "sram_peak", None))
    exact, sram = the(found, "int8", "puzzle_exact"), the(found, "int8", "sram_peak")
    assert (exact.status, exact.reason) == (MeasureStatus.NOT_MEASURED, "the inputs have no labels")
    assert "geometry is not known" in sram.reason
    assert exact.values == sram.values == ()


def test_a_step_that_is_never_made_is_not_measured():
    found = measured(check("late", "carry_fidelity", options={"at": 99}))
    assert the(found, "int8", at=99).reason == (
        "there is nothing to compare at step 99 (the steps that can be compared are 1 to 6)"
    )


@pytest.mark.parametrize(
    ("warp", "reason"), [(nan_at(3, 5), "z_H is not finite at step 3 for probe 5"), (frozen, "z_H never moves")]
)
def test_a_broken_candidate_is_told_and_the_others_are_measured(warp, reason):
    stock("int4", FakeRecursion(warp=warp), bits=4)
    found = measured(FIDELITY, check("norm", "carry_norm_ratio"))
    norm = the(found, "int4", "carry_norm_ratio")
    assert norm.status is MeasureStatus.NOT_MEASURED
    assert reason in norm.reason
    assert the(found, "int8").status is MeasureStatus.MEASURED


@pytest.mark.parametrize("warp", [frozen, zero_carry])
def test_the_fidelity_of_a_dead_candidate_is_zero_in_words(warp):
    stock("int4", FakeRecursion(warp=warp), bits=4)
    found = measured(FIDELITY, check("step", "step_fidelity"))
    for metric in ("carry_fidelity", "step_fidelity"):
        one = the(found, "int4", metric)
        assert set(one.values) == {0.0}
        assert len(one.values) == len(PROBES["probes"])
        assert "never moves" in one.detail
        assert "counts as 0" in one.detail


def test_a_candidate_that_does_not_repeat_itself_is_not_measured():
    stock("int4", Unsteady(), bits=4)
    assert the(measured(), "int4").reason == "two runs differ: z_H at step 1"
    stock("ref", Unsteady())
    with pytest.raises(Undecided, match="two runs of the reference differ"):
        measured()


# ---------------------------------------------------------------- the noise floor


def test_the_noise_floor_is_the_reference_against_itself_perturbed():
    found = measured()
    assert found.noise_floor.perturbation == 1e-6
    assert len(found.noise_floor.values) == len(PROBES["probes"])
    assert min(found.noise_floor.values) > 0.999999
    assert the(found, "int8").floor_values == found.noise_floor.values
    assert the(found, "int8").floor_curve == found.noise_floor.curve


def test_a_chaotic_reference_shows_in_the_noise_floor_and_not_in_step_fidelity():
    stock("ref", FakeRecursion(gain=6.0), depth=None)
    stock("int8", FakeRecursion(gain=6.0, error=1e-4), bits=8, depth=None)
    checks = (FIDELITY, check("step", "step_fidelity"))
    found = measured(*checks, candidates=("int8",), recursion=replace(DEPTH, steps=20))
    assert np.mean(found.noise_floor.values) < 0.99
    assert np.mean(the(found, "int8", "step_fidelity").values) > 0.99
    assert the(found, "int8", "step_fidelity").floor_values == ()


def test_no_floor_is_run_where_no_metric_is_judged_against_it():
    assert measured(check("right", "cell_accuracy")).noise_floor is None


def test_the_reference_in_bfloat16_is_run_when_asked():
    loaded = []

    class Loads(FakeOpened):
        def load(self, run):
            loaded.append(run.dtype)
            return FakeRecursion(dtype="float16" if run.dtype == "bfloat16" else "float32")

    SHELF["ref"] = Loads(some_facts("ref"), FakeRecursion())
    found = measured(noise_floor=NoiseFloorSpec(bf16=True))
    assert loaded == ["float32", "bfloat16"]
    assert 0.9999 < np.mean(found.noise_floor.bf16_values) < 1.0


def test_a_model_that_cannot_be_perturbed_has_no_floor_and_says_why():
    from fidelity_gate.errors import NotMeasured

    class Fixed(FakeRecursion):
        def run(self, batch, depth, *, perturbation=0.0, seed=0):
            if perturbation:
                raise NotMeasured("the initial carry cannot be reached")
            yield from super().run(batch, depth)

    stock("ref", Fixed())
    found = measured()
    assert found.noise_floor.values == ()
    assert the(found, "int8").floor_values == ()
    assert "no noise floor: the initial carry cannot be reached" in the(found, "int8").detail


# ---------------------------------------------------------------- what is compared


def test_a_candidate_with_the_bytes_of_the_reference_is_refused():
    stock("copy", FakeRecursion(), digest=SHELF["ref"].facts.digest, bits=4)
    with pytest.raises(ModelRefused, match="is the reference itself") as caught:
        measured(candidates=("copy",))
    assert caught.value.field == "copy"


@pytest.mark.parametrize("how", ["same", "symlink_to", "hardlink_to"])
def test_a_candidate_in_the_file_of_the_reference_is_refused_through_any_link(tmp_path, how):
    file, other = tmp_path / "ref.bin", tmp_path / "int4.bin"
    file.write_bytes(b"weights")
    if how != "same":
        getattr(other, how)(file)
    stock("ref", FakeRecursion(), path=str(file))
    stock("int4", FakeRecursion(), path=str(file if how == "same" else other), bits=4)
    with pytest.raises(ModelRefused, match="the reference's own file"):
        measured(candidates=("int4",))


def test_the_reference_itself_may_be_a_candidate_at_a_smaller_depth():
    shallow = Depth(h_cycles=1, l_cycles=1, steps=6)
    found = measured(candidates=(spec("fast", "ref", recursion=shallow),))
    assert the(found, "fast").status is MeasureStatus.MEASURED
    assert found.candidates[0].depth == shallow
    assert found.candidates[0].alignment == "by ACT step of different cycles (H=1 L=1 steps=6 against H=1 L=2 steps=6)"


@pytest.mark.parametrize("bits", [30.5, 32, 64])
def test_a_candidate_that_is_not_smaller_is_refused(bits):
    stock("int8", FakeRecursion(error=0.003), bits=bits, recipe="int8")  # whatever its metadata says
    with pytest.raises(ModelRefused, match="is not compressed: it takes"):
        measured()


def test_a_candidate_of_rounded_floats_is_told_where_it_is_said_that_they_are_meant():
    stock("int8", FakeRecursion(error=0.003), bits=32)
    with pytest.raises(ModelRefused) as caught:
        measured()
    assert "rounded numbers are still stored as floats" in caught.value.hint
    assert "candidates: {int8: {path: FILE, uncompressed: true}}" in caught.value.hint


def test_an_uncompressed_control_is_measured_when_it_is_declared():
    stock("control", FakeRecursion(error=1e-6), bits=32)
    found = measured(candidates=(spec("control", uncompressed=True),))
    assert the(found, "control").status is MeasureStatus.MEASURED


def test_swapped_models_are_refused():
    swapped = policy(candidates=(spec("int8", "ref"),), reference=spec("reference", "int8"))
    with pytest.raises(ModelRefused, match="not compressed") as caught:
        gate.measure(swapped, gate.MeasureOptions(), Recorded())
    assert "swapped" in caught.value.hint


def test_weights_are_weighed_by_bytes_where_roles_are_unknown():
    stock("ref", FakeRecursion(), tensors=(), size_bytes=1000)
    stock("int4", FakeRecursion(error=0.3), tensors=(), size_bytes=960)
    with pytest.raises(ModelRefused, match="it takes 960 bytes, the reference 1,000"):
        measured(candidates=("int4",))
    stock("int4", FakeRecursion(error=0.3), tensors=(), size_bytes=500)
    assert the(measured(candidates=("int4",)), "int4").values


def test_another_family_is_refused():
    stock("int4", FakeRecursion(error=0.3), bits=4, family="other")
    with pytest.raises(ModelRefused, match="is a other, and the reference is a fake"):
        measured()


@pytest.mark.parametrize("who", ["ref", "int4"])
def test_a_depth_other_than_the_declared_one_is_refused_with_both(who):
    opened = SHELF[who]
    SHELF[who] = replace(opened, facts=replace(opened.facts, depth=Depth(3, 6, 16)))
    with pytest.raises(ModelRefused, match="declares H=3 L=6 steps=16, and the policy runs it at H=1 L=2 steps=6"):
        measured()


def test_a_recursion_of_its_own_stands_above_the_depth_that_a_file_declares():
    found = measured(candidates=(spec("int8", recursion=replace(DEPTH, steps=3)),))
    assert found.candidates[0].depth.steps == 3
    assert found.candidates[0].alignment == "by ACT step up to step 3, and the last of 3 against the last of 6"
    assert len(the(found, "int8").curve) == 3


def test_calibration_rows_among_the_probes_are_refused():
    rows = row_digests(PROBES["probes"].inputs)
    stock("int4", FakeRecursion(error=0.3), bits=4, calibration_rows=("0" * 32, rows[3], rows[8]))
    with pytest.raises(InputsRefused, match="rows 3, 8 of the probes are calibration rows of /nowhere/int4"):
        measured()


def test_calibration_rows_that_the_policy_names_are_refused_too():
    PROBES["calibration"] = PROBES["probes"].rows(7, 12)
    calibration = InputsSpec("fake", (("name", "calibration"),))
    with pytest.raises(InputsRefused, match="rows 7, 8, 9, 10, 11 of the probes"):
        measured(calibration=calibration)
    PROBES["calibration"] = some_probes(seed=77)
    assert measured(calibration=calibration).measurements


def test_repeated_probes_are_refused():
    probes = some_probes()
    probes.inputs[9] = probes.inputs[2]
    PROBES["probes"] = probes
    with pytest.raises(InputsRefused):
        measured()


def test_an_unknown_stream_is_refused_with_the_nearest_one():
    with pytest.raises(PolicyError, match="the models have no stream 'z_h'") as caught:
        measured(check("typo", "carry_fidelity", options={"stream": "z_h"}))
    assert "z_H" in caught.value.hint


@pytest.mark.parametrize(
    "bad",
    [
        check("typo", "carry_fidelty"),
        check("typo", "carry_fidelity", options={"strem": "z_H"}),
        check("typo", "carry_fidelity", options={"at": "lats"}),
        check("typo", "carry_fidelity", options={"at": 0}),
        check("typo", "carry_fidelity", options={"at": True}),
        check("typo", "sram_peak", None, options={"scenario": "stream"}),
    ],
)
def test_a_metric_or_option_that_nobody_knows_is_refused_before_anything_is_opened(bad):
    SHELF.clear()
    with pytest.raises(PolicyError):
        measured(bad)


def test_the_gate_loads_no_heavy_library():
    code = (
        "import sys; import fidelity_gate.gate, fidelity_gate.metrics.files, fidelity_gate.metrics.accuracy;"
        "loaded = {'torch', 'bitsandbytes', 'onnxruntime', 'pydantic', 'rich'} & set(sys.modules);"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
