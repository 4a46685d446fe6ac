"""Our own format: run as stored, every claim of its header held against the tensors."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from model_files import ATTENTION, MLP, probes, spec, weights_of

from fidelity_gate.errors import GateError, ModelRefused, NotMeasured
from fidelity_gate.models import llm_int8
from fidelity_gate.models.opening import open_model
from fidelity_gate.records import Artifact, Depth, Role, RunSpec, StoredTensor
from fidelity_gate.storage import artifact
from fidelity_gate.storage.quantized import IntegerScheme, dense_of, dense_tensor, integer_tensor

DEPTH = Depth(2, 2, 3)


def stored_as(kind: str, name: str, role: Role, array: np.ndarray, threshold: float = 0.0) -> StoredTensor:
    if role in (Role.OTHER, Role.EMBEDDING) or kind == "dense":
        return dense_tensor(name, role, array)
    if kind == "int8-bnb":
        largest = np.abs(array).max(axis=1)
        codes = np.rint(array / largest[:, None] * 127).astype(np.int8)
        parts = {"data": codes, "scb": largest, "threshold": np.full(1, threshold, np.float32)}
        return StoredTensor(name, role, array.shape, "int8-bnb", 0, True, parts)
    return integer_tensor(name, role, array, IntegerScheme(4, 0, symmetric=False))


def made(family=MLP, kind: str = "dense", threshold: float = 0.0) -> Artifact:
    weights = weights_of(family)
    tensors = tuple(
        stored_as(kind, name, role, weights[name], threshold) for name, (_, role) in sorted(family.tensors().items())
    )
    return Artifact(family.name, family.architecture(), DEPTH, tensors, recipe=kind)


def written(content: Artifact, path: Path) -> Path:
    path.write_bytes(artifact.encode(content))
    return path


def run(model):
    return list(model.load(RunSpec()).run(probes(), DEPTH))


def refusal(content: Artifact, path: Path, **options) -> str:
    with pytest.raises(GateError) as caught:
        open_model(spec(written(content, path), **options))
    assert type(caught.value) is ModelRefused
    return str(caught.value)


@pytest.mark.parametrize("family", [MLP, ATTENTION])
def test_an_artifact_runs_with_the_weights_it_stores(tmp_path: Path, family) -> None:
    model = open_model(spec(written(made(family, "int4"), tmp_path / "a.safetensors")))
    expected = {tensor.name: dense_of(tensor) for tensor in made(family, "int4").tensors}
    assert all(np.array_equal(model.dense()[name], expected[name]) for name in expected)
    direct = family.build({name: torch.from_numpy(array) for name, array in expected.items()}, RunSpec())
    for state, other in zip(run(model), direct.run(probes(), DEPTH), strict=True):
        assert torch.equal(state.carry["z_H"], other.carry["z_H"])
    assert (model.facts.file_format, model.facts.depth, model.facts.recipe) == ("artifact", DEPTH, "int4")
    bits = {fact.name: fact.bits for fact in model.facts.tensors}
    assert bits["L_level.layers.0.mlp.down_proj.weight"] == 4


@pytest.mark.parametrize("threshold", [0.0, 6.0])
def test_llm_int8_runs_with_int8_activations_and_says_when_the_batch_counts(tmp_path: Path, threshold: float) -> None:
    content = made(ATTENTION, "int8-bnb", threshold)  # mixing matrices that nobody trained are chaotic
    model = open_model(spec(written(content, tmp_path / "a")))
    float_weights = {tensor.name: torch.from_numpy(dense_of(tensor)) for tensor in content.tensors}
    float_run = list(ATTENTION.build(float_weights, RunSpec()).run(probes(), DEPTH))
    state = run(model)[0]
    gap = (state.carry["z_H"] - float_run[0].carry["z_H"]).norm() / float_run[0].carry["z_H"].norm()
    assert 0 < float(gap) < 0.2
    assert any("depend on the batch size" in note for note in model.facts.notes) is bool(threshold)


def test_a_header_that_lies_is_refused_by_name(tmp_path: Path) -> None:
    path, true = tmp_path / "a", made()
    first = true.tensors[0]

    def with_tensor(name: str, change) -> Artifact:
        return replace(true, tensors=tuple(change(t) if t.name == name else t for t in true.tensors))

    def with_field(name: str, value) -> Artifact:
        return replace(true, architecture=tuple((k, value if k == name else v) for k, v in true.architecture))

    as_other = with_tensor("lm_head.weight", lambda tensor: replace(tensor, role=Role.OTHER))
    assert "lm_head.weight: is said to be of role other, and is of role head" in refusal(as_other, path)
    assert "H_init: is missing for trm" in refusal(replace(true, tensors=true.tensors[1:]), path)
    extra = replace(true, tensors=(*true.tensors, replace(first, name="more")))
    assert "more: is no tensor of trm" in refusal(extra, path)
    assert "has shape" in refusal(with_field("hidden_size", 16), path)
    assert "layers" in refusal(with_field("layers", 10**9), path)
    assert "'eight' is not a value trm takes" in refusal(with_field("hidden_size", "eight"), path)
    assert "no family is named 'trn'" in refusal(replace(true, family="trn"), path)
    assert "trm has no option" in refusal(replace(true, architecture=(*true.architecture, ("zz", 1))), path)
    deeper = replace(
        true, architecture=tuple({**dict(true.architecture), "h_cycles": 3, "l_cycles": 3, "steps": 3}.items())
    )
    assert "depth: declares a depth of H=2 L=2 steps=3" in refusal(deeper, path)


def test_a_policy_that_describes_another_model_is_refused(tmp_path: Path) -> None:
    path = written(made(), tmp_path / "a")
    assert open_model(spec(path, hidden_size=8, family="trm")).facts.family == "trm"
    assert "hidden_size: is 8 in the file, and 16 in the policy" in refusal(made(), path, hidden_size=16)
    assert "has no setting 'hiden_size' (did you mean hidden_size?)" in refusal(made(), path, hiden_size=8)


def test_an_artifact_is_never_taken_for_a_plain_state_dict(tmp_path: Path) -> None:
    path = written(made(), tmp_path / "a")
    assert open_model(spec(path)).facts.file_format == "artifact"
    assert open_model(spec(path)).facts.digest == open_model(spec(path, use="artifact")).facts.digest


# ---------------------------------------------------------------- LLM.int8


def matrix(rows=5, columns=7, threshold=0.0) -> StoredTensor:
    array = np.random.default_rng(3).normal(size=(rows, columns)).astype(np.float32)
    return stored_as("int8-bnb", "w", Role.BLOCK, array, threshold)


@pytest.mark.parametrize("threshold", [0.0, 6.0])
@pytest.mark.parametrize("shape", [(5, 7), (1, 1), (64, 96), (97, 512)])
def test_the_library_agrees_with_independent_arithmetic(shape, threshold: float) -> None:
    stored = matrix(*shape, threshold)
    x = np.random.default_rng(4).normal(size=(6, shape[1])).astype(np.float16).astype(np.float32) * 4
    found = llm_int8.matrix_of(stored, "f")(torch.from_numpy(x).reshape(2, 3, shape[1]))
    expected = llm_int8.reference_product(x, stored, threshold).reshape(2, 3, shape[0])
    assert found.shape == (2, 3, shape[0])
    assert found.dtype == torch.float32
    assert np.linalg.norm(found.numpy() - expected) <= 5e-3 * np.linalg.norm(expected)


def test_a_library_that_computes_something_else_is_never_graded(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = llm_int8.reference_product
    monkeypatch.setattr(llm_int8, "reference_product", lambda *given: honest(*given) * 1.05)
    with pytest.raises(NotMeasured, match=r"w: bitsandbytes differs from LLM.int8 arithmetic by 4.8%"):
        llm_int8.matrix_of(matrix(), "f")


def test_a_layer_in_training_mode_is_refused() -> None:
    layer = llm_int8.matrix_of(matrix(), "f")
    layer.layer.train()
    with pytest.raises(NotMeasured, match="training mode"):
        layer(torch.zeros(1, 7))


def test_products_say_nothing(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    llm_int8.matrix_of(matrix(), "f")(torch.ones(2, 7))
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []
