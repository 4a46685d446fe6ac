"""The families against an independent float64 reference, against real checkpoints, and against false claims."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import reference_recursion
import torch

from fidelity_gate.errors import InputsRefused, ModelRefused
from fidelity_gate.inputs.making import make_probes
from fidelity_gate.models.families.hrm import Hrm
from fidelity_gate.models.families.recurrent_transformer import RecurrentTransformer
from fidelity_gate.models.families.trm import Trm
from fidelity_gate.records import Depth, Role, RunSpec

DEPTH = Depth(h_cycles=2, l_cycles=3, steps=3)
TABLE = {"puzzle_emb_ndim": 40, "puzzle_emb_len": 3, "num_puzzle_identifiers": 5}
SIZES = {"hidden_size": 32, "vocab_size": 9, "seq_len": 7}
MODELS = {
    "trm-rope": Trm(num_heads=4, **SIZES, **TABLE),
    "trm-learned": Trm(num_heads=2, positions="learned", layers=1, **SIZES, **TABLE),
    "trm-none": Trm(num_heads=4, positions="none", **SIZES),
    "trm-mlp": Trm(mixer="mlp", positions="none", **SIZES, **TABLE),
    "hrm-rope": Hrm(num_heads=4, h_layers=2, l_layers=2, expansion=2.0, rope_theta=500.0, **SIZES, **TABLE),
    "hrm-learned": Hrm(num_heads=4, h_layers=1, l_layers=1, positions="learned", rms_norm_eps=1e-3, **SIZES),
}
RT = RecurrentTransformer(hidden_size=16, vocab_size=4, answer_size=2, num_heads=2, seq_len=5, mlp_size=24, steps=3)


def weights_of(model, seed=0):
    draws = np.random.default_rng(seed)
    found = {}
    for name, (shape, role) in model.tensors().items():
        scale = 1.0 if name.endswith("_init") or role is not Role.BLOCK else 0.7 / np.sqrt(shape[-1])
        found[name] = torch.from_numpy((scale * draws.standard_normal(shape)).astype(np.float32))
    return found


def probes_of(model, count=3, seed=0):
    draws = np.random.default_rng(seed)
    inputs = draws.integers(0, model.vocab_size, (count, model.seq_len), dtype=np.int32)
    known = getattr(model, "num_puzzle_identifiers", 0)
    identifiers = draws.integers(0, max(known, 1), count, dtype=np.int32)
    return make_probes(inputs, None, identifiers=identifiers, source="test")


def shapes_of(model):
    return {name: shape for name, (shape, _) in model.tensors().items()}


def relative(found, expected):
    return np.linalg.norm(found.numpy() - expected) / np.linalg.norm(expected)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_every_act_step_agrees_with_an_independent_reference_to_1e_5(name):
    model = MODELS[name]
    weights, batch = weights_of(model), probes_of(model)
    config = reference_recursion.Config(
        hidden=model.hidden_size,
        heads=model.num_heads,
        positions=model.positions,
        puzzle_tokens=model.puzzle_emb_len,
        mlp=getattr(model, "mixer", "attention") == "mlp",
        layers=model.layers if isinstance(model, Trm) else model.l_layers,
        two_levels=isinstance(model, Hrm),
        eps=model.rms_norm_eps,
        theta=model.rope_theta,
    )
    expected = reference_recursion.trajectory(batch.inputs, batch.identifiers, weights, config, DEPTH)
    found = list(model.build(weights, RunSpec()).run(batch, DEPTH))
    assert len(found) == DEPTH.steps
    for state, (z_h, z_l, logits, halt) in zip(found, expected, strict=True):
        assert relative(state.carry["z_H"], z_h) < 1e-5
        assert relative(state.carry["z_L"], z_l) < 1e-5
        assert relative(state.logits, logits) < 1e-5
        assert relative(state.halt, halt) < 1e-5


@pytest.mark.parametrize("model", [*MODELS.values(), RT], ids=[*MODELS, "rt"])
def test_an_architecture_is_read_back_from_its_own_shapes_and_fields(model):
    assert type(model).derive(shapes_of(model), model.architecture()) == model


@pytest.mark.parametrize("model", [*MODELS.values(), RT], ids=[*MODELS, "rt"])
def test_no_family_takes_the_tensors_of_another(model):
    others = {Trm, Hrm, RecurrentTransformer} - {type(model)}
    assert [other.derive(shapes_of(model), ()) for other in others] == [None, None]


def test_shapes_tell_all_but_heads_and_rotary_positions():
    model = MODELS["trm-learned"]
    assert Trm.derive(shapes_of(model), (("num_heads", 2), ("puzzle_emb_len", 3))) == model
    assert Trm.derive(shapes_of(model), (("num_heads", 2), ("seq_len", 7))) == model
    mlp = MODELS["trm-mlp"]
    assert Trm.derive(shapes_of(mlp), (("num_heads", 8), ("seq_len", 7))) == mlp
    assert Trm.derive(shapes_of(mlp), ()).seq_len == 8  # two tokens are enough for 40 values


def test_an_unhinted_puzzle_embedding_fills_as_many_tokens_as_it_needs():
    shapes = shapes_of(MODELS["hrm-rope"])
    found = Hrm.derive(shapes, (("num_heads", 4), ("puzzle_emb_len", 0), ("rope_theta", 500.0)))
    assert found.puzzle_emb_len == 2
    assert found.geometry() is None  # rope takes any number of tokens: nothing tells how many there are


@pytest.mark.parametrize(
    ("name", "hints", "field"),
    [
        ("trm-rope", (("positions", "rope"),), "num_heads"),
        ("trm-rope", (("num_heads", 4),), "positions"),
        ("trm-rope", (("num_heads", 3), ("positions", "rope")), "num_heads"),
        ("trm-rope", (("num_heads", 4), ("positions", "learned")), "positions"),
        ("trm-learned", (("num_heads", 4), ("positions", "rope")), "positions"),
        ("trm-rope", (("num_heads", 4), ("positions", "rope"), ("hidden_size", 64)), "hidden_size"),
        ("trm-rope", (("num_heads", 4), ("positions", "rope"), ("expansion", 16.0)), "expansion"),
        ("trm-rope", (("num_heads", 4), ("positions", "rope"), ("layers", 3)), "layers"),
        ("trm-rope", (("num_heads", 4), ("positions", "rope"), ("puzzle_emb_len", 1)), "puzzle_emb_len"),
        ("trm-none", (("num_heads", 4), ("positions", "none"), ("puzzle_emb_len", 16)), "puzzle_emb_len"),
        ("trm-mlp", (("mixer", "attention"),), "mixer"),
        ("trm-mlp", (("seq_len", 9),), "puzzle_emb_len"),
        ("trm-mlp", (("puzzle_emb_len", 3), ("seq_len", 6)), "seq_len"),
        ("trm-mlp", (("steps", -1),), "steps"),
        ("trm-mlp", (("rms_norm_eps", float("nan")),), "rms_norm_eps"),
        ("hrm-rope", (("num_heads", 4), ("positions", "none")), "positions"),
    ],
)
def test_a_missing_or_contradicting_fact_is_refused_by_its_name(name, hints, field):
    model = MODELS[name]
    with pytest.raises(ModelRefused) as refused:
        type(model).derive(shapes_of(model), hints)
    assert refused.value.field == field


def test_a_missing_tensor_is_refused_by_its_name():
    shapes = shapes_of(MODELS["trm-rope"])
    del shapes["embed_tokens.embedding_weight"]
    with pytest.raises(ModelRefused, match=r"embed_tokens\.embedding_weight: is missing for trm"):
        Trm.derive(shapes, (("num_heads", 4), ("positions", "rope")))


def test_layers_that_do_not_count_from_zero_are_refused():
    shapes = {
        name.replace("layers.1.", "layers.900000."): shape for name, shape in shapes_of(MODELS["trm-rope"]).items()
    }
    with pytest.raises(ModelRefused, match="count from 0"):
        Trm.derive(shapes, (("num_heads", 4), ("positions", "rope")))


@pytest.mark.parametrize("field", ["layers", "hidden_size", "seq_len", "vocab_size"])
def test_a_header_cannot_claim_sizes_that_exhaust_the_machine(field):
    with pytest.raises(ModelRefused) as refused:
        Trm(**{"num_heads": 4, **SIZES, field: 2**40})
    assert refused.value.field == field


def test_a_sent_carry_replaces_the_models_own():
    model = MODELS["trm-rope"]
    recursion, batch = model.build(weights_of(model), RunSpec()), probes_of(model)
    free = list(recursion.run(batch, DEPTH))
    steps = recursion.run(batch, DEPTH)
    next(steps)
    second = steps.send(free[1].carry)
    assert torch.equal(second.carry["z_H"], free[2].carry["z_H"])
    assert torch.equal(second.logits, free[2].logits)


def test_states_are_never_changed_after_they_were_given_out():
    model = MODELS["hrm-rope"]
    kept, copies = [], []
    for state in model.build(weights_of(model), RunSpec()).run(probes_of(model), DEPTH):
        kept.append(state.carry["z_L"])
        copies.append(state.carry["z_L"].clone())
    assert all(torch.equal(one, other) for one, other in zip(kept, copies, strict=True))


def test_inference_mode_does_not_leak_into_the_caller():
    model = MODELS["trm-mlp"]
    for _ in model.build(weights_of(model), RunSpec()).run(probes_of(model), DEPTH):
        assert not torch.is_inference_mode_enabled()


def test_two_runs_are_equal_to_the_bit_and_noise_follows_its_seed():
    model = MODELS["trm-learned"]
    recursion, batch = model.build(weights_of(model), RunSpec()), probes_of(model)

    def last(**noise):
        *_, state = recursion.run(batch, Depth(2, 2, 1), **noise)
        return state.carry["z_H"]

    assert torch.equal(last(), last())
    assert torch.equal(last(perturbation=1e-3, seed=1), last(perturbation=1e-3, seed=1))
    assert not torch.equal(last(perturbation=1e-3, seed=1), last(perturbation=1e-3, seed=2))
    assert 0 < relative(last(perturbation=1e-3, seed=1), last().numpy()) < 0.1


def test_a_module_may_stand_for_any_matrix():
    class Product(torch.nn.Module):
        def __init__(self, weight):
            super().__init__()
            self.weight = weight

        def forward(self, x):
            return x @ self.weight.T

    for model in (*MODELS.values(), RT):
        weights, batch = weights_of(model), probes_of(model)
        matrices = {name for name, (_, role) in model.tensors().items() if role in (Role.BLOCK, Role.HEAD)}
        matrices -= {name for name in matrices if name.endswith("bias")}
        modules = {name: Product(w) if name in matrices else w for name, w in weights.items()}
        *_, plain = model.build(weights, RunSpec()).run(batch, Depth(steps=2))
        *_, other = model.build(modules, RunSpec()).run(batch, Depth(steps=2))
        assert relative(other.logits, plain.logits.numpy()) < 1e-4


def test_bfloat16_is_close_but_not_equal():
    model = MODELS["trm-rope"]
    weights, batch = weights_of(model), probes_of(model)
    *_, exact = model.build(weights, RunSpec()).run(batch, Depth(steps=1))
    *_, coarse = model.build(weights, RunSpec(dtype="bfloat16")).run(batch, Depth(steps=1))
    assert coarse.carry["z_H"].dtype == torch.bfloat16
    assert coarse.halt.dtype == torch.float32
    assert 1e-4 < relative(coarse.carry["z_H"].float(), exact.carry["z_H"].numpy()) < 0.2


def test_probes_of_another_vocabulary_or_length_are_refused():
    model = MODELS["trm-rope"]
    recursion = model.build(weights_of(model), RunSpec())
    wrong = np.full((2, 7), 9, np.int32)
    with pytest.raises(InputsRefused, match="values run from 9 to 9, the model knows 0 to 8"):
        next(recursion.run(make_probes(wrong, None, source="f.npz"), DEPTH))
    with pytest.raises(InputsRefused, match="probes have 6 tokens, the model takes 7"):
        next(recursion.run(make_probes(wrong[:, 1:], None, source="f.npz"), DEPTH))
    strangers = make_probes(wrong - 1, None, identifiers=np.full(2, 5, np.int32), source="f.npz")
    with pytest.raises(InputsRefused, match="identifiers"):
        next(recursion.run(strangers, DEPTH))


def test_the_recurrent_transformer_has_no_cycles():
    recursion = RT.build({**weights_of(RT), "blocks.0.attn.mask": torch.ones(1, 1, 5, 5)}, RunSpec())
    with pytest.raises(ModelRefused, match="has no cycles"):
        next(recursion.run(probes_of(RT), Depth(2, 1, 1)))


def test_a_mask_hides_tokens():
    weights, batch = weights_of(RT), probes_of(RT)
    open_mask, causal = torch.ones(1, 1, 5, 5), torch.ones(5, 5).tril().view(1, 1, 5, 5)
    changed = make_probes((batch.inputs + np.int32([0, 0, 0, 0, 1])) % 4, None, source="test")

    def first_token(mask, probes):
        *_, state = RT.build({**weights, "blocks.0.attn.mask": mask}, RunSpec()).run(probes, Depth(steps=2))
        return state.carry["z"][:, 0]

    assert torch.equal(first_token(causal, batch), first_token(causal, changed))
    assert not torch.equal(first_token(open_mask, batch), first_token(open_mask, changed))


def test_families_are_named_and_measured_without_torch():
    code = (
        "import sys; from fidelity_gate.registry import find, table_of\n"
        "for name in table_of('models.families'): find('models.families', name)\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[1])


def test_geometry_counts_the_weights_of_one_layer():
    for model in MODELS.values():
        layer = {name: shape for name, shape in shapes_of(model).items() if name.startswith("L_level.layers.0.")}
        assert model.geometry().layer_values == sum(rows * columns for rows, columns in layer.values())
        assert model.geometry().tokens == model.seq_len + model.puzzle_emb_len
    block = {n: s for n, (s, role) in RT.tensors().items() if role is Role.BLOCK}
    assert RT.geometry().layer_values == sum(rows * columns for rows, columns in block.values())


# ---------------------------------------------------------------- checkpoints that nobody here trained


def plain_checkpoint(path):
    return torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251  (a fixture, read as the loader does)


@pytest.mark.shared_models
@pytest.mark.parametrize(("name", "exact", "cells"), [("base", 0.835, 0.982), ("ste", 0.910, 0.988)])
def test_the_recurrent_transformer_solves_as_many_puzzles_as_its_authors_say(shared, name, exact, cells):
    folder = shared / "models" / "recurrent-transformer-sp4x4"
    weights = plain_checkpoint(folder / f"sp4x4_{name}.pt")
    model = RecurrentTransformer.derive({key: tuple(w.shape) for key, w in weights.items()}, (("num_heads", 4),))
    assert model.declared_depth() == Depth(steps=32)
    inputs, answers = shortest_paths(folder / "4x4_1610.data")
    *_, state = model.build(weights, RunSpec()).run(make_probes(inputs, None, source="paths"), Depth(steps=32))
    found = state.logits.argmax(-1)[:, 16:].numpy()
    right = [(row == paths).mean(axis=1).max() for row, paths in zip(found, answers, strict=True)]
    assert round(float(np.mean([share == 1 for share in right])), 3) == exact
    assert round(float(np.mean(right)), 3) == cells


def shortest_paths(path):
    """Return the authors' 322 test puzzles: (322, 40) tokens, nodes then edges, and each one's shortest paths (n, 24).

    A node token is 1 where a path ends; an edge token is 3, or 2 where it was removed. Any shortest path is right.
    """
    inputs, answers = [], []
    for line in path.read_text().splitlines():
        removed, ends, *paths = ([int(number) for number in part.split("-") if number] for part in line.split(","))
        nodes, edges, edges_of = np.zeros(16, np.int32), np.full(24, 3, np.int32), np.zeros((len(paths), 24), np.int32)
        nodes[ends], edges[removed] = 1, 2
        for row, taken in zip(edges_of, paths, strict=True):
            row[taken] = 1
        inputs.append(np.concatenate((nodes, edges)))
        answers.append(edges_of)
    order = np.random.RandomState(0).permutation(len(inputs))[-322:]
    return np.stack(inputs)[order], [answers[index] for index in order]


@pytest.mark.shared_models
def test_an_official_hrm_checkpoint_runs(shared):
    folder = shared / "models" / "hrm-cpu"
    saved = plain_checkpoint(folder / "hrm_final_model.pth")
    weights = {name.removeprefix("inner."): weight for name, weight in saved.items()}
    hints = (("h_cycles", 2), ("l_cycles", 2), ("num_heads", 4), ("seq_len", 900), ("steps", 6))
    model = Hrm.derive({name: tuple(w.shape) for name, w in weights.items()}, hints)
    assert (model.puzzle_emb_len, model.h_layers, model.l_layers) == (1, 1, 1)
    assert shapes_of(model) == {name: tuple(w.shape) for name, w in weights.items()}
    inputs = np.load(folder / "arc-simple_test_all__inputs.npy").astype(np.int32)[:1]
    *_, state = model.build(weights, RunSpec()).run(make_probes(inputs, None, source="arc"), model.declared_depth())
    assert state.logits.shape == (1, 900, 12)
    assert state.carry["z_H"].shape == (1, 901, 64)
