"""Models of the user's own: found by hooks, stepped in lockstep, forced, and refused in clear words."""

import gc
import threading
import weakref
from dataclasses import replace
from pathlib import Path

import hooked_models
import numpy as np
import pytest
import torch
from model_files import probes, saved, spec

from fidelity_gate.errors import GateError, ModelRefused, NotMeasured, UsageError
from fidelity_gate.models.opening import open_model
from fidelity_gate.records import Artifact, Depth, Role, RunSpec, StoredTensor
from fidelity_gate.storage import artifact
from fidelity_gate.storage.quantized import IntegerScheme, dense_tensor, integer_tensor

UNIVERSAL = {"factory": "hooked_models:UniversalTransformer", "carry": "block", "answers": "head"}
THINKING = {
    "factory": "hooked_models:DeepThinking",
    "carry": "recur_block",
    "feature_axis": 1,
    "answers": "output.1",
    "answers_axis": 1,
}
READER = {"factory": "hooked_models:Reader", "carry": "cell:advance", "select": "hidden"}
TWO = {
    "factory": "hooked_models:TwoStreams",
    "carry.z_H": "high",
    "carry.z_L": "low",
    "calls.z_L": "1::2",
}


def opened(options, path=""):
    return open_model(spec(path, use="hooked", **options), allow_code=True)


def recursion(options, run=None):
    return opened(options).load(run or RunSpec())


def states(options, steps, **run):
    rows = run.pop("rows", probes(tokens=9 if "Deep" in options.get("factory", "") else 6))
    return list(recursion(options).run(rows, Depth(1, 1, steps), **run))


def test_code_never_runs_without_the_word_of_whoever_started_the_gate() -> None:
    hooked_models.CALLS.clear()
    with pytest.raises(UsageError, match="--allow-code"):
        open_model(spec("", use="hooked", factory="hooked_models:changing", carry=""))
    with pytest.raises(ModelRefused, match="has no setting 'allow_code'"):
        opened({**UNIVERSAL, "allow_code": True})
    assert hooked_models.CALLS == []


def test_a_universal_transformer_steps_as_its_own_forward_pass_does() -> None:
    found = states(UNIVERSAL, 4)
    torch.manual_seed(0)
    module = hooked_models.UniversalTransformer().eval()
    with torch.inference_mode():
        x = module.embed(torch.from_numpy(probes().inputs.astype(np.int64)))
        for state in found:
            x = module.block(x)
            assert torch.equal(state.carry["carry"], x)
            assert torch.equal(state.logits, module.head(x))
    assert len(found) == 4
    assert found[0].carry["carry"].shape == (3, 6, 8)


def test_a_channels_first_thought_becomes_tokens() -> None:
    found = states(THINKING, 5)
    assert [tuple(state.carry["carry"].shape) for state in found] == [(3, 9, 6)] * 5
    assert [state.logits is None for state in found] == [True] * 4 + [False]
    assert found[-1].logits.shape == (3, 9, 5)
    torch.manual_seed(0)
    module = hooked_models.DeepThinking().eval()
    with torch.inference_mode():
        thought, logits = module(torch.from_numpy(probes(tokens=9).inputs.astype(np.int64)))
    assert torch.equal(found[-1].carry["carry"], thought.flatten(2).transpose(1, 2))
    assert torch.equal(found[-1].logits, logits.flatten(2).transpose(1, 2))


def test_a_method_of_a_cell_is_tapped_inside_what_it_returns() -> None:
    found = states(READER, 6)
    assert [tuple(state.carry["carry"].shape) for state in found] == [(3, 1, 8)] * 6
    every_second = states({**READER, "calls": "1::2"}, 3)
    assert torch.equal(every_second[0].carry["carry"], found[1].carry["carry"])
    assert torch.equal(states({**READER, "calls": 5}, 1)[0].carry["carry"], found[5].carry["carry"])
    assert len(states({**READER, "calls": "0:2"}, 2)) == 2


def test_two_streams_make_one_state_a_step() -> None:
    found = states(TWO, 3)
    assert [sorted(state.carry) for state in found] == [["z_H", "z_L"]] * 3
    assert recursion(TWO).streams == ("z_H", "z_L")


@pytest.mark.parametrize(("options", "steps"), [(UNIVERSAL, 4), (THINKING, 5), (READER, 6), (TWO, 3)])
def test_a_sent_carry_takes_the_place_of_the_models_own(options, steps: int) -> None:
    rows = probes(tokens=9 if "Deep" in options.get("factory", "") else 6)
    depth = Depth(1, 1, steps)
    free = list(recursion(options).run(rows, depth))
    forced = recursion(options).run(rows, depth)
    state = next(forced)
    wrong = {name: torch.randn(stream.shape) for name, stream in state.carry.items()}
    moved = forced.send(wrong)
    assert all(not torch.allclose(moved.carry[name], free[1].carry[name]) for name in wrong)
    moved = forced.send(free[1].carry)  # and back onto its own path
    assert all(torch.equal(moved.carry[name], free[2].carry[name]) for name in wrong)
    forced.close()


