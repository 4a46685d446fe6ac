"""Recipes for ONNX step graphs: what is quantized, what stays float, what is counted, calibrated, told and refused."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from fidelity_gate import registry
from fidelity_gate.cli import answer
from fidelity_gate.compress.choosing import parse_recipe
from fidelity_gate.compress.onnx_preparing import prepared
from fidelity_gate.compress.onnx_source import source_of
from fidelity_gate.digests import row_digests
from fidelity_gate.errors import ModelRefused, NotMeasured, UsageError
from fidelity_gate.files import sha256_hex
from fidelity_gate.graphs.compression_metadata import CALIBRATION_ROWS, RECIPE, STATE_RANGE, compression_metadata
from fidelity_gate.graphs.reading import read_onnx
from fidelity_gate.graphs.weights import GraphWeights
from fidelity_gate.inputs.opening import from_path, open_inputs
from fidelity_gate.models.opening import open_model
from fidelity_gate.records import ModelSpec, Role, StateRange
from fidelity_gate.storage.integers import IntegerScheme, round_trip
from fidelity_gate.verbs.compress_summary import summary
from fidelity_gate.zoo.catalog import entry
from tests.exported import exported
from tests.lint_made import subject
from tests.onnx_steps import CONSTANTS, REASONER, WIDTH, frames, opened, reasoner, tokens, write

NAME = "trm-attention-sudoku"
ALL = ("onnx-dynamic-int8", "onnx-fp16", "onnx-int4", "onnx-int8", "onnx-static-int8")
MADE = (*ALL, "onnx-static-int8,exclude=carry", "onnx-fp16,exclude=carry")
BITS = {"onnx-fp16": 16, "onnx-int4": 4}
RNG = np.random.default_rng(3)


def compress(path, recipe, calibration=None, **options):
    """Compress a graph as the command line would; options are the model's own."""
    return parse_recipe(recipe).compress(opened(path, **options), calibration)


def puzzles(count):
    return open_inputs(from_path(str(entry(NAME).calibration)), ".").rows(0, count)


@pytest.fixture(scope="session")
def made():
    """Return recipe -> what it makes of an exported TRM, each made when it is first asked for."""

    @functools.cache
    def one(recipe):
        wants = recipe.startswith("onnx-static-int8") and "exclude=carry" not in recipe
        return compress(exported(NAME), recipe, puzzles(3) if wants else None)

    return one


def written(folder, artifact, name="candidate"):
    path = folder / f"{name}.onnx"
    path.write_bytes(artifact.data)
    return path


def session(data):
    """Return a session that runs every operator as it stands: no product is fused with its dequantization."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def stored(artifact, *roles):
    return {fact.name: fact.stored_as for fact in artifact.tensors if fact.role in (roles or (Role.BLOCK, Role.HEAD))}


def operators(artifact):
    return {node.op_type for node in onnx.ModelProto.FromString(artifact.data).graph.node}


def dense(artifact):
    """Return every product's weight as the file holds it, dequantized, in the order of its shapes and values."""
    weights = GraphWeights(read_onnx(artifact.data, "made"), "made")
    return {fact.name: weights.dense(fact.name) for fact in artifact.tensors if fact.role in (Role.BLOCK, Role.HEAD)}


# ---------------------------------------------------------------- every recipe


def test_every_onnx_recipe_of_the_room_is_tested_here():
    assert tuple(name for name in registry.table_of("compress") if name.startswith("onnx-")) == ALL


@pytest.mark.parametrize("recipe", MADE)
def test_every_weight_of_a_product_is_narrow_afterwards(made, recipe):
    artifact = made(recipe)
    weights = [fact for fact in artifact.tensors if fact.role in (Role.BLOCK, Role.HEAD)]
    assert len(weights) == 10  # two layers of four products, and two heads
    assert {fact.bits for fact in weights} == {BITS.get(recipe.partition(",")[0], 8)}
    assert artifact.share == 1
    assert len(artifact.data) < exported(NAME).stat().st_size * 0.55


