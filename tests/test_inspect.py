"""`inspect`: the paper's figures from a configuration alone, and what a real file holds."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from onnx import helper
from safetensors.numpy import save_file

from fidelity_gate.cli import answer
from tests.exported import exported
from tests.lint_made import save_onnx, value

MIB = 2**20
CONFIG = """
arch:
  name: recursive_reasoning.{module}@TinyRecursiveReasoningModel_ACTV1
  loss: {{name: losses@ACTLossHead, loss_type: stablemax_cross_entropy}}
  halt_max_steps: 16
  H_cycles: 3
  L_cycles: 6
  H_layers: 0
  L_layers: 2
  hidden_size: 512
  num_heads: 8
  expansion: 4
  puzzle_emb_ndim: 512
  puzzle_emb_len: 16
  pos_encodings: {positions}
  mlp_t: {mixes}
data_paths: [data/puzzles]
"""
# name, tokens of a puzzle, MLP mixing, puzzles that have an embedding -> (int8 and fp32) streaming and full load in MiB
TABLE_15 = [
    ("arc", 900, False, 50_911, 27.31, 40.31, 9.51, 12.76),
    ("maze", 900, False, 1, 27.31, 40.31, 9.51, 12.76),
    ("sudoku", 81, True, 1, 11.08, 20.65, 3.06, 5.45),
]


@pytest.fixture
def configuration(tmp_path):
    def make(tokens: int, *, mixes: bool, puzzles: int = 1, module: str = "trm") -> str:
        positions = "none" if mixes else "rope"
        text = CONFIG.format(module=module, positions=positions, mixes=str(mixes).lower())
        (tmp_path / "all_config.yaml").write_text(text)
        facts = {"vocab_size": 12, "seq_len": tokens, "num_puzzle_identifiers": puzzles, "sets": ["all"]}
        (tmp_path / "dataset.json").write_text(json.dumps(facts))
        return str(tmp_path / "all_config.yaml")

    return make


def inspected(capsys, *args: str) -> dict:
    assert answer(["inspect", *args, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("row", TABLE_15, ids=[row[0] for row in TABLE_15])
def test_an_official_configuration_alone_gives_the_papers_table_15(configuration, capsys, row):
    _, tokens, mixes, puzzles, *figures = row
    found = inspected(capsys, configuration(tokens, mixes=mixes, puzzles=puzzles))
    sram = {one["precision"]: one["sram"] for one in found["projections"]}
    told = [sram[name][scenario] / MIB for name in ("fp32", "int8") for scenario in ("streaming", "full_load")]
    assert told == pytest.approx(figures, abs=0.01)


def test_an_official_configuration_alone_gives_the_papers_sizes(configuration, capsys):
    found = inspected(capsys, configuration(900, mixes=False, puzzles=50_911))
    backbone = {one["precision"]: one["backbone"] / MIB for one in found["projections"]}
    assert backbone["int8"] == pytest.approx(6.51, abs=0.01)
    assert backbone["int4"] == pytest.approx(3.26, abs=0.01)
    table = next(one for one in found["embeddings"] if one["name"] == "puzzle_emb.weights")
    assert table["float32_bytes"] / MIB == pytest.approx(99.4, abs=0.05)
    assert (table["int8_bytes"] - table["int8_scale_bytes"]) / MIB == pytest.approx(24.9, abs=0.05)
    assert table["svd_bytes"] / 1e6 == pytest.approx(3.2, abs=0.1)
    assert table["row_bytes"] == 2048
    sram = next(one["sram"] for one in found["projections"] if one["precision"] == "int8")
    assert sram["host_compressed"] / MIB == pytest.approx(6.828, abs=0.001)


def test_a_variant_with_the_same_tensors_and_another_recursion_is_refused_by_name(configuration, capsys):
    path = configuration(81, mixes=True, module="trm_singlez")
    assert answer(["inspect", path]) == 2
    assert "trm_singlez" in capsys.readouterr().err
    assert answer(["inspect", path, "--model", "family=trm"]) == 0


def test_a_configuration_that_names_no_family_says_which_there_are(tmp_path, capsys):
    (tmp_path / "m.model.yaml").write_text("hidden_size: 64\n")
    assert answer(["inspect", str(tmp_path / "m.model.yaml")]) == 2
    assert "one of: hrm, recurrent-transformer, trm" in capsys.readouterr().err


def test_a_file_is_told_by_what_it_stores(capsys, tmp_path):
    target = str(tmp_path / "c.safetensors")
    assert answer(["compress", "zoo:trm-addition", "--recipe", "int4-naive", "-o", target]) == 0
    capsys.readouterr()
    found = inspected(capsys, target)
    block = [tensor for tensor in found["facts"]["tensors"] if tensor["role"] == "block"]
    assert {tensor["bits"] for tensor in block} == {4.0}
    assert found["footprint"]["bytes_per_value"] == 0.5
    assert answer(["inspect", target, "--tensors"]) == 0
    told = capsys.readouterr().out
    assert "int4 per tensor symmetric" in told
    assert "L_level.layers.0.mlp.down_proj.weight" in told
    assert "recipe" in told
    assert "(as the file says)" in told


def test_a_file_that_is_no_model_is_refused_in_one_line(tmp_path, capsys):
    (tmp_path / "x.bin").write_bytes(b"not a model at all")
    assert answer(["inspect", str(tmp_path / "x.bin")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


# ---------------------------------------------------------------- embedding tables


def test_a_small_table_is_decomposed_unasked_and_a_rank_can_be_chosen(capsys):
    tables = {one["name"]: one for one in inspected(capsys, "zoo:trm-addition")["embeddings"]}
    table = tables["embed_tokens.embedding_weight"]
    assert (table["rows"], table["width"], table["svd_rank"]) == (60, 128, 16)
    assert 0 < table["svd_lowest"] < table["svd_cosine"] < 1
    tables = {one["name"]: one for one in inspected(capsys, "zoo:trm-addition", "--svd-rank", "32")["embeddings"]}
    assert tables["embed_tokens.embedding_weight"]["svd_cosine"] > table["svd_cosine"]


def test_a_quantized_file_shows_what_its_scales_cost(capsys, tmp_path):
    target = str(tmp_path / "c.safetensors")
    assert answer(["compress", "zoo:trm-addition", "--recipe", "int4-calibrated", "-o", target]) == 0
    capsys.readouterr()
    assert answer(["inspect", target]) == 0
    (row,) = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("block")]
    bits, effective = float(row[7]), float(row[8])
    assert bits == 4
    assert 4 < effective < 5


# ---------------------------------------------------------------- step graphs


def test_a_step_graph_is_told_by_its_interface_operators_and_arena(capsys):
    path = str(exported("trm-addition"))
    found = inspected(capsys, path)
    graph, arena = found["graph"], found["arena"]
    assert [one["name"] for one in graph["inputs"]] == ["z_H", "z_L", "inputs"]
    assert graph["states"] == [{"input": "z_H", "output": "z_H_out"}, {"input": "z_L", "output": "z_L_out"}]
    assert graph["operators"]["MatMul"] > 10
    assert graph["unit"] == "h-cycle"
    assert arena["lower_bound"] <= arena["arena_bytes"] <= 1.05 * arena["lower_bound"]
    assert arena["state_bytes"] == 4 * 3 * 128 * 4
    assert len(arena["biggest"]) == 10
    assert answer(["inspect", path]) == 0
    told = capsys.readouterr().out
    for expected in ("one h-cycle (as the file says)", "arena of one h-cycle", arena["peak_node"], "MatMul", "compute"):
        assert expected in told


def test_an_open_batch_is_one_unless_told(capsys):
    path = str(exported("trm-addition", batch=None))
    one, four = inspected(capsys, path), inspected(capsys, path, "--dimension", "batch=4")
    assert (one["arena"]["dimensions"], four["arena"]["dimensions"]) == ({"batch": 1}, {"batch": 4})
    assert four["arena"]["state_bytes"] == 4 * one["arena"]["state_bytes"]


@pytest.mark.parametrize("pair", ["batch", "=1", "batch=", "batch=x", "batch=-1", "batch=1e3"])
def test_a_dimension_that_is_none_is_refused(capsys, pair):
    assert answer(["inspect", "x.onnx", "--dimension", pair]) == 2
    assert "is not NAME=SIZE" in capsys.readouterr().err


def test_a_dimension_that_no_input_has_is_refused_with_those_it_has(capsys):
    for batch, hint in ((None, "open: batch"), (1, "every size is a number already")):
        assert answer(["inspect", str(exported("trm-addition", batch=batch)), "--dimension", "bach=1"]) == 2
        told = capsys.readouterr().err
        assert "no input has a dimension 'bach'" in told
        assert hint in told


def test_a_dimension_twice_is_refused(capsys):
    path = str(exported("trm-addition"))
    assert answer(["inspect", path, "--dimension", "b=1", "--dimension", "b=2"]) == 2
    assert "given twice" in capsys.readouterr().err


def test_a_graph_that_cannot_be_planned_says_which_value_is_not_known(capsys, tmp_path):
    nodes = [helper.make_node("NonZero", ["x"], ["places"]), helper.make_node("Cast", ["places"], ["y"], to=1)]
    path = str(save_onnx(tmp_path, "open", nodes, [value("x", [4, 4])], [value("y", [2, "found"])], checked=False))
    assert "size that is not known" in inspected(capsys, path)["arena"]["not_known"]
    assert answer(["inspect", path]) == 0
    assert "arena: not known, places: " in capsys.readouterr().out


def test_constants_that_are_held_twice_are_shown_with_what_they_waste(capsys, tmp_path):
    table = np.arange(64, dtype=np.float32).reshape(8, 8)
    nodes = [helper.make_node("MatMul", ["x", "a"], ["h"]), helper.make_node("MatMul", ["h", "b"], ["y"])]
    held = {"a": table, "b": table, "c": table + 1}
    made = save_onnx(tmp_path, "twice", nodes, [value("x", [8, 8])], [value("y", [8, 8])], held, checked=False)
    (found,) = inspected(capsys, str(made))["duplicates"]
    assert found == {"names": ["a", "b"], "size_bytes": 256, "wasted_bytes": 256}
    assert answer(["inspect", str(made)]) == 0
    assert "256 B wasted" in capsys.readouterr().out


# ---------------------------------------------------------------- what it costs to look

LIGHT = """
import sys
from fidelity_gate.cli import answer
assert answer(["inspect", sys.argv[1]]) == 0
heavy = sorted(name for name in ("torch", "onnxruntime", "bitsandbytes", "scipy") if name in sys.modules)
assert not heavy, heavy
"""


@pytest.mark.parametrize("kind", ["onnx", "safetensors"])
def test_looking_at_a_file_loads_no_runtime(kind, capsys):
    path = "zoo:trm-addition" if kind == "safetensors" else str(exported("trm-addition"))
    done = subprocess.run([sys.executable, "-c", LIGHT, path], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_a_configuration_has_no_weights_to_compute_a_cosine_of(capsys, configuration):
    assert answer(["inspect", configuration(900, mixes=False, puzzles=50_911), "--svd-rank", "8"]) == 0
    told = capsys.readouterr().out
    assert "cosine not known without the weights" in told
    assert "--svd-rank" not in told
    assert "as stored" not in told


def test_what_nobody_said_is_asked_for_by_an_option_that_works_and_never_shown_as_zero(capsys, tmp_path):
    shapes = {"self_attn.qkv_proj": (192, 64), "self_attn.o_proj": (64, 64), "mlp.gate_up_proj": (512, 64)}
    shapes = {f"L_level.layers.0.{name}.weight": shape for name, shape in shapes.items()}
    shapes |= {"L_level.layers.0.mlp.down_proj.weight": (64, 256), "H_init": (64,), "L_init": (64,)}
    shapes |= {"embed_tokens.embedding_weight": (6, 64), "lm_head.weight": (6, 64)}
    shapes |= {"q_head.weight": (2, 64), "q_head.bias": (2,)}
    target = str(tmp_path / "bare.safetensors")
    save_file({name: np.full(shape, 0.5, np.float32) for name, shape in shapes.items()}, target)
    said = []
    for option, asked in (("num_heads=8", "num_heads=N"), ("positions=rope", "positions=rope")):
        assert answer(["inspect", target, *said]) == 2
        assert f"--model {asked}" in capsys.readouterr().err
        said += ["--model", option]
    assert answer(["inspect", target, *said]) == 0
    rows = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
    told = {row[0]: row[1] for row in rows if len(row) > 1}
    assert [told[name] for name in ("h_cycles", "l_cycles", "steps", "seq_len")] == ["not known"] * 4