def test_a_forced_step_equals_the_step_of_the_model_that_was_there() -> None:
    rows, depth = probes(), Depth(1, 1, 4)
    other = list(recursion({**UNIVERSAL}).run(replace(rows, inputs=rows.inputs[::-1].copy()), depth))
    forced = recursion(UNIVERSAL).run(rows, depth)
    next(forced)
    # The block sees nothing but the carry, so from another's carry it makes the other's step.
    assert torch.equal(forced.send(other[0].carry).carry["carry"], other[1].carry["carry"])


def test_noise_is_put_on_the_first_carry_and_follows_its_seed() -> None:
    plain, noisy = states(UNIVERSAL, 4), states(UNIVERSAL, 4, perturbation=1e-3, seed=5)
    again, other = (states(UNIVERSAL, 4, perturbation=1e-3, seed=seed) for seed in (5, 6))
    gap = (noisy[0].carry["carry"] - plain[0].carry["carry"]).norm() / plain[0].carry["carry"].norm()
    assert 5e-4 < float(gap) < 2e-3
    assert torch.equal(noisy[3].carry["carry"], again[3].carry["carry"])
    assert not torch.equal(noisy[3].carry["carry"], other[3].carry["carry"])


def test_interleaved_runs_of_one_model_do_not_touch_each_other() -> None:
    model = recursion(UNIVERSAL)
    alone = [list(model.run(rows, Depth(1, 1, 4))) for rows in (probes(rows=3), probes(rows=2))]
    together = zip(model.run(probes(rows=3), Depth(1, 1, 4)), model.run(probes(rows=2), Depth(1, 1, 4)), strict=True)
    for step, pair in enumerate(together):
        assert all(torch.equal(pair[i].carry["carry"], alone[i][step].carry["carry"]) for i in (0, 1))


def test_a_random_start_is_shared_by_all_that_are_compared() -> None:
    options = {"factory": "hooked_models:Random", "carry": "block"}
    one, two = (recursion(options).run(probes(), Depth(1, 1, 3)) for _ in range(2))
    before = torch.get_rng_state()
    for a, b in zip(one, two, strict=True):
        assert torch.equal(a.carry["carry"], b.carry["carry"])
    assert torch.equal(torch.get_rng_state(), before)
    other = list(recursion(options, RunSpec(seed=1)).run(probes(), Depth(1, 1, 3)))
    assert not torch.equal(other[2].carry["carry"], a.carry["carry"])


def test_an_early_close_unwinds_even_a_model_that_swallows_errors() -> None:
    hooked_models.ENDED.clear()
    threads = threading.active_count()
    run = recursion({"factory": "hooked_models:Stubborn", "carry": "block"}).run(probes(), Depth(1, 1, 5))
    next(run)
    assert hooked_models.ENDED == []
    run.close()
    assert hooked_models.ENDED == [3]
    assert threading.active_count() == threads


def test_a_run_that_was_never_started_leaves_no_thread() -> None:
    threads = threading.active_count()
    run = recursion(UNIVERSAL).run(probes(), Depth(1, 1, 4))
    del run
    gc.collect()
    assert threading.active_count() == threads


def test_inference_mode_and_threads_do_not_leak() -> None:
    run = recursion(UNIVERSAL).run(probes(), Depth(1, 1, 4))
    state = next(run)
    assert not torch.is_inference_mode_enabled()
    assert state.carry["carry"].is_inference()
    assert torch.get_num_threads() == 1
    run.close()


def test_memory_holds_one_state_whatever_the_depth() -> None:
    deep = {**UNIVERSAL, "settings.hops": 12}
    shown = []
    for state in recursion(deep).run(probes(), Depth(1, 1, 12)):
        shown.append(weakref.ref(state.carry["carry"]))
        del state
        assert sum(tensor() is not None for tensor in shown) <= 1


def test_arguments_may_stand_for_the_policys_depth() -> None:
    assert len(states({**UNIVERSAL, "arguments.hops": "depth.steps"}, 7)) == 7


def twice(h_cycles):
    return hooked_models.UniversalTransformer(hops=2 * h_cycles)


