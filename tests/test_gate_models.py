"""The gate on real families, recipes and files: its figures are those of plain loops over the same models."""

from dataclasses import replace

import numpy as np
import pytest
from fakes import Recorded
from model_files import ATTENTION, MLP, weights_of

from fidelity_gate import gate, measurements_file
from fidelity_gate.compress.choosing import parse_recipe
from fidelity_gate.models.families.hrm import Hrm
from fidelity_gate.models.opening import open_model
from fidelity_gate.records import (
    Aggregate,
    Artifact,
    Bound,
    Check,
    Depth,
    InputsSpec,
    MeasureStatus,
    ModelSpec,
    NoiseFloorSpec,
    Policy,
    RunSpec,
)
from fidelity_gate.storage import artifact
from fidelity_gate.storage.quantized import dense_tensor

torch = pytest.importorskip("torch")

DEPTH = Depth(2, 2, 4)
HRM = Hrm(hidden_size=8, vocab_size=5, num_heads=2, seq_len=6, h_layers=1, l_layers=1)
FAMILIES = {"trm-attention": ATTENTION, "trm-mlp": MLP, "hrm": HRM}
METRICS = (
    ("carry_fidelity", ()),
    ("carry_fidelity", (("at", "worst"), ("stream", "all"))),
    ("step_fidelity", ()),
    ("carry_norm_ratio", ()),
    ("carry_range", ()),
    ("consecutive_similarity", ()),
    ("answer_agreement", ()),
    ("halt_agreement", ()),
    ("cell_accuracy", ()),
    ("changed_cell_accuracy", ()),
    ("puzzle_exact_drop", ()),
    ("sram_peak", ()),
    ("model_size", ()),
    ("compressed_share", ()),
)


METRIC_NAMES = ("carry_fidelity", "carry_range", "cell_accuracy", "puzzle_exact_drop")


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def shop(request, tmp_path_factory):
    """A reference and two compressions of it, as files, and an npz of probes."""
    folder = tmp_path_factory.mktemp(request.param)
    family = FAMILIES[request.param]
    roles = {name: role for name, (_, role) in family.tensors().items()}
    tensors = tuple(dense_tensor(name, roles[name], array) for name, array in sorted(weights_of(family).items()))
    reference = Artifact(family.name, family.architecture(), DEPTH, tensors)
    (folder / "ref.safetensors").write_bytes(artifact.encode(reference))
    opened = open_model(ModelSpec("reference", str(folder / "ref.safetensors")))
    for recipe in ("int8", "int4-naive"):
        small = parse_recipe(recipe).compress(opened, None)
        (folder / f"{recipe}.safetensors").write_bytes(artifact.encode(small))
    rng = np.random.default_rng(2)
    inputs, labels = rng.integers(0, 5, size=(2, 30, 6)).astype(np.int32)
    labels[:, 0] = (inputs[:, 0] + 1) % 5  # every answer changes a cell
    np.savez(folder / "eval.npz", inputs=inputs, labels=labels)
    return folder


def policy_of(folder, *, batch=13, noise=None):
    checks = tuple(
        Check(f"c{place}", metric, Bound(minimum=0.0), options, Aggregate.MEAN)
        for place, (metric, options) in enumerate(METRICS)
    )
    names = ("int8", "int4-naive")
    return Policy(
        name="release",
        path=str(folder / "release.yaml"),
        digest="d" * 64,
        reference=ModelSpec("reference", str(folder / "ref.safetensors")),
        candidates=tuple(ModelSpec(name, str(folder / f"{name}.safetensors")) for name in names),
        inputs=InputsSpec("npz", (("path", "eval.npz"),), base=str(folder)),
        recursion=DEPTH,
        checks=checks,
        noise_floor=noise or NoiseFloorSpec(),
        run=RunSpec(batch=batch),
    )


def measured(folder, **settings):
    return gate.measure(policy_of(folder, **settings), gate.MeasureOptions(), Recorded())


def the(found, candidate, metric, options=()):
    (one,) = [m for m in found.measurements if (m.candidate, m.metric, m.options) == (candidate, metric, options)]
    return one


def trajectory(folder, name, probes):
    """Every state of every probe, kept: what the gate never does."""
    model = open_model(ModelSpec(name, str(folder / f"{name}.safetensors"))).load(RunSpec())
    return [{stream: each.double().numpy() for stream, each in s.carry.items()} for s in model.run(probes, DEPTH)]


def plain_cosines(ours, theirs, stream):
    a, b = ours[stream], theirs[stream]
    return ((a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)).mean(axis=1)


def test_every_metric_is_measured_on_every_family(shop):
    found = measured(shop)
    assert {(one.metric, one.options) for one in found.measurements} == set(METRICS)
    reasons = {(one.metric, one.reason) for one in found.measurements if one.status is not MeasureStatus.MEASURED}
    # A reference that nobody has trained solves no puzzle whole.
    assert reasons == {
        ("puzzle_exact_drop", "the reference gets nothing right on these probes, so nothing can be lost")
    }


def test_fidelity_is_that_of_two_whole_trajectories_side_by_side(shop):
    from fidelity_gate.inputs.opening import open_inputs

    found, probes = measured(shop), open_inputs(policy_of(shop).inputs)
    ours = trajectory(shop, "ref", probes)
    for name in ("int8", "int4-naive"):
        theirs = trajectory(shop, name, probes)
        high = np.array([plain_cosines(a, b, "z_H") for a, b in zip(ours, theirs, strict=True)])
        low = np.array([plain_cosines(a, b, "z_L") for a, b in zip(ours, theirs, strict=True)])
        fidelity = the(found, name, "carry_fidelity")
        assert np.allclose(fidelity.values, high[-1], atol=1e-5)
        assert np.allclose([point.mean for point in fidelity.curve], high.mean(axis=1), atol=1e-5)
        worst = the(found, name, "carry_fidelity", (("at", "worst"), ("stream", "all")))
        assert np.allclose(worst.values, np.minimum(high, low).min(axis=0), atol=1e-5)