@pytest.mark.parametrize("recipe", MADE)
def test_the_interface_the_states_and_the_metadata_are_kept_and_the_recipe_is_added(made, recipe, tmp_path):
    before = opened(exported(NAME))
    after = opened(written(tmp_path, made(recipe)))
    old, new = before.step_graph(), after.step_graph()
    assert (new.inputs, new.outputs, new.states) == (old.inputs, old.outputs, old.states)
    assert after.facts.recipe == new.metadata[RECIPE] == made(recipe).recipe
    assert old.metadata.items() <= new.metadata.items()
    assert compression_metadata(new.metadata).made_from == sha256_hex(exported(NAME).read_bytes())
    assert after.facts.depth == before.facts.depth
    assert parse_recipe(after.facts.recipe) == parse_recipe(recipe)  # and it can be given again as it stands


@pytest.mark.parametrize("recipe", MADE)
def test_a_candidate_stays_near_the_float_graph_over_one_run_and_is_not_equal_to_it(made, recipe):
    float_graph, narrow = session(exported(NAME).read_bytes()), session(made(recipe).data)
    start = opened(exported(NAME)).step_graph().metadata
    feeds = {"inputs": puzzles(1).inputs}
    for name in ("z_H", "z_L"):
        assert f"fidelity_gate.initial.{name}" in start
        feeds[name] = RNG.normal(size=(1, 16, 64)).astype(np.float32)
    ours, theirs = float_graph.run(["z_H_out"], feeds)[0], narrow.run(["z_H_out"], feeds)[0]
    cosines = (ours * theirs).sum(-1) / np.linalg.norm(ours, axis=-1) / np.linalg.norm(theirs, axis=-1)
    assert 0.9 < cosines.mean() < 1 or recipe.startswith("onnx-fp16")
    assert not np.array_equal(ours, theirs)


@pytest.mark.parametrize("recipe", ALL)
def test_equal_inputs_give_equal_bytes(made, recipe):
    again = compress(exported(NAME), recipe, puzzles(3) if recipe == "onnx-static-int8" else None)
    assert again.data == made(recipe).data


def test_equal_inputs_give_equal_bytes_in_another_process(made, tmp_path):
    """Quantizers keep names in sets, whose order is another one in every process."""
    code = (
        "import sys; from fidelity_gate.cli import answer; "
        "sys.exit(answer(['compress', sys.argv[1], '--recipe', 'onnx-dynamic-int8', '-o', sys.argv[2]]))"
    )
    target = tmp_path / "again.onnx"
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    subprocess.run(
        [sys.executable, "-c", code, exported(NAME), target], check=True, env=environment, capture_output=True
    )
    assert target.read_bytes() == made("onnx-dynamic-int8").data


def test_nothing_is_printed_logged_or_left_behind(tmp_path, monkeypatch, capfd, caplog):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    path = write(tmp_path, REASONER, reasoner())
    for recipe in ALL:
        compress(path, f"{recipe},steps=2" if "static" in recipe else recipe, tokens() if "static" in recipe else None)
    assert (capfd.readouterr(), caplog.records) == (("", ""), [])
    assert os.listdir(tmp_path) == [path.name]  # noqa: PTH208


def test_paths_of_whoever_exported_are_not_kept(tmp_path):
    def edit(model):
        for item in (model.graph.node[0], model.graph):
            item.metadata_props.add(key="pkg.torch.onnx.stack_trace", value="/home/somebody/model.py")
            item.doc_string = "/home/somebody"

    path = write(tmp_path, REASONER, reasoner(), edit=edit)
    assert b"somebody" in path.read_bytes()
    for recipe in ("onnx-int8", "onnx-dynamic-int8", "onnx-int4,block_size=16", "onnx-fp16"):
        assert b"somebody" not in compress(path, recipe).data


# ---------------------------------------------------------------- the arithmetic


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("per_channel", [True, False])
def test_int8_weights_are_those_of_the_recipe_for_checkpoints(per_channel, symmetric, tmp_path):
    path = write(tmp_path, REASONER, reasoner())
    recipe = f"onnx-int8,per_channel={str(per_channel).lower()},symmetric={str(symmetric).lower()}"
    scheme = IntegerScheme(8, 0 if per_channel else None, symmetric)
    for name, values in dense(compress(path, recipe)).items():
        original = CONSTANTS[name.partition(".")[0]]
        expected = round_trip(original.T, scheme).T if per_channel else round_trip(original, scheme)
        assert np.abs(values - expected).max() <= 1e-7 * np.abs(expected).max(), name


