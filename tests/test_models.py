"""Checkpoints: every layout in the wild is read, every source on the architecture counts as it should."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from model_files import ATTENTION, MLP, InProcess, probes, saved, spec, tensors_of, weights_of
from safetensors.torch import save_file

from fidelity_gate.errors import GateError, ModelRefused
from fidelity_gate.models import state
from fidelity_gate.models.opening import open_model
from fidelity_gate.records import Depth, Role, RunSpec

PREFIXES = ("", "inner.", "model.inner.", "_orig_mod.model.inner.", "module._orig_mod.model.inner.")


@pytest.fixture
def in_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InProcess:
    runner = InProcess(tmp_path / "job")
    monkeypatch.setattr(state, "run_limited", runner)
    return runner


def refusal(path, kind=ModelRefused, **options) -> str:
    with pytest.raises(GateError) as caught:
        open_model(spec(path, **options))
    assert type(caught.value) is kind
    return str(caught.value)


def holds(model, seed=0, family=MLP) -> bool:
    expected = weights_of(family, seed)
    found = model.dense()
    return sorted(found) == sorted(expected) and all(np.array_equal(found[name], expected[name]) for name in found)


# ---------------------------------------------------------------- layouts


def buffers_apart(seed, prefix=""):
    """Return what official averaging holds: parameters, not the buffers."""
    return {name: value for name, value in tensors_of(MLP, seed, prefix).items() if "_init" not in name}


LAYOUTS = {
    "bare": lambda tensors, averaged: tensors,
    "model": lambda tensors, averaged: {"model": tensors, "step": 5},
    "model_state_dict": lambda tensors, averaged: {"epoch": 1, "model_state_dict": tensors, "optimizer": {"state": {}}},
    "lightning": lambda tensors, averaged: {"state_dict": tensors, "pytorch-lightning_version": "2", "callbacks": {}},
    "ema empty": lambda tensors, averaged: {"model": tensors, "ema": {}, "ema_state_dict": None},
}
AVERAGED = {
    "ema_state_dict": lambda tensors, averaged: {"model_state_dict": tensors, "ema_state_dict": averaged},
    "ema and opt": lambda tensors, averaged: {"model": tensors, "ema": averaged, "opt": [{"lr": 1.0}], "args": None},
    "ema shadow": lambda tensors, averaged: {"model": tensors, "ema": {"decay": 0.999, "shadow": averaged}},
    "ema alone": lambda tensors, averaged: {"ema": averaged, "step": 3},
    "averaged model": lambda tensors, averaged: {
        "model": tensors,
        "ema_model": {"n_averaged": torch.tensor(3), **{f"module.{name}": value for name, value in averaged.items()}},
    },
    "lightning with a copy": lambda tensors, averaged: {
        "state_dict": {
            **{f"model.{name}": value for name, value in tensors.items()},
            **{f"ema_model.{name}": value for name, value in averaged.items()},
        }
    },
}


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_read_behind_every_prefix(
    tmp_path: Path, in_process: InProcess, layout: str, prefix: str
) -> None:
    path = saved(LAYOUTS[layout](tensors_of(MLP, prefix=prefix), None), tmp_path / "a run, of May" / "step_3000")
    model = open_model(spec(path))
    assert holds(model)
    assert (model.facts.family, model.facts.file_format, in_process.calls) == ("trm", "pytorch", 1)


@pytest.mark.parametrize("prefix", PREFIXES[:4])
@pytest.mark.parametrize("layout", AVERAGED)
def test_averaged_weights_are_preferred_and_that_is_said(
    tmp_path: Path, in_process: InProcess, layout: str, prefix: str
) -> None:
    content = AVERAGED[layout](tensors_of(MLP, 0, prefix), tensors_of(MLP, 1, prefix))
    model = open_model(spec(saved(content, tmp_path / "checkpoint.pt")))
    assert holds(model, seed=1)
    assert "took the EMA weights" in model.facts.notes[0]


def test_what_averaging_left_out_comes_from_the_plain_weights(tmp_path: Path, in_process: InProcess) -> None:
    content = {"model": tensors_of(MLP, 0, "_orig_mod.model.inner."), "ema": buffers_apart(1, "model.inner.")}
    model = open_model(spec(saved(content, tmp_path / "checkpoint.pt")))
    dense = model.dense()
    assert np.array_equal(dense["H_init"], weights_of(MLP, 0)["H_init"])
    assert np.array_equal(dense["lm_head.weight"], weights_of(MLP, 1)["lm_head.weight"])
    assert model.facts.notes == ("took the EMA weights ('ema'); not averaged, so from the plain ones: H_init, L_init",)


def test_the_policy_may_say_which_weights_to_take(tmp_path: Path, in_process: InProcess) -> None:
    path = saved({"model": tensors_of(MLP, 0), "ema": {"shadow_params": [1]}}, tmp_path / "checkpoint.pt")
    assert "without their names" in refusal(path)
    assert holds(open_model(spec(path, weights="model")))
    assert "no entry 'modle'" in refusal(path, weights="modle")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ([1, 2], "holds a list"),
        ({}, "holds no tensors"),
        ({"model": {"a": {"b": torch.zeros(2)}}}, "a: is a dict, not a tensor"),
        ({"weird": {"a": torch.zeros(2)}}, "weird: is a dict, not a tensor"),
        ({"a": torch.zeros(2), "epoch": 3}, "epoch: is a int, not a tensor"),
        ({1: torch.zeros(2)}, "a key is a int"),
        ({"ema": torch.zeros(2), "model": {"a": torch.zeros(2)}}, "ema: holds averaged"),
        ({"model": {"a": torch.zeros(2)}, "ema": {"b": torch.zeros(2)}}, "b: is among the EMA weights only"),
        ({"a": torch.zeros(2)}, "no family has these tensors: a"),
    ],
)
def test_what_is_no_state_dict_is_refused_by_name(tmp_path: Path, in_process, content, sentence: str) -> None:
    assert sentence in refusal(saved(content, tmp_path / "checkpoint.pt"))


def test_other_types_are_kept_as_stored_and_widened_to_run(tmp_path: Path, in_process: InProcess) -> None:
    tensors = tensors_of(MLP)
    tensors["H_init"] = tensors["H_init"].bfloat16()
    tensors["L_init"] = tensors["L_init"].double()
    tensors["lm_head.weight"] = torch.nn.Parameter(tensors["lm_head.weight"].half())
    model = open_model(spec(saved(tensors, tmp_path / "step_1")))
    facts = {fact.name: fact for fact in model.facts.tensors}
    assert [facts[name].stored_as for name in ("H_init", "L_init", "lm_head.weight", "q_head.bias")] == [
        "bfloat16",
        "float64",
        "float16",
        "float32",
    ]
    assert facts["H_init"].payload_bytes == 16
    assert facts["lm_head.weight"].role is Role.HEAD
    assert {array.dtype.name for array in model.dense().values()} == {"float32"}


def test_safetensors_state_dicts_are_read_without_a_child(tmp_path: Path, in_process: InProcess) -> None:
    path = tmp_path / "model.safetensors"
    save_file(tensors_of(MLP, prefix="model.inner."), path)
    model = open_model(spec(path))
    assert holds(model)
    assert (model.facts.file_format, in_process.calls) == ("safetensors", 0)
    assert model.facts.size_bytes == path.stat().st_size


# ---------------------------------------------------------------- facts and running


def test_one_file_opened_twice_has_one_digest_and_steps_alike(tmp_path: Path, in_process: InProcess) -> None:
    path = saved(tensors_of(ATTENTION), tmp_path / "a")
    first, second = (open_model(spec(path, num_heads=2, positions="rope")) for _ in range(2))
    assert first.facts == second.facts
    depth = Depth(2, 2, 3)
    states = [list(model.load(RunSpec()).run(probes(), depth)) for model in (first, second)]
    assert all(torch.equal(a.carry["z_H"], b.carry["z_H"]) for a, b in zip(*states, strict=True))
    assert states[0][0].carry["z_H"].shape == (3, 7, 8)


def test_one_real_child_reads_what_the_stand_in_reads(tmp_path: Path) -> None:
    path = saved({"model": tensors_of(MLP, 0), "ema": buffers_apart(1)}, tmp_path / "checkpoint.pt")
    model = open_model(spec(path))
    assert np.array_equal(model.dense()["lm_head.weight"], weights_of(MLP, 1)["lm_head.weight"])
    assert "took the EMA weights" in model.facts.notes[0]


def test_a_link_is_followed_and_said(tmp_path: Path, in_process: InProcess) -> None:
    path = saved(tensors_of(MLP), tmp_path / "real")
    (tmp_path / "link").symlink_to(path)
    model = open_model(spec(tmp_path / "link"))
    assert model.facts.digest == open_model(spec(path)).facts.digest
    assert model.facts.notes == (f"is a link to {path.resolve()}",)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda tensors: tensors.pop("L_init"), "L_init: is missing for trm"),
        (lambda tensors: tensors.update(extra=torch.zeros(2)), "extra: is no tensor of trm"),
        (lambda tensors: tensors.update(H_init=torch.zeros(9)), "H_init: has shape 9, and the architecture says 8"),
        (lambda tensors: tensors.update({"q_head.bias": torch.tensor([0.0, float("nan")])}), "q_head.bias: holds NaN"),
        (lambda tensors: tensors.update({"H_init": torch.full((8,), float("inf"))}), "H_init: holds NaN or infinite"),
        (
            lambda tensors: tensors.update({"lm_head.weight": torch.zeros(5, 8, dtype=torch.int8)}),
            "lm_head.weight: holds int8 values without scales",
        ),
        (
            lambda tensors: tensors.update(H_initt=tensors.pop("H_init")),
            "H_init: is missing for trm (is it H_initt?)",
        ),
    ],
)
def test_a_wrong_missing_or_extra_tensor_is_refused_by_name(tmp_path, in_process, change, sentence) -> None:
    tensors = tensors_of(MLP)
    change(tensors)
    assert sentence in refusal(saved(tensors, tmp_path / "step_1"))


def test_a_value_beyond_float32_is_refused_when_it_is_widened(tmp_path: Path, in_process: InProcess) -> None:
    tensors = tensors_of(MLP)
    tensors["H_init"] = tensors["H_init"].double() * 1e300
    model = open_model(spec(saved(tensors, tmp_path / "step_1")))
    with pytest.raises(ModelRefused, match="H_init"):
        model.load(RunSpec())


# ---------------------------------------------------------------- who says what of the architecture


OFFICIAL = """
arch:
  H_cycles: 3
  L_cycles: 6
  L_layers: 1
  H_layers: 0
  halt_max_steps: 16
  hidden_size: 8
  num_heads: 2
  expansion: 4
  pos_encodings: rope
  mlp_t: false
  puzzle_emb_ndim: 8
  puzzle_emb_len: 1
  forward_dtype: bfloat16
  loss: {loss_type: stablemax_cross_entropy, name: losses@ACTLossHead}
  name: recursive_reasoning.trm@TinyRecursiveReasoningModel_ACTV1