def test_int8_is_closer_than_naive_int4_and_both_are_smaller(shop):
    found = measured(shop)
    for metric in ("carry_fidelity", "step_fidelity"):
        assert np.mean(the(found, "int8", metric).values) > np.mean(the(found, "int4-naive", metric).values)
    sizes = [the(found, name, "sram_peak").values[0] for name in ("int4-naive", "int8")]
    assert sizes == sorted(sizes)
    assert the(found, "int8", "compressed_share").values == (1.0,)


def test_two_runs_of_real_models_give_the_same_bytes(shop):
    assert measurements_file.dump(measured(shop)) == measurements_file.dump(measured(shop))


def test_threads_are_as_before_and_nothing_tracks_gradients(shop):
    before = torch.get_num_threads()
    measured(shop)
    assert torch.get_num_threads() == before
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()


def test_a_bfloat16_forward_of_the_reference_is_part_of_the_floor(shop):
    found = measured(shop, noise=NoiseFloorSpec(bf16=True))
    assert len(found.noise_floor.bf16_values) == 30
    assert max(found.noise_floor.bf16_values) < 1.0  # of an untrained model, it may be anything


# ---------------------------------------------------------------- hooked models


def test_a_hooked_model_of_the_users_own_goes_through_the_whole_gate(tmp_path):
    import hooked_models
    from safetensors.torch import save_file

    torch.manual_seed(0)
    module = hooked_models.UniversalTransformer()
    for name, change in (("ref", 0.0), ("int4", 0.05)):
        weights = {key: each + change * torch.randn_like(each) for key, each in module.state_dict().items()}
        save_file({k: v.half() if change else v for k, v in weights.items()}, tmp_path / f"{name}.safetensors")
    inputs = np.random.default_rng(3).integers(0, 5, size=(20, 6)).astype(np.int32)
    np.savez(tmp_path / "eval.npz", inputs=inputs)
    options = (("answers", "head"), ("carry", "block"), ("factory", "hooked_models:UniversalTransformer"))
    reference, candidate = (
        ModelSpec(name, str(tmp_path / f"{file}.safetensors"), options, use="hooked")
        for name, file in (("reference", "ref"), ("int4", "int4"))
    )
    base = policy_of(tmp_path, batch=8)
    names = ("carry_fidelity", "carry_norm_ratio", "answer_agreement", "step_fidelity", "consecutive_similarity")
    policy = replace(
        base,
        reference=reference,
        candidates=(candidate,),
        recursion=Depth(1, 1, 4),
        checks=tuple(check for check in base.checks if check.metric in names and not check.options),
    )
    found = gate.measure(policy, gate.MeasureOptions(allow_code=True), Recorded())
    assert {one.status for one in found.measurements} == {MeasureStatus.MEASURED}, found.measurements
    fidelity = the(found, "int4", "carry_fidelity")
    assert fidelity.detail == "stream carry"
    assert len(fidelity.curve) == 4
    assert 0.5 < np.mean(fidelity.values) < 1.0
    assert np.mean(found.noise_floor.values) > 0.999


# ---------------------------------------------------------------- a checkpoint that nobody here trained


@pytest.mark.shared_models
def test_on_a_trained_recurrent_transformer_the_gate_finds_the_known_fidelities(shared, tmp_path):
    from test_families import shortest_paths

    folder = shared / "models" / "recurrent-transformer-sp4x4"
    facts = (("num_heads", 4),)
    reference = ModelSpec("reference", str(folder / "sp4x4_base.pt"), facts)
    opened = open_model(reference)
    recipes = ("int4-calibrated", "int4-naive", "int8")
    for recipe in recipes:
        small = parse_recipe(recipe).compress(opened, None)
        (tmp_path / f"{recipe}.safetensors").write_bytes(artifact.encode(small))
    inputs, answers = shortest_paths(folder / "4x4_1610.data")
    only = [row for row, paths in enumerate(answers) if len(paths) == 1][:24]  # one shortest path: one right answer
    labels = np.stack([answers[row][0] for row in only])
    np.savez(tmp_path / "eval.npz", inputs=inputs[only], labels=labels.astype(np.int32))
    base = policy_of(tmp_path, batch=32)
    policy = replace(
        base,
        reference=reference,
        candidates=tuple(ModelSpec(name, str(tmp_path / f"{name}.safetensors")) for name in recipes),
        inputs=InputsSpec("npz", (("answer", "16:40"), ("path", "eval.npz")), base=str(tmp_path)),
        recursion=Depth(1, 1, 32),
        checks=tuple(check for check in base.checks if not check.options and check.metric in METRIC_NAMES),
    )
    found = gate.measure(policy, gate.MeasureOptions(), Recorded())
    fidelity = {name: np.mean(the(found, name, "carry_fidelity").values) for name in recipes}
    assert fidelity["int8"] == pytest.approx(1.000, abs=0.001)
    assert fidelity["int4-calibrated"] == pytest.approx(0.994, abs=0.004)
    assert fidelity["int4-naive"] == pytest.approx(0.979, abs=0.008)
    assert np.mean(found.noise_floor.values) > 0.9999
    growth = the(found, "int8", "carry_range").detail
    assert growth.startswith("largest |z| by step")
    assert np.mean(the(found, "int8", "cell_accuracy").values) > 0.95
    assert abs(np.mean(the(found, "int8", "puzzle_exact_drop").values)) < 0.02