def test_a_graph_of_int8_weights_runs_as_the_float_graph_with_those_weights(tmp_path):
    artifact = compress(write(tmp_path, REASONER, reasoner()), "onnx-int8")
    rounded = {name.partition(".")[0]: values for name, values in dense(artifact).items()}
    again = write(tmp_path, REASONER, reasoner(), name="rounded", edit=lambda model: _replace(model, rounded))
    feeds = {"z": RNG.normal(size=(1, 7, WIDTH)).astype(np.float32), "inputs": tokens(1).inputs}
    for ours, theirs in zip(
        session(artifact.data).run(None, feeds), session(again.read_bytes()).run(None, feeds), strict=True
    ):
        assert np.abs(ours - theirs).max() < 1e-6


def _replace(model, arrays):
    for item in model.graph.initializer:
        if item.name in arrays:
            item.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(arrays[item.name]), item.name))


def test_recurrent_operators_are_quantized_where_they_are_asked_for(tmp_path):
    from tests.streaming_graphs import save_vad

    path = save_vad(tmp_path / "vad.onnx")
    plain = compress(path, "onnx-int8", constants__sr=16000)
    assert stored(plain)["r"] == stored(plain)["w"] == "float32"
    whole = compress(path, "onnx-int8,op_types=LSTM+MatMul", constants__sr=16000)
    assert all(kind.startswith("int8") for kind in stored(whole).values())
    feeds = {
        "input": RNG.normal(size=(2, 576)).astype(np.float32),
        "state": np.zeros((2, 2, 128), np.float32),
        "sr": np.array(16000),
    }
    model = onnx.load(path)
    _replace(model, {name.partition(".")[0]: values for name, values in dense(whole).items()})
    ours, theirs = (session(data).run(None, feeds)[1] for data in (model.SerializeToString(), whole.data))
    assert np.abs(ours - theirs).max() < 1e-5


# ---------------------------------------------------------------- graphs of others

