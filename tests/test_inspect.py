"""`inspect`: the paper's figures from a configuration alone, and what a real file holds."""

from __future__ import annotations

import json

import pytest

from fidelity_gate.cli import answer

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
    table = found["puzzle_embedding"]
    assert table["resident_fp32"] / MIB == pytest.approx(99.4, abs=0.05)
    assert table["resident_int8"] / MIB == pytest.approx(24.9, abs=0.05)
    assert table["flash_row"] == 2048
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
