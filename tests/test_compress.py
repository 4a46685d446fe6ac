"""Recipes: what each makes of a real (small, random) TRM, in bytes, in errors, and through the command line."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fidelity_gate import registry
from fidelity_gate.cli import answer
from fidelity_gate.compress.applying import recipe_text
from fidelity_gate.compress.bnb import int8_rows, nf4_blocks
from fidelity_gate.compress.choosing import parse_recipe, recipes
from fidelity_gate.compress.clipping import SHRINKS, best_shrink, output_errors
from fidelity_gate.compress.moments import input_moments
from fidelity_gate.digests import row_digests
from fidelity_gate.errors import GateError, ModelRefused, UsageError
from fidelity_gate.models.families.trm import Trm
from fidelity_gate.models.opening import open_model
from fidelity_gate.protocols import OpenedModel, Recipe
from fidelity_gate.records import Artifact, ModelFacts, ModelSpec, Probes, Role, RunSpec
from fidelity_gate.storage.artifact import decode, encode
from fidelity_gate.storage.integers import IntegerScheme, round_trip
from fidelity_gate.storage.quantized import dense_of, dense_tensor, fact_of

MLP = Trm(
    hidden_size=64, vocab_size=7, mixer="mlp", positions="none", seq_len=9, layers=1, h_cycles=2, l_cycles=2, steps=3
)
ATTENTION = Trm(hidden_size=64, vocab_size=7, num_heads=4, layers=1, h_cycles=1, l_cycles=2, steps=2, expansion=2.0)
ALL = ("bf16", "fp16", "int2", "int3", "int4-calibrated", "int4-naive", "int8", "int8-bnb", "nf4-bnb")


def reference_artifact(family: Trm = MLP, dtype: str = "float32") -> Artifact:
    """A TRM of random weights, with a few output channels that are wider than the others, as in trained models."""
    random = np.random.default_rng(0)
    tensors = []
    for name, (shape, role) in family.tensors().items():
        values = random.normal(size=shape) / np.sqrt(shape[-1])
        if role is Role.BLOCK:
            values *= random.lognormal(sigma=0.7, size=(shape[0], 1))
        tensors.append(dense_tensor(name, role, values.astype(np.float32), dtype if role is Role.BLOCK else "float32"))
    return Artifact("trm", family.architecture(), family.declared_depth(), tuple(tensors))


def written(folder: Path, artifact: Artifact, name: str = "ref.safetensors") -> str:
    path = folder / name
    path.write_bytes(encode(artifact))
    return str(path)


def probes(count: int = 8, tokens: int = 9) -> Probes:
    inputs = np.random.default_rng(5).integers(1, 7, size=(count, tokens)).astype(np.int32)
    return Probes(inputs, None, np.zeros(count, np.int32), "ca" * 32, "made here")


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(tmp_path_factory.mktemp("models"), reference_artifact())


def compressed(reference: str, recipe: str, calibration: Probes | None = None) -> Artifact:
    return parse_recipe(recipe).compress(open_model(ModelSpec("reference", reference)), calibration)


def block_facts(artifact: Artifact) -> list:
    return [fact_of(tensor) for tensor in artifact.tensors if tensor.role is Role.BLOCK]


def block_error(reference: str, artifact: Artifact) -> float:
    """Mean squared error of the block weights, relative to their mean square."""
    dense = open_model(ModelSpec("reference", reference)).dense()
    block = [tensor for tensor in artifact.tensors if tensor.role is Role.BLOCK]
    errors = np.concatenate([(dense_of(tensor) - dense[tensor.name]).reshape(-1) for tensor in block])
    return float(
        np.square(errors).mean() / np.square(np.concatenate([dense[t.name].reshape(-1) for t in block])).mean()
    )


# ---------------------------------------------------------------- every recipe


def test_every_recipe_for_checkpoints_is_tested_here() -> None:
    """Those for ONNX step graphs are tested in test_compress_onnx.py."""
    assert tuple(name for name in registry.table_of("compress") if not name.startswith("onnx-")) == ALL


@pytest.mark.parametrize("recipe", ALL)
def test_a_candidate_can_be_opened_and_is_what_was_asked_for(reference: str, recipe: str, tmp_path: Path) -> None:
    artifact = compressed(reference, recipe)
    opened = open_model(ModelSpec("candidate", written(tmp_path, artifact, "candidate.safetensors")))
    original = open_model(ModelSpec("reference", reference))
    assert opened.facts.recipe.startswith(recipe)
    assert opened.facts.architecture == original.facts.architecture
    assert opened.facts.depth == original.facts.depth == MLP.declared_depth()
    assert artifact.reference_digest == original.facts.digest
    assert {name: array.shape for name, array in opened.dense().items()} == {
        name: array.shape for name, array in original.dense().items()
    }


@pytest.mark.parametrize("recipe", ALL)
def test_a_candidate_steps_through_its_recursion(reference: str, recipe: str, tmp_path: Path) -> None:
    model = open_model(
        ModelSpec("candidate", written(tmp_path, compressed(reference, recipe), "candidate.safetensors"))
    )
    states = list(model.load(RunSpec()).run(probes(2), model.facts.depth))
    assert len(states) == MLP.steps
    assert all(bool(state.carry["z_H"].isfinite().all()) for state in states)


@pytest.mark.parametrize("recipe", ALL)
def test_equal_inputs_give_equal_bytes(reference: str, recipe: str) -> None:
    assert encode(compressed(reference, recipe)) == encode(compressed(reference, recipe))


@pytest.mark.parametrize(
    ("recipe", "bits", "scale_bytes_a_row"),
    [
        ("fp16", 16, 0),
        ("bf16", 16, 0),
        ("int8", 8, 4),
        ("int8-bnb", 8, 4),
        ("int4-naive", 4, 0),
        ("int4-calibrated", 4, 5),
        ("int3", 3, 0),
        ("int3,granularity=channel,symmetric=false", 3, 5),
        ("int2", 2, 0),
        ("nf4-bnb", 4, None),
    ],
)
def test_block_bytes_shrink_as_the_name_says(
    reference: str, recipe: str, bits: int, scale_bytes_a_row: int | None
) -> None:
    for fact in block_facts(compressed(reference, recipe)):
        exact = -(-fact.values * bits // 8)
        assert fact.payload_bytes == exact
        if scale_bytes_a_row is None:
            assert fact.overhead_bytes == 4 * -(-fact.values // 64) + 16 * 4
        else:
            assert fact.overhead_bytes <= scale_bytes_a_row * fact.shape[0] + 4


def test_the_file_shrinks_with_the_block(reference: str) -> None:
    whole = Path(reference).stat().st_size
    naive = len(encode(compressed(reference, "int4-naive,heads=int8,embeddings=int8")))
    assert whole / 8 < naive < whole / 7


def test_only_block_matrices_are_quantized_unless_asked(reference: str) -> None:
    for tensor in compressed(reference, "int4-naive").tensors:
        assert (tensor.encoding == "int4") is (tensor.role is Role.BLOCK)
        if tensor.role is not Role.BLOCK:
            assert fact_of(tensor).stored_as == "float32"


def test_heads_and_embeddings_are_stored_as_stated_and_vectors_stay_float32(reference: str) -> None:
    artifact = compressed(reference, "int8,heads=bfloat16,embeddings=int8")
    stored = {tensor.name: fact_of(tensor).stored_as for tensor in artifact.tensors}
    assert stored["lm_head.weight"] == "bfloat16"
    assert stored["embed_tokens.embedding_weight"] == "int8 per channel symmetric"
    assert stored["H_init"] == stored["q_head.bias"] == "float32"


def test_the_artifact_says_the_whole_recipe(reference: str) -> None:
    said = compressed(reference, "int3,granularity=channel").recipe
    assert said == "int3,embeddings=float32,granularity=channel,heads=float32,symmetric=true"
    assert recipe_text(parse_recipe(said)) == said  # and it can be given again as it stands


def test_the_ladder_of_weight_errors_is_in_order(reference: str) -> None:
    names = ("fp16", "bf16", "int8", "nf4-bnb", "int4-calibrated", "int4-naive", "int3", "int2")
    errors = {name: block_error(reference, compressed(reference, name)) for name in names}
    assert errors["fp16"] < errors["bf16"] < errors["int8"] < errors["int4-calibrated"] < errors["int4-naive"]
    assert errors["int4-naive"] < errors["int3"] < errors["int2"]
    assert errors["nf4-bnb"] < errors["int4-naive"]


def test_int8_is_within_half_a_step_of_every_weight(reference: str) -> None:
    dense = open_model(ModelSpec("reference", reference)).dense()
    for tensor in compressed(reference, "int8").tensors:
        if tensor.role is Role.BLOCK:
            bound = np.abs(dense[tensor.name]).max(axis=1, keepdims=True) / 127 * 0.50001
            assert (np.abs(dense_of(tensor) - dense[tensor.name]) <= bound).all()


# ---------------------------------------------------------------- calibration


def test_calibration_puzzles_are_recorded_by_the_digest_of_every_row(reference: str) -> None:
    calibration = probes()
    for recipe in ("int4-calibrated", "int4-calibrated,clip=mse"):
        artifact = compressed(reference, recipe, calibration)
        assert artifact.calibration_rows == row_digests(calibration.inputs)
        assert artifact.calibration_digest == calibration.digest


def test_min_max_ranges_do_not_depend_on_the_puzzles(reference: str) -> None:
    with_puzzles = compressed(reference, "int4-calibrated", probes())
    without = compressed(reference, "int4-calibrated")
    assert encode(replace(with_puzzles, calibration_rows=(), calibration_digest="")) == encode(without)


@pytest.mark.parametrize("family", [MLP, ATTENTION], ids=["mlp", "attention"])
def test_clipping_lowers_the_output_error_on_the_calibration_puzzles(family: Trm, tmp_path: Path) -> None:
    path = written(tmp_path, reference_artifact(family))
    model, calibration = open_model(ModelSpec("reference", path)), probes()
    moments, dense = input_moments(model, calibration), model.dense()
    total = {}
    for clip in ("minmax", "mse"):
        artifact = compressed(path, f"int4-calibrated,clip={clip}", calibration)
        block = {tensor.name: dense_of(tensor) for tensor in artifact.tensors if tensor.role is Role.BLOCK}
        assert set(block) == set(moments)
        total[clip] = {name: output_errors(dense[name], block[name], moments[name]) for name in block}
    for name, errors in total["mse"].items():
        assert (errors <= total["minmax"][name]).all(), name
    assert sum(map(np.sum, total["mse"].values())) < 0.97 * sum(map(np.sum, total["minmax"].values()))


def test_moments_are_those_of_every_input_over_the_whole_recursion(tmp_path: Path) -> None:
    """Independent count: apply each matrix by hand to what a recording run saw."""
    import torch

    path = written(tmp_path, reference_artifact(ATTENTION))
    model, calibration = open_model(ModelSpec("reference", path)), probes(3)
    seen: dict[str, list] = {}

    class Recording:
        def __init__(self, name: str, weight: torch.Tensor) -> None:
            self.name, self.weight = name, weight

        def __call__(self, x: torch.Tensor) -> torch.Tensor:
            seen.setdefault(self.name, []).append(x.reshape(-1, x.shape[-1]).double().clone())
            return torch.nn.functional.linear(x, self.weight)

    weights = {name: torch.from_numpy(array.copy()) for name, array in model.dense().items()}
    block = {name for name, (_, role) in ATTENTION.tensors().items() if role is Role.BLOCK}
    recording = {name: Recording(name, weights[name]) for name in block}
    list(ATTENTION.build({**weights, **recording}, RunSpec()).run(calibration, model.facts.depth))
    moments = input_moments(model, calibration)
    for name in block:
        assert len(seen[name]) == ATTENTION.steps * ATTENTION.h_cycles * (ATTENTION.l_cycles + 1)
        inputs = torch.cat(seen[name])
        assert np.allclose(moments[name], (inputs.T @ inputs).numpy(), rtol=1e-4, atol=1e-4)


def test_moments_do_not_depend_on_the_batch_split(tmp_path: Path) -> None:
    path = written(tmp_path, reference_artifact(ATTENTION))
    model, calibration = open_model(ModelSpec("reference", path)), probes(40)
    whole = input_moments(model, calibration)
    halves = [input_moments(model, calibration.rows(0, 17)), input_moments(model, calibration.rows(17, 40))]
    for name, moments in whole.items():
        assert np.allclose(moments, halves[0][name] + halves[1][name], rtol=1e-4, atol=1e-3)


def test_the_best_shrink_is_the_best_of_the_grid_channel_by_channel() -> None:
    random = np.random.default_rng(1)
    values = random.standard_t(3, size=(5, 24)).astype(np.float32)
    inputs = random.normal(size=(100, 24)) * random.lognormal(size=24)
    moments, scheme = inputs.T @ inputs, IntegerScheme(4, 0, symmetric=False)
    chosen = best_shrink(values, scheme, moments)
    every = np.array([output_errors(values, round_trip(values, scheme, np.full(5, s)), moments) for s in SHRINKS])
    assert chosen.tolist() == [SHRINKS[row] for row in every.argmin(axis=0)]
    direct = np.square((round_trip(values, scheme, chosen) - values.astype(np.float64)) @ inputs.T).sum(axis=1)
    assert np.allclose(direct, every.min(axis=0))


# ---------------------------------------------------------------- bitsandbytes


def test_llm_int8_rows_are_what_the_library_says_and_decode_by_our_arithmetic() -> None:
    values = np.random.default_rng(0).normal(size=(6, 40)).astype(np.float32)
    values[3] = 0
    stored = int8_rows("w", values, 6.0)
    assert float(stored.parts["threshold"][0]) == 6.0
    assert np.abs(dense_of(stored) - values).max() <= np.abs(values).max() / 127 * 0.51 + 1e-3
    assert (dense_of(stored)[3] == 0).all()


def test_a_weight_beyond_float16_is_refused_by_llm_int8() -> None:
    with pytest.raises(ModelRefused, match="w: holds a weight beyond float16"):
        int8_rows("w", np.array([[1e5, 1.0]], dtype=np.float32), 0.0)


@pytest.mark.parametrize("shape", [(8, 64), (5, 7), (3, 33), (1, 1), (4, 512), (16, 97)])
def test_nf4_blocks_decode_as_the_library_decodes_them(shape: tuple[int, int]) -> None:
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    stored = nf4_blocks("w", values)
    assert np.abs(dense_of(stored) - values).max() <= 0.16 * np.abs(values).max()


def test_nf4_keeps_zero_blocks_zero() -> None:
    values = np.random.default_rng(0).normal(size=(4, 64)).astype(np.float32)
    values[1] = 0
    assert (dense_of(nf4_blocks("w", values))[1] == 0).all()


def test_where_the_library_reads_its_weights_back_wrongly_nf4_is_refused_never_graded() -> None:
    """Rows of 96 are one of the lengths that AVX-512 kernels get wrong; elsewhere they are right and accepted."""
    import torch
    from bitsandbytes import functional

    values = np.random.default_rng(0).normal(size=(8, 96)).astype(np.float32)
    packed, state = functional.quantize_4bit(torch.from_numpy(values), blocksize=64, quant_type="nf4")
    wrong = (functional.dequantize_4bit(packed, state).numpy() - values).std() > 0.15 * values.std()
    if not wrong:
        assert np.abs(dense_of(nf4_blocks("w", values)) - values).max() <= 0.16 * np.abs(values).max()
        return
    with pytest.raises(ModelRefused, match="reads its own 4-bit weights back as others"):
        nf4_blocks("w", values)


def test_bitsandbytes_is_imported_silently_and_without_leave_to_download(tmp_path: Path) -> None:
    """Against stand-ins: one that talks and looks for `kernels` as the library does, and a `kernels` that is there."""
    (tmp_path / "kernels.py").write_text("")
    (tmp_path / "bitsandbytes.py").write_text(
        "import os, sys\nprint('noise')\nprint('noise', file=sys.stderr)\nDYNAMO = os.environ['TORCHDYNAMO_DISABLE']\n"
        "try:\n    import kernels\n    FOUND = True\nexcept ImportError:\n    FOUND = False\n"
    )
    code = (
        "from fidelity_gate.heavy import bitsandbytes_module as load\n"
        "assert (load().FOUND, load().DYNAMO) == (False, '1')\n"
        "import kernels\n"  # and it is back for whoever else wants it
    )
    paths = os.pathsep.join([str(tmp_path), str(Path(__file__).resolve().parents[1])])
    environment = {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("int4", "did you mean int4-calibrated or int4-naive"),
        ("int4-calibrated,clip=kl", "'kl' is not a value int4-calibrated takes here.*minmax, mse"),
        ("int4-calibrated,clap=mse", "no option 'clap'.*did you mean clip"),
        ("int4-calibrated,clip", "'clip' is not key=value"),
        ("int8,heads=int8,heads=int8", "heads: given twice"),
        ("int8,heads=int4", "heads"),
        ("int3,symmetric=yes", "true or false"),
        ("int8-bnb,threshold=-1", "threshold must be 0 or a positive number"),
        ("int8-bnb,threshold=nan", "threshold"),
        ("", "no recipe is named"),
        ("int8,", "not key=value"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused_with_what_is_allowed(text: str, message: str) -> None:
    with pytest.raises(UsageError) as refusal:
        parse_recipe(text)
    assert re.search(message, str(refusal.value)), str(refusal.value)


def test_calibration_for_a_recipe_that_takes_none_is_refused(reference: str) -> None:
    with pytest.raises(UsageError, match="int8 looks at weights alone"):
        compressed(reference, "int8", probes())


def test_clipping_by_error_without_puzzles_is_refused(reference: str) -> None:
    with pytest.raises(UsageError, match="needs calibration puzzles"):
        compressed(reference, "int4-calibrated,clip=mse")


def test_puzzles_that_do_not_fit_the_model_are_refused(reference: str) -> None:
    with pytest.raises(GateError, match="tokens"):
        compressed(reference, "int4-calibrated,clip=mse", probes(tokens=5))


def test_a_compressed_model_is_not_compressed_again(reference: str, tmp_path: Path) -> None:
    narrow = written(tmp_path, compressed(reference, "int8"), "int8.safetensors")
    with pytest.raises(UsageError, match="is compressed already"):
        compressed(narrow, "int4-naive")


@pytest.mark.parametrize(("dtype", "recipe"), [("float16", "fp16"), ("bfloat16", "fp16"), ("bfloat16", "bf16")])
def test_a_recipe_that_would_save_no_byte_is_refused(dtype: str, recipe: str, tmp_path: Path) -> None:
    path = written(tmp_path, reference_artifact(dtype=dtype))
    with pytest.raises(UsageError, match="would change nothing"):
        compressed(path, recipe)
    assert block_facts(compressed(path, "int8"))[0].bits == 8


class Opened:
    """A model file that holds whatever a test says (the OpenedModel protocol)."""

    def __init__(self, arrays: dict[str, np.ndarray], roles: dict[str, Role], family: str = "trm") -> None:
        self.arrays = arrays
        tensors = tuple(fact_of(dense_tensor(name, roles[name], array)) for name, array in arrays.items())
        self.facts = ModelFacts("m.pt", "ab" * 32, 1000, "checkpoint", family, (), None, None, tensors)

    def dense(self) -> dict[str, np.ndarray]:
        return self.arrays

    def load(self, run: RunSpec) -> None:
        raise AssertionError("no recipe but clip=mse runs the model")


def test_a_model_without_block_matrices_is_refused() -> None:
    model = Opened({"head": np.ones((4, 4), np.float32)}, {"head": Role.HEAD})
    with pytest.raises(UsageError, match="no block matrices"):
        parse_recipe("int8").compress(model, None)


def test_a_model_without_a_known_family_is_refused() -> None:
    model = Opened({"w": np.ones((4, 4), np.float32)}, {"w": Role.BLOCK}, family="")
    with pytest.raises(UsageError, match="none of the known families"):
        parse_recipe("int8").compress(model, None)


def test_a_weight_that_does_not_fit_is_refused_by_name() -> None:
    model = Opened({"w": np.array([[1e5, 1.0]], np.float32)}, {"w": Role.BLOCK})
    with pytest.raises(ModelRefused, match="w: a value of size 100000 does not fit float16"):
        parse_recipe("fp16").compress(model, None)


def test_a_block_vector_stays_as_it_is() -> None:
    arrays = {"w": np.ones((64, 64), np.float32), "gain": np.ones(64, np.float32)}
    artifact = parse_recipe("int4-naive").compress(Opened(arrays, dict.fromkeys(arrays, Role.BLOCK)), None)
    assert {tensor.name: tensor.encoding for tensor in artifact.tensors} == {"gain": "dense", "w": "int4"}


def test_clipping_needs_a_depth(tmp_path: Path) -> None:
    family = replace(MLP, h_cycles=0, l_cycles=0, steps=0)
    path = written(tmp_path, reference_artifact(family))
    with pytest.raises(UsageError, match="does not say how deep"):
        compressed(path, "int4-calibrated,clip=mse", probes())


def test_every_recipe_documents_every_option() -> None:
    for recipe in recipes():
        assert recipe.summary, recipe.name
        assert all(option.meaning for option in recipe.options + recipe.shared), recipe.name
        assert isinstance(parse_recipe(recipe.name), Recipe)


# ---------------------------------------------------------------- the command line


def calibration_file(folder: Path) -> str:
    path = folder / "calibration.npz"
    np.savez(path, inputs=probes().inputs)
    return str(path)


def test_compress_writes_a_candidate_and_says_what_became_of_it(
    reference: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    target = tmp_path / "out.safetensors"
    calibration = calibration_file(tmp_path)
    order = ["compress", reference, "--recipe", "int4-calibrated,clip=mse", "--calibration", calibration]
    assert answer([*order, "-o", str(target)]) == 0
    said = capsys.readouterr().out
    artifact = decode(target.read_bytes(), "x")
    assert artifact.recipe == "int4-calibrated,clip=mse,embeddings=float32,heads=float32"
    assert len(artifact.calibration_rows) == 8
    for text in (
        "int4 per channel asymmetric",
        "100 %",
        "not quantized: H_init",
        "lm_head.weight",
        "8 puzzles",
        "sha256",
    ):
        assert text in said
    assert answer([*order, "-o", str(target)]) == 0  # an older candidate may be replaced


def test_without_an_output_the_candidate_lies_beside_the_reference(tmp_path: Path) -> None:
    path = written(tmp_path, reference_artifact())
    assert answer(["compress", path, "--recipe", "int3,granularity=channel"]) == 0
    assert (tmp_path / "ref.int3-granularity-channel.safetensors").exists()


def test_list_shows_every_recipe_with_its_options(capsys: pytest.CaptureFixture) -> None:
    assert answer(["compress", "--list"]) == 0
    said = capsys.readouterr().out
    assert all(f"\n{name}\n" in f"\n{said}" for name in ALL)
    assert "clip=minmax (minmax, mse)" in said
    assert "threshold=0.0" in said


def test_a_fact_that_the_file_lacks_can_be_given(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = written(tmp_path, reference_artifact())
    assert answer(["compress", path, "--recipe", "int8", "--model", "steps=99"]) == 2
    assert "steps" in capsys.readouterr().err
    assert answer(["compress", path, "--recipe", "int8", "--model", "steps=3"]) == 0


@pytest.mark.parametrize(
    ("order", "message"),
    [
        (["REF"], "--recipe is missing"),
        (["--recipe", "int8"], "a reference is missing"),
        (["REF", "--recipe", "int8", "-o", "REF"], "would overwrite the reference"),
        (["REF", "--recipe", "int8", "-o", "LINK"], "would overwrite the reference"),
        (["REF", "--recipe", "int4-calibrated", "--calibration", "CAL", "-o", "CAL"], "overwrite the calibration file"),
        (["REF", "--recipe", "int8", "-o", "NOTES"], "no candidate of ours"),
        (["REF", "--recipe", "int8", "-o", "FOLDER"], "is a folder"),
        (["REF", "--recipe", "int8", "-o", "nowhere/out.safetensors"], "its folder does not exist"),
        (["REF", "--recipe", "int8", "--model", "steps"], "not KEY=VALUE"),
        (["REF", "--recipe", "int8", "--model", "steps=3", "--model", "steps=3"], "given twice"),
        (["REF", "--recipe", "int9"], "did you mean"),
        (["GONE", "--recipe", "int8"], "GONE"),
    ],
)
def test_a_wrong_order_is_refused_and_leaves_every_file_as_it_was(
    order: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    places = {
        "REF": written(tmp_path, reference_artifact()),
        "CAL": calibration_file(tmp_path),
        "FOLDER": str(tmp_path),
    }
    places |= {
        "NOTES": str(tmp_path / "notes.txt"),
        "LINK": str(tmp_path / "link.safetensors"),
        "GONE": "GONE.safetensors",
    }
    Path(places["NOTES"]).write_text("keep me")
    Path(places["LINK"]).symlink_to(places["REF"])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert answer(["compress", *(places.get(word, word) for word in order)]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.out == ""
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


# ---------------------------------------------------------------- a real checkpoint that nobody here trained


def grid_probes(file: Path, count: int) -> Probes:
    """Shortest paths in a 4x4 grid: 16 nodes (0, or 1 for an end) and 24 edges (2 removed, 3 there)."""
    rows = []
    for line in file.read_text().split()[:count]:
        removed, ends = ([int(number) for number in part.split("-")] for part in line.split(",")[:2])
        nodes, edges = [0] * 16, [3] * 24
        for end in ends:
            nodes[end] = 1
        for edge in removed:
            edges[edge] = 2
        rows.append(nodes + edges)
    inputs = np.array(rows, dtype=np.int32)
    return Probes(inputs, None, np.zeros(len(rows), np.int32), "", str(file))


@pytest.mark.shared_models
def test_on_a_trained_transformer_fidelity_falls_in_the_order_of_the_ladder(shared: Path, tmp_path: Path) -> None:
    import torch

    folder = shared / "models" / "recurrent-transformer-sp4x4"
    if not folder.is_dir():
        pytest.skip("no recurrent transformer beside the project")
    batch = grid_probes(folder / "4x4_1610.data", 16)
    reference = open_model(ModelSpec("reference", str(folder / "sp4x4_base.pt"), (("num_heads", 4),)))

    def last_carry(model: OpenedModel) -> torch.Tensor:
        *_, last = model.load(RunSpec()).run(batch, reference.facts.depth)
        (stream,) = last.carry.values()
        return stream.double()

    wanted = last_carry(reference)
    fidelity = {}
    for recipe in ("int8", "int4-calibrated", "int4-naive", "int2"):
        path = written(tmp_path, parse_recipe(recipe).compress(reference, None), f"{recipe}.safetensors")
        found = last_carry(open_model(ModelSpec("candidate", path)))
        fidelity[recipe] = float(torch.nn.functional.cosine_similarity(found, wanted, dim=-1).mean())
    assert fidelity["int8"] > 0.999
    assert 0.99 < fidelity["int4-calibrated"] < fidelity["int8"]
    assert 0.95 < fidelity["int4-naive"] < fidelity["int4-calibrated"]
    assert fidelity["int2"] < 0.6