SHARED = (
    "a = Identity(w) b = Identity(w) p = MatMul(z, a) q = MatMul(p, b) z_out = Tanh(q) logits = MatMul(z_out, head)"
)
TURNED = "a = Transpose<perm = [1, 0]>(wt) p = MatMul(z, a) z_out = Tanh(p) logits = MatMul(z_out, head)"
SHAPED = "a = Reshape(flat, square) p = MatMul(z, a) z_out = Tanh(p) logits = MatMul(z_out, head)"
GATES = (
    "top = Slice(w, zero, half) rest = Slice(w, half, end) w2 = Concat <axis = 0> (rest, top) "
    "p = MatMul(z, w2) z_out = Tanh(p) logits = MatMul(z_out, head)"
)
GEMM = "p = Gemm<transB = 1>(z, wt, bias) z_out = Tanh(p) logits = MatMul(z_out, head)"
STATE = f"(float[3,{WIDTH}] z) => (float[3,{WIDTH}] z_out, float[3,3] logits)"
MORE = {
    "wt": CONSTANTS["w"].T.copy(),
    "flat": CONSTANTS["w"].reshape(-1),
    "square": np.array([WIDTH, WIDTH]),
    "bias": np.ones(WIDTH, np.float32),
    "zero": np.array([0]),
    "half": np.array([WIDTH // 2]),
    "end": np.array([WIDTH]),
}


def foreign(folder, body):
    read = {name: array for name, array in MORE.items() if name in body}
    return write(folder, body, STATE, constants=read)


@pytest.mark.parametrize("recipe", ["onnx-dynamic-int8", "onnx-int4,block_size=16", "onnx-int8", "onnx-fp16"])
@pytest.mark.parametrize(
    "body", [SHARED, TURNED, SHAPED, GATES, GEMM], ids=["shared", "turned", "shaped", "gates", "gemm"]
)
def test_weights_that_a_quantizer_would_pass_over_are_quantized(body, recipe, tmp_path):
    path = foreign(tmp_path, body)
    artifact = compress(path, recipe)
    assert artifact.share == 1
    assert len(stored(artifact)) == 2  # shared ones once
    assert not any(kind == "float32" for kind in stored(artifact).values())
    feeds = {"z": RNG.normal(size=(3, WIDTH)).astype(np.float32)}
    ours, theirs = (session(data).run(["z_out"], feeds)[0] for data in (path.read_bytes(), artifact.data))
    assert np.abs(ours - theirs).max() < 0.15


def test_without_preparation_the_quantizer_does_pass_over_them(tmp_path):
    """The reason for preparing: of the same graph, MatMulNBits alone converts the head only."""
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    quantizer = MatMulNBitsQuantizer(onnx.load(foreign(tmp_path, TURNED)), block_size=16)
    quantizer.process()
    kinds = [node.op_type for node in quantizer.model.model.graph.node]
    assert (kinds.count("MatMul"), kinds.count("MatMulNBits")) == (1, 1)


def test_what_lays_out_a_constant_is_computed_once_and_named_after_it(tmp_path):
    again = "a2 = Transpose<perm = [1, 0]>(wt) p2 = MatMul(p, a2) sum = Add(p, p2) z_out = Tanh(sum)"
    body = TURNED.replace("z_out = Tanh(p)", again)
    graph = prepared(source_of(opened(foreign(tmp_path, body)), "r"), split_gemm=False)
    assert sorted(graph.graph.constants) == ["head", "wt.transpose"]
    assert [node.op for node in graph.graph.nodes] == ["MatMul", "MatMul", "Add", "Tanh", "MatMul"]


def test_constants_of_nodes_are_quantized_as_initializers_are(tmp_path):
    def as_node(model):
        weight = next(item for item in model.graph.initializer if item.name == "w")
        model.graph.node.insert(0, helper.make_node("Constant", [], ["w"], value=weight))
        model.graph.initializer.remove(weight)

    artifact = compress(write(tmp_path, REASONER, reasoner(), edit=as_node), "onnx-int8")
    assert stored(artifact)["w.quantized"].startswith("int8 per channel")


def test_a_table_that_is_looked_up_and_multiplied_with_is_stored_once(tmp_path):
    body = "e = Gather(w, inputs) p = MatMul(z, w) sum = Add(e, p) z_out = Tanh(sum)"
    signature = f"(float[1,7,{WIDTH}] z, int32[1,7] inputs) => (float[1,7,{WIDTH}] z_out)"
    artifact = compress(write(tmp_path, body, signature), "onnx-int8")
    assert [fact.name for fact in artifact.tensors] == ["w.quantized"]


# ---------------------------------------------------------------- exclude


@pytest.mark.parametrize("recipe", ["onnx-dynamic-int8", "onnx-int4,block_size=16", "onnx-int8", "onnx-fp16"])
@pytest.mark.parametrize("pattern", ["lm_head*", "lm_head.weight", "lm_head/0", "lm_hea?.weigh*"])
def test_excluded_weights_stay_float_by_the_name_of_node_or_weight(recipe, pattern):
    artifact = compress(exported(NAME), f"{recipe},exclude={pattern}")
    assert artifact.excluded == ("lm_head.weight",)
    kinds = stored(artifact)
    assert kinds.pop("lm_head.weight") == "float32"
    assert len(kinds) == 9
    assert "float32" not in kinds.values()


def test_excluded_nodes_stay_as_they_are_in_a_static_graph(made):
    artifact = compress(exported(NAME), "onnx-static-int8,op_types=MatMul,steps=1,exclude=lm_head*", puzzles(1))
    assert stored(artifact)["lm_head.weight"] == "float32"
    assert artifact.excluded == ("lm_head.weight",)
    assert stored(made("onnx-static-int8"))["lm_head.weight_quantized"].startswith("int8")


@pytest.mark.parametrize("recipe", ["onnx-dynamic-int8", "onnx-static-int8"])
def test_with_the_carry_excluded_weights_alone_are_quantized(recipe, made):
    artifact = compress(exported(NAME), f"{recipe},exclude=carry")
    assert not operators(artifact) & {"QuantizeLinear", "DynamicQuantizeLinear", "MatMulInteger"}
    assert stored(artifact) == stored(made("onnx-int8"))
    for name, values in dense(artifact).items():
        assert np.array_equal(values, dense(made("onnx-int8"))[name])


def codes(folder, artifact, *wanted):
    opened_subject = subject(written(folder, artifact))
    return [code for code in wanted for _ in registry.find("analysis.rules", code)().check(opened_subject)]


def test_lint_finds_the_naive_recipe_and_nothing_once_the_carry_is_excluded(made, tmp_path):
    """FG301: rounding on the way to a state, once a state. FG303: norms and sums of the carry in float16."""
    assert codes(tmp_path, made("onnx-static-int8"), "FG301") == ["FG301", "FG301"]
    assert codes(tmp_path, made("onnx-static-int8,exclude=carry"), "FG301", "FG303") == []
    assert codes(tmp_path, made("onnx-fp16"), "FG303") == ["FG303", "FG303", "FG303"]
    assert codes(tmp_path, made("onnx-fp16,exclude=carry"), "FG301", "FG303") == []
    assert codes(tmp_path, made("onnx-dynamic-int8"), "FG301") == []


def test_the_carry_and_names_can_be_excluded_together():
    artifact = compress(exported(NAME), "onnx-static-int8,exclude=carry+q_head*")
    assert artifact.excluded == ("q_head.weight",)
    assert stored(artifact)["q_head.weight"] == "float32"


# ---------------------------------------------------------------- calibration

# The state grows by one at every run, whatever is fed: an early range is no late range.
GROWING = (
    "e = Gather(table, inputs) none = Mul(e, zero) grown = Add(z, one) p = MatMul(grown, eye) z_out = Add(p, none)"
)


def growing(folder):
    signature = f"(float[1,7,{WIDTH}] z, int32[1,7] inputs) => (float[1,7,{WIDTH}] z_out)"
    more = {"eye": np.eye(WIDTH, dtype=np.float32), "zero": np.zeros(1, np.float32)}
    return write(folder, GROWING, signature, constants=more)


def scale_of(artifact, name):
    arrays = {
        item.name: numpy_helper.to_array(item) for item in onnx.ModelProto.FromString(artifact.data).graph.initializer
    }
    return float(arrays[f"{name}_scale"])


@pytest.mark.parametrize("method", ["minmax", "percentile", "entropy"])
def test_ranges_are_those_of_all_steps_with_the_state_fed_back(method, tmp_path):
    path = growing(tmp_path)
    recipe = f"onnx-static-int8,op_types=MatMul,calibrate={method}"
    one, eight = (compress(path, f"{recipe},steps={steps}", tokens(2)) for steps in (1, 8))
    assert scale_of(one, "grown") == pytest.approx(1 / 255, rel=0.02)
    expected = pytest.approx(8 / 255, rel=0.02)
    assert scale_of(eight, "grown") == expected if method != "entropy" else scale_of(eight, "grown") > 4 / 255
    (found,) = eight.ranges
    assert found.highs == tuple(range(1, 9))
    assert (found.ratio, found.share) == (8, 1 / 8)


def test_the_range_of_a_state_is_that_of_a_loop_written_by_hand(tmp_path):
    path, probes = write(tmp_path, REASONER, reasoner()), tokens(5)
    (found,) = compress(path, "onnx-static-int8,steps=4", probes).ranges
    lows, highs = [], []
    state = np.zeros((5, 7, WIDTH), np.float32)
    for _ in range(4):
        state = np.tanh(CONSTANTS["table"][probes.inputs] + state @ CONSTANTS["w"])
        lows.append(state.min())
        highs.append(state.max())
    assert found.state == "z"
    assert np.allclose(found.lows, lows, atol=1e-5)
    assert np.allclose(found.highs, highs, atol=1e-5)


def test_frames_are_calibrated_as_long_as_they_last(tmp_path):
    artifact = compress(write(tmp_path), "onnx-static-int8", frames(count=2, steps=5))
    assert [len(found.lows) for found in artifact.ranges] == [5]


def test_percentile_cuts_off_what_is_rare(tmp_path):
    table = CONSTANTS["table"].copy()
    table[0, 0] = 500
    path = write(tmp_path, REASONER, reasoner(), edit=lambda model: _replace(model, {"table": table}))
    recipe = "onnx-static-int8,op_types=Add,steps=2,calibrate={},percentile=90"
    wide, cut = (compress_any(path, recipe.format(method)) for method in ("minmax", "percentile"))
    assert scale_of(cut, "e") < scale_of(wide, "e") / 20


def compress_any(path, recipe):
    """Compress with the products too, so that something of them is quantized."""
    return compress(path, recipe.replace("op_types=Add", "op_types=Add+MatMul"), tokens(6))


def test_what_was_calibrated_on_and_found_is_told_in_the_file(made, tmp_path):
    facts = opened(written(tmp_path, made("onnx-static-int8"))).facts
    assert facts.calibration_rows == row_digests(puzzles(3).inputs) == made("onnx-static-int8").calibration_rows
    metadata = read_onnx(made("onnx-static-int8").data, "made").graph.metadata
    bounds = json.loads(metadata[f"{STATE_RANGE}z_H"])
    (found,) = (one for one in made("onnx-static-int8").ranges if one.state == "z_H")
    assert np.allclose(bounds, list(zip(found.lows, found.highs, strict=True)), rtol=1e-5)
    assert len(bounds) == 16  # eight ACT steps of two H-cycles


def test_the_summary_warns_where_early_and_late_runs_do_not_fit_one_scale(tmp_path):
    artifact = compress(growing(tmp_path), "onnx-static-int8,steps=8", tokens(1))
    text = summary(opened(growing(tmp_path)).facts, artifact, "out.onnx", len(artifact.data))
    assert "largest over smallest range 8, the smallest uses 12% of one scale's levels" in text
    assert "warning: one scale does not fit early and late runs of z" in text
    calm = compress(write(tmp_path, REASONER, reasoner()), "onnx-static-int8,steps=4", tokens(3))
    assert "warning" not in summary(opened(growing(tmp_path)).facts, calm, "out.onnx", len(calm.data))


@pytest.mark.parametrize(
    ("lows", "highs", "ratio", "share"),
    [((-1.0, -2.0), (1.0, 2.0), 2, 0.5), ((0.0, 3.0), (0.0, 4.0), float("inf"), 0), ((1.0,), (2.0,), 1, 1)],
)
def test_how_well_one_scale_fits(lows, highs, ratio, share):
    found = StateRange("z", lows, highs)
    assert (found.ratio, found.share) == (ratio, share)


# ---------------------------------------------------------------- what is refused

LEFT = "p = MatMul(square, z) z_out = Tanh(p) logits = MatMul(z_out, head)"


def test_a_recipe_that_quantized_too_little_is_refused_with_what_was_left(tmp_path):
    constants = {"square": RNG.normal(size=(3, 3)).astype(np.float32)}
    path = write(tmp_path, LEFT, STATE, constants=constants)
    with pytest.raises(UsageError, match=r"onnx-int4 quantized 66.67 % .*square stays float \(MatMulNBits takes"):
        compress(path, "onnx-int4,block_size=16")
    assert compress(path, "onnx-int8").share == 1
    assert compress(path, "onnx-int4,block_size=16,exclude=square").share == 1


@pytest.mark.parametrize("turned", [False, True])
def test_a_weight_that_the_preparation_laid_out_counts_as_any_other(tmp_path, turned):
    body = LEFT.replace("MatMul(square, z)", "MatMul(s, z)")
    body = ("s = Transpose <perm = [1, 0]> (square) " if turned else "s = Identity(square) ") + body
    path = write(tmp_path, body, STATE, constants={"square": RNG.normal(size=(3, 3)).astype(np.float32)})
    with pytest.raises(UsageError, match=r"onnx-int4 quantized 66.67 % "):
        compress(path, "onnx-int4,block_size=16")


def test_a_graph_whose_every_weight_the_preparation_makes_is_compressed(tmp_path):
    body = "p = Gemm<transB = 1>(z, wt, bias) z_out = Tanh(p) logits = Gemm<transB = 1>(z_out, wh)"
    constants = {"wt": MORE["wt"], "bias": MORE["bias"], "wh": CONSTANTS["head"].T.copy()}
    artifact = compress(write(tmp_path, body, STATE, constants=constants), "onnx-dynamic-int8")
    assert artifact.share == 1
    assert not any(kind == "float32" for kind in stored(artifact).values())


def test_nothing_is_written_where_too_little_was_quantized(tmp_path, capsys):
    path = write(tmp_path, LEFT, STATE, constants={"square": RNG.normal(size=(3, 3)).astype(np.float32)})
    assert answer(["compress", str(path), "--recipe", "onnx-int4", "-o", str(tmp_path / "out.onnx")]) == 2
    assert "stays float" in capsys.readouterr().err
    assert not (tmp_path / "out.onnx").exists()


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ("onnx-int8,exclude=lm_hed", "exclude: no node and no weight is named 'lm_hed' .did you mean lm_head"),
        ("onnx-int8,exclude=*", "exclude leaves nothing to quantize"),
        ("onnx-int8,op_types=Matmul", "op_types: the graph has no operator 'Matmul' .did you mean MatMul"),
        ("onnx-int8,op_types=Conv", "has no float32 weights of Conv"),
        ("onnx-static-int8", "needs calibration puzzles"),
        ("onnx-static-int8,op_types=MatMul+Floor", "cannot quantize Floor"),
        ("onnx-dynamic-int8,op_types=MatMul+Add", "cannot quantize Add"),
        ("onnx-static-int8,percentile=20", "percentile must be above 50"),
        ("onnx-static-int8,steps=-1", "steps must be 0 to 65536"),
        ("onnx-int4,block_size=24", "'24' is not a value onnx-int4 takes"),
    ],
)
def test_options_that_do_not_fit_are_refused_with_what_is_allowed(recipe, message):
    with pytest.raises(UsageError, match=message):
        compress(exported(NAME), recipe)