def test_cycles_that_nothing_tells_the_model_of_are_refused() -> None:
    with pytest.raises(ModelRefused) as caught:
        next(recursion(UNIVERSAL).run(probes(), Depth(2, 1, 4)))
    assert "a hook counts steps, and nothing tells the model to make 2 H-cycles" in str(caught.value)
    assert "arguments: {NAME: depth.h_cycles}" in caught.value.hint
    assert len(list(recursion({**UNIVERSAL, "arguments.hops": "depth.h_cycles"}).run(probes(), Depth(2, 1, 2)))) == 2
    built = recursion({**UNIVERSAL, "factory": "test_models_hooked:twice", "settings.h_cycles": 2})
    assert len(list(built.run(probes(), Depth(2, 1, 4)))) == 4
    with pytest.raises(ModelRefused, match="nothing tells the model to make 3 H-cycles"):
        next(built.run(probes(), Depth(3, 1, 4)))


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("options", "steps", "sentence"),
    [
        (UNIVERSAL, 3, "carry of carry: makes 4 steps in one forward pass, and the policy says 3"),
        (UNIVERSAL, 5, "carry of carry: makes 4 steps in one forward pass, and the policy says 5"),
        ({**TWO, "calls.z_L": "::"}, 3, "carry of z_L: makes its step 2 before every other stream"),
        ({**THINKING, "feature_axis": 0}, 5, "where axis 0 should count 3 probes (say how it lies"),
        ({**THINKING, "feature_axis": 7}, 5, "say how it lies: batch_axis, feature_axis"),
        ({**READER, "select": ""}, 6, "returns a CellState, not a tensor (say where in it: select: hidden, step)"),
        ({**READER, "select": "2"}, 6, "returns a CellState that has no '2'"),
        ({**READER, "select": "step"}, 6, "returns a int, not a tensor"),
        ({**UNIVERSAL, "answers": "output.all"}, 4, "answers: returns a list, not a tensor"),
        ({**UNIVERSAL, "answers": "heads"}, 4, "has no module 'heads' (it has: embed, block,"),
        ({**UNIVERSAL, "carry": "blocks"}, 4, "has no module 'blocks'"),
        ({**READER, "carry": "cell:advanced"}, 4, "a Cell has no method 'advanced'"),
        (
            {"factory": "hooked_models:breaking", "carry": "block"},
            1,
            "its forward pass failed: RuntimeError: out of \\x1b",
        ),
        ({**UNIVERSAL, "arguments.hop": 3}, 1, "its forward pass failed: TypeError"),
        ({**UNIVERSAL, "factory": "hooked_models:not_a_module"}, 1, "returned a int, not a torch module"),
        ({**UNIVERSAL, "factory": "hooked_models:failing"}, 1, "its factory failed: ValueError: no such thing"),
        ({**UNIVERSAL, "factory": "hooked_models:missing"}, 1, "hooked_models:missing: has no 'missing'"),
        ({**UNIVERSAL, "factory": "no_such_package:made"}, 1, "cannot be imported: ModuleNotFoundError"),
        ({**UNIVERSAL, "factory": "hooked_models"}, 1, "factory: says no factory"),
        ({"carry": "block"}, 1, "factory: says no factory"),
        ({"factory": "hooked_models:Reader"}, 1, "carry: says no single place"),
        ({**TWO, "carry": "high"}, 1, "carry: says no single place"),
        ({**UNIVERSAL, "calls": "-1"}, 1, "calls: '-1' selects no calls"),
        ({**UNIVERSAL, "calls": "0:4:0"}, 1, "selects no calls"),
        ({**UNIVERSAL, "feature_axis": "one"}, 1, "feature_axis: 'one' is no value for it"),
        ({**UNIVERSAL, "cary": "block"}, 1, "has no setting 'cary' (did you mean carry?)"),
    ],
)
def test_what_cannot_be_stepped_is_refused_in_clear_words(options, steps: int, sentence: str) -> None:
    with pytest.raises(GateError) as caught:
        states(options, steps)
    assert sentence in str(caught.value)
    assert caught.value.exit_code == 2


def test_a_weight_is_never_overwritten_by_a_forced_carry() -> None:
    options = {"factory": "hooked_models:Weightless", "carry.a": "start", "carry.b": "step"}
    run = recursion(options).run(probes(), Depth(1, 1, 3))
    state = next(run)
    with pytest.raises(NotMeasured, match="is a weight or a view of one"):
        run.send({name: stream + 1 for name, stream in state.carry.items()})


# ---------------------------------------------------------------- weights and facts