data_paths: [data/sudoku]
evaluators: []
lr: 1e-4
"""


def official_folder(tmp_path: Path, config: str = OFFICIAL) -> Path:
    path = saved(tensors_of(ATTENTION, prefix="_orig_mod.model.inner."), tmp_path / "step_9")
    (tmp_path / "all_config.yaml").write_text(config)
    return path


def test_an_official_configuration_beside_the_file_is_read(tmp_path: Path, in_process: InProcess) -> None:
    path = official_folder(tmp_path)
    bare = open_model(spec(saved(tensors_of(ATTENTION), tmp_path / "elsewhere" / "a"), num_heads=2, positions="rope"))
    model = open_model(spec(path))
    fields = dict(model.facts.architecture)
    assert (model.facts.depth, fields["num_heads"], fields["seq_len"]) == (Depth(3, 6, 16), 2, 0)
    assert model.facts.size_bytes == path.stat().st_size + len(OFFICIAL)
    assert model.facts.digest != bare.facts.digest
    (tmp_path / "dataset.json").write_text(json.dumps({"vocab_size": 5, "seq_len": 6, "sets": ["all"], "pad_id": 0}))
    again = open_model(spec(path))
    assert dict(again.facts.architecture)["seq_len"] == 6
    assert again.facts.notes == ("read all_config.yaml beside it", "read dataset.json beside it")


def test_the_policy_counts_before_the_sidecar_and_that_before_the_official_configuration(
    tmp_path: Path, in_process: InProcess
) -> None:
    path = official_folder(tmp_path)
    Path(f"{path}.model.yaml").write_text("h_cycles: 2\nl_cycles: 2\n")
    model = open_model(spec(path, h_cycles=1))
    assert model.facts.depth == Depth(1, 2, 16)
    assert "h_cycles is 1 as the policy says, not 2 as step_9.model.yaml says" in model.facts.notes
    assert "h_cycles is 1 as the policy says, not 3 as all_config.yaml says" in model.facts.notes
    assert "l_cycles is 2 as step_9.model.yaml says, not 6 as all_config.yaml says" in model.facts.notes


def test_a_contradiction_with_the_tensors_is_refused_whoever_is_overruled(tmp_path: Path, in_process) -> None:
    path = official_folder(tmp_path, OFFICIAL.replace("hidden_size: 8", "hidden_size: 512"))
    assert "hidden_size in all_config.yaml: is said to be 512, and the tensors say 8" in refusal(path)
    assert "hidden_size in all_config.yaml" in refusal(path, hidden_size=8)
    assert "hidden_size in the policy: is said to be 9" in refusal(path, hidden_size=9)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("num_head: 2", "has no setting 'num_head'"),
        ("num_heads: two", "'two' is no value for it"),
        ("num_heads: 2\nnum_heads: 3", "2: holds the key 'num_heads' twice"),
        ("- num_heads", "holds a list or an alias"),
        ("num_heads", "must be a mapping"),
        ("", "zero bytes"),
        ("# nothing", "is empty"),
        ("num_heads: [2]", "holds a list or an alias"),
        ("num_heads: &a 2", "holds an anchor or a tag"),
        ("num_heads: !!int 2", "holds an anchor or a tag"),
        ("num_heads: 2\n---\nnum_heads: 3", "more than one document"),
        ("num_heads: 1e999", "beyond float64"),
        ("use: hooked", "use: may be said in the policy only"),
        ("{a: {b: {c: {d: {e: {f: {g: {h: {i: {j: {k: {l: {m: {n: {o: {p: {q: 1}}}}}}}}}}}}}}}}}", "nested too deeply"),
        ("num_heads: 2\n\tx", "is not YAML"),
        ("? {a: 1}\n: 2", "a key that is not text"),
        ("x: {y: 1}\nx.y: 2", "says x.y twice"),
        ("\ud83d", None),
    ],
)
def test_a_sidecar_is_small_flat_and_strict(tmp_path: Path, in_process: InProcess, text: str, sentence: str) -> None:
    path = saved(tensors_of(ATTENTION), tmp_path / "m.pt")
    Path(f"{path}.model.yaml").write_bytes(text.encode("utf-8", "surrogatepass"))
    assert (sentence or "is not UTF-8 text") in refusal(path)


def test_a_sidecar_that_cannot_be_read_is_refused_not_ignored(tmp_path: Path, in_process: InProcess) -> None:
    path = saved(tensors_of(MLP), tmp_path / "m.pt")
    Path(f"{path}.model.yaml").mkdir()
    assert "is a folder" in refusal(path)


def test_official_anchors_and_lists_are_passed_over(tmp_path: Path, in_process: InProcess) -> None:
    config = OFFICIAL + "x: &a [1, *a2, {y: 1}]\nb: *a\n".replace("*a2, ", "")
    assert open_model(spec(official_folder(tmp_path, config))).facts.depth == Depth(3, 6, 16)


def test_a_fact_that_no_shape_tells_is_asked_for_by_name(tmp_path: Path, in_process: InProcess) -> None:
    said = refusal(saved(tensors_of(ATTENTION), tmp_path / "m.pt"))
    assert "num_heads: is not known" in said
    assert "model: {num_heads: N}" in said


def test_a_family_may_be_named_and_must_exist(tmp_path: Path, in_process: InProcess) -> None:
    path = saved(tensors_of(MLP), tmp_path / "m.pt")
    assert open_model(spec(path, family="trm")).facts.family == "trm"
    assert "there is no family 'trn' (did you mean trm?)" in refusal(path, family="trn")
    assert "no family has these tensors" in refusal(path, family="hrm")
    assert "has no setting 'depht'" in refusal(path, depht=3)


# ---------------------------------------------------------------- which format


def test_predictions_beside_a_checkpoint_are_refused_as_such(tmp_path: Path) -> None:
    path = saved({"logits": torch.zeros(2)}, tmp_path / "step_100_all_preds.3")
    assert "holds the predictions of an evaluation run, not weights" in refusal(path)


def test_what_no_format_recognises_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"GGUF whatever")
    assert "in no model format that is known here" in refusal(tmp_path / "x")
    with pytest.raises(GateError, match=r"did you mean checkpoint\?"):
        open_model(spec(tmp_path / "x", use="chekpoint"))
    assert "neither a PyTorch checkpoint nor a safetensors file" in refusal(tmp_path / "x", use="checkpoint")


@pytest.mark.shared_models
def test_real_checkpoints_of_others_are_read(shared: Path) -> None:
    hrm = shared / "models" / "hrm-cpu" / "hrm_final_model.pth"
    model = open_model(spec(hrm, num_heads=4, positions="rope", seq_len=900))
    fields = dict(model.facts.architecture)
    assert (model.facts.family, fields["hidden_size"], fields["vocab_size"], fields["puzzle_emb_ndim"]) == (
        "hrm",
        64,
        12,
        32,
    )
    assert sum(fact.values for fact in model.facts.tensors) == 132_930
    recurrent = shared / "models" / "recurrent-transformer-sp4x4" / "sp4x4_ste.pt"
    assert open_model(spec(recurrent, num_heads=4)).facts.family == "recurrent-transformer"