def test_calibration_for_a_recipe_that_looks_at_weights_alone_is_refused():
    with pytest.raises(UsageError, match="onnx-int4 looks at weights alone"):
        compress(exported(NAME), "onnx-int4", puzzles(1))


def test_a_checkpoint_is_told_to_be_exported_first():
    model = open_model(ModelSpec("reference", str(entry(NAME).weights)))
    with pytest.raises(UsageError, match=r"is no ONNX graph.*fidelity-gate export"):
        parse_recipe("onnx-int8").compress(model, None)


def test_a_step_graph_is_told_which_recipes_are_for_it():
    with pytest.raises(UsageError, match="it is an ONNX graph: onnx-int8"):
        compress(exported(NAME), "int8")


@pytest.mark.parametrize("recipe", ["onnx-int8", "onnx-static-int8", "onnx-fp16", "onnx-dynamic-int8"])
def test_a_compressed_graph_is_not_compressed_again(made, recipe, tmp_path):
    with pytest.raises(UsageError, match=r"is compressed already|quantized already"):
        compress(written(tmp_path, made(recipe)), "onnx-int4")


def external(model):
    weight = model.graph.initializer[0]
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="weights.bin")
    weight.ClearField("raw_data")


def nested(model):
    inside = helper.make_graph(
        [helper.make_node("Identity", ["z_out"], ["same"])],
        "inside",
        [],
        [helper.make_tensor_value_info("same", TensorProto.FLOAT, None)],
    )
    model.graph.input.append(helper.make_tensor_value_info("yes", TensorProto.BOOL, []))
    model.graph.node.append(helper.make_node("If", ["yes"], ["either"], then_branch=inside, else_branch=inside))