def test_weights_come_from_a_file_by_the_safe_loader_and_strictly(tmp_path: Path) -> None:
    torch.manual_seed(7)
    module = hooked_models.UniversalTransformer()
    path = saved({f"_orig_mod.{name}": value for name, value in module.state_dict().items()}, tmp_path / "w.pt")
    model = opened(UNIVERSAL, path)
    assert np.array_equal(model.dense()["head.weight"], module.head.weight.detach().numpy())
    assert model.facts.size_bytes == path.stat().st_size
    roles = {fact.name: fact.role for fact in model.facts.tensors}
    assert [roles[name] for name in ("embed.weight", "block.linear1.weight", "head.weight", "head.bias")] == [
        Role.EMBEDDING,
        Role.BLOCK,
        Role.HEAD,
        Role.OTHER,
    ]
    assert (model.facts.family, model.facts.geometry, model.facts.depth) == ("", None, None)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda state: state.pop("head.bias"), "head.bias: is missing"),
        (lambda state: state.update(more=torch.zeros(1)), "more: is no tensor of it"),
        (lambda state: state.update({"head.bias": torch.zeros(9)}), "head.bias: has shape (9,)"),
    ],
)
def test_weights_of_another_module_are_refused_by_name(tmp_path: Path, change, sentence: str) -> None:
    from safetensors.torch import save_file

    state = dict(hooked_models.UniversalTransformer().state_dict())
    change(state)
    save_file(state, tmp_path / "w.safetensors")
    with pytest.raises(ModelRefused) as caught:
        opened(UNIVERSAL, tmp_path / "w.safetensors")
    assert sentence in str(caught.value)


def test_digests_follow_weights_and_code_and_a_fickle_factory_is_refused() -> None:
    assert opened(UNIVERSAL).facts.digest == opened(UNIVERSAL).facts.digest
    assert opened(UNIVERSAL).facts.digest != opened({**UNIVERSAL, "settings.width": 16}).facts.digest
    fickle = opened({"factory": "hooked_models:changing", "carry": ""})
    with pytest.raises(ModelRefused, match="makes other weights every time"):
        fickle.load(RunSpec())


def artifact_of(module, product: str = "") -> bytes:
    tensors: list[StoredTensor] = []
    for name, value in module.state_dict().items():
        array = value.numpy()
        if array.ndim < 2:
            tensors.append(dense_tensor(name, Role.OTHER, array))
        elif name == product:
            largest = np.abs(array).max(axis=1)
            codes = np.rint(array / largest[:, None] * 127).astype(np.int8)
            parts = {"data": codes, "scb": largest, "threshold": np.zeros(1, np.float32)}
            tensors.append(StoredTensor(name, Role.BLOCK, array.shape, "int8-bnb", 0, True, parts))
        else:
            tensors.append(integer_tensor(name, Role.BLOCK, array, IntegerScheme(8, 0, True)))
    return artifact.encode(Artifact("", (), None, tuple(tensors), recipe="int8"))


def test_a_compressed_artifact_of_it_runs_and_says_how_it_is_stored(tmp_path: Path) -> None:
    module = hooked_models.UniversalTransformer()
    (tmp_path / "int8.safetensors").write_bytes(artifact_of(module))
    model = opened(UNIVERSAL, tmp_path / "int8.safetensors")
    facts = {fact.name: fact for fact in model.facts.tensors}
    assert facts["block.linear1.weight"].bits == 8
    assert facts["embed.weight"].role is Role.EMBEDDING  # told from the module, whatever the header says
    assert model.facts.recipe == "int8"
    assert len(list(model.load(RunSpec()).run(probes(), Depth(1, 1, 4)))) == 4
    with pytest.raises(ModelRefused, match="was made of a model of your own"):
        open_model(spec(tmp_path / "int8.safetensors"))


def test_llm_int8_products_run_in_linear_layers_only(tmp_path: Path) -> None:
    module = hooked_models.TwoStreams()
    (tmp_path / "a").write_bytes(artifact_of(module, "high.weight"))
    found = list(opened(TWO, tmp_path / "a").load(RunSpec()).run(probes(), Depth(1, 1, 3)))
    dequantized = hooked_models.TwoStreams()
    dequantized.load_state_dict({n: torch.from_numpy(a) for n, a in opened(TWO, tmp_path / "a").dense().items()})
    with torch.inference_mode():
        expected = dequantized(torch.from_numpy(probes().inputs.astype(np.int64)))
    gap = (found[-1].carry["z_H"] - expected).norm() / expected.norm()
    assert 0 < float(gap) < 0.05  # int8 activations, so near but not equal
    (tmp_path / "b").write_bytes(artifact_of(module, "embed.weight"))
    with pytest.raises(ModelRefused, match="is the weight of a Embedding"):
        opened(TWO, tmp_path / "b").load(RunSpec())