@pytest.mark.parametrize(
    ("edit", "opset", "message"),
    [(external, 18, "external_data=False"), (nested, 18, "holds a graph of its own"), (None, 12, "is of opset 12")],
)
def test_graphs_that_recipes_cannot_look_into_are_refused(edit, opset, message, tmp_path):
    with pytest.raises(UsageError, match=message):
        compress(write(tmp_path, REASONER, reasoner(), edit=edit, opset=opset), "onnx-int8")


def test_a_weight_beyond_float16_is_refused_by_name_and_may_be_excluded(tmp_path):
    large = {"w": CONSTANTS["w"] + np.float32(1e5)}
    path = write(tmp_path, REASONER, reasoner(), edit=lambda model: _replace(model, large))
    for recipe in ("onnx-fp16", "onnx-fp16,exclude=carry"):
        with pytest.raises(ModelRefused, match="w: holds a value that does not fit float16"):
            compress(path, recipe)
    assert compress(path, "onnx-fp16,exclude=w").excluded == ("w",)


def test_a_weight_that_is_not_finite_is_refused(tmp_path):
    broken = {"w": CONSTANTS["w"] * np.float32("nan")}
    path = write(tmp_path, REASONER, reasoner(), edit=lambda model: _replace(model, broken))
    with pytest.raises(ModelRefused, match="w: holds values that are not finite"):
        compress(path, "onnx-int8")


def test_static_calibration_says_what_it_lacks(tmp_path):
    path = write(tmp_path, REASONER, reasoner())
    with pytest.raises(UsageError, match=r"does not say how many steps.*steps=N"):
        compress(path, "onnx-static-int8", tokens())
    with pytest.raises(UsageError, match=r"no state is known.*--model state"):
        compress(path, "onnx-static-int8,steps=2", tokens(), state__z=None)
    with pytest.raises(Exception, match="probes have 4 tokens, the graph takes 7"):
        compress(path, "onnx-static-int8,steps=2", tokens(length=4))


def test_a_state_that_is_no_longer_finite_is_not_calibrated_on(tmp_path):
    body = "e = Gather(table, inputs) sum = Add(z, e) big = Mul(sum, ten) bigger = Exp(big) z_out = MatMul(bigger, w)"
    signature = f"(float[1,7,{WIDTH}] z, int32[1,7] inputs) => (float[1,7,{WIDTH}] z_out)"
    with pytest.raises(NotMeasured, match="z_out: is not finite after run"):
        compress(write(tmp_path, body, signature), "onnx-static-int8,steps=6", tokens())


def test_calibration_rows_that_are_no_digests_are_refused(tmp_path):
    path = write(tmp_path, REASONER, reasoner(), metadata={RECIPE: "onnx-int8", CALIBRATION_ROWS: "abc"})
    with pytest.raises(ModelRefused, match="no digests of rows"):
        opened(path)


# ---------------------------------------------------------------- the command


def test_the_command_writes_a_candidate_and_says_what_became_of_the_weights(tmp_path, capsys):
    step = tmp_path / "step.onnx"
    step.write_bytes(exported(NAME).read_bytes())
    assert answer(["compress", str(step), "--recipe", "onnx-int8,exclude=q_head*"]) == 0
    out = capsys.readouterr().out
    target = tmp_path / "step.onnx-int8-exclude-q-head.onnx"
    for line in (
        "block weights below 16 bit: 100 %",
        "of the weights it is for, 100 % were narrowed",
        "not quantized: embed_tokens.embedding_weight",
        "excluded: q_head.weight",
        "onnx -> onnx",
        f"sha256 {sha256_hex(target.read_bytes())}",
    ):
        assert line in out, line


def test_the_command_calibrates_and_shows_the_ranges_of_the_states(tmp_path, capsys):
    target, calibration = str(tmp_path / "out.onnx"), tmp_path / "calibration.npz"
    np.savez(calibration, inputs=puzzles(2).inputs)
    recipe = "onnx-static-int8,op_types=MatMul,steps=3"
    command = ["compress", str(exported(NAME)), "--recipe", recipe, "--calibration", str(calibration)]
    assert answer([*command, "-o", target]) == 0
    out = capsys.readouterr().out
    assert "calibration: 2 puzzles, recorded by the digest of every row" in out
    for state in ("z_H", "z_L"):
        assert f"range of {state} after each of 6 runs" in out


def test_an_older_candidate_is_replaced(tmp_path):
    command = ["compress", str(write(tmp_path, REASONER, reasoner())), "-o", str(tmp_path / "out.onnx"), "--recipe"]
    assert answer([*command, "onnx-int8"]) == 0
    before = (tmp_path / "out.onnx").read_bytes()
    assert answer([*command, "onnx-fp16"]) == 0
    assert (tmp_path / "out.onnx").read_bytes() != before


@pytest.mark.parametrize(
    ("recipe", "name", "message"),
    [
        ("onnx-int8", "out.safetensors", "the recipe makes a step graph (a name that ends in .onnx)"),
        ("int8", "out.onnx", "the recipe makes no step graph (a name that ends in .safetensors)"),
        ("onnx-int8", "foreign.onnx", "exists, and is no candidate of ours"),
        ("onnx-int8", "step.onnx", "would overwrite the reference"),
    ],
)
def test_the_command_refuses_names_that_are_not_for_it(recipe, name, message, tmp_path, capsys):
    write(tmp_path, REASONER, reasoner())
    write(tmp_path, REASONER, reasoner(), name="foreign")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    command = ["compress", str(tmp_path / "step.onnx"), "--recipe", recipe, "-o", str(tmp_path / name)]
    assert answer(command) == 2
    assert message in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_list_shows_every_onnx_recipe_with_its_options(capsys):
    assert answer(["compress", "--list"]) == 0
    out = capsys.readouterr().out
    for name in ALL:
        assert f"\n{name}\n" in out
    assert "calibrate=minmax (minmax, percentile, entropy)" in out
