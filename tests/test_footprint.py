"""The paper's footprint figures, from configurations alone (Table 15, Table 1, section 4)."""

from __future__ import annotations

import pytest

from fidelity_gate.analysis.footprint import (
    backbone_bytes,
    embedding_bytes,
    flash_row_bytes,
    footprint,
    paper_footprint,
)
from fidelity_gate.models.families.trm import Trm
from fidelity_gate.records import Geometry, ModelFacts, Role, TensorFact

MIB = 2**20

TABLE_15 = [  # name, seq_len, mixer, bytes per value, streaming MiB, full load MiB
    ("ARC FP32", 900, "attention", 4.0, 27.31, 40.31),
    ("ARC INT8", 900, "attention", 1.0, 9.51, 12.76),
    ("Maze FP32", 900, "attention", 4.0, 27.31, 40.31),
    ("Maze INT8", 900, "attention", 1.0, 9.51, 12.76),
    ("Sudoku FP32", 81, "mlp", 4.0, 11.08, 20.65),
    ("Sudoku INT8", 81, "mlp", 1.0, 3.06, 5.45),
]


def geometry_of(seq_len: int, mixer: str) -> Geometry:
    return Trm(
        hidden_size=512,
        num_heads=8,
        layers=2,
        expansion=4.0,
        mixer=mixer,
        vocab_size=12,
        seq_len=seq_len,
        puzzle_emb_len=16,
        puzzle_emb_ndim=512,
    ).geometry()


@pytest.mark.parametrize(
    ("name", "seq_len", "mixer", "size", "streaming", "full"), TABLE_15, ids=[row[0] for row in TABLE_15]
)
def test_table_15_follows_from_the_configuration(name, seq_len, mixer, size, streaming, full):
    found = paper_footprint(geometry_of(seq_len, mixer), size)
    assert found.streaming / MIB == pytest.approx(streaming, abs=0.01)
    assert found.full_load / MIB == pytest.approx(full, abs=0.01)


def test_host_side_compression_brings_arc_int8_under_8_mb():
    assert paper_footprint(geometry_of(900, "attention"), 1.0).host_compressed / MIB == pytest.approx(6.828, abs=0.001)


def test_backbone_sizes_of_the_paper():
    assert backbone_bytes(6_830_000, 8) / MIB == pytest.approx(6.51, abs=0.01)
    assert backbone_bytes(6_830_000, 4) / MIB == pytest.approx(3.26, abs=0.01)


def test_embedding_table_figures_of_the_paper():
    assert embedding_bytes(50_911, 512) / MIB == pytest.approx(99.4, abs=0.05)
    assert embedding_bytes(50_911, 512, bytes_per_value=1) / MIB == pytest.approx(24.9, abs=0.05)
    assert embedding_bytes(50_911, 512, rank=16) / MIB == pytest.approx(3.14, abs=0.01)  # 3.29 MB; the paper prints 3.2
    assert flash_row_bytes(512) == 2048


def facts_with(block: tuple[TensorFact, ...], geometry: Geometry | None) -> ModelFacts:
    return ModelFacts("m", "0" * 64, 1, "artifact", "trm", (), None, geometry, block)


def test_one_matrix_left_in_float32_makes_the_whole_block_count_as_float32():
    geometry = Geometry(tokens=10, width=8, layers=1, layer_values=128)
    packed = TensorFact("a", Role.BLOCK, (8, 8), "int8", 8.0, 64, 4)
    wide = TensorFact("b", Role.BLOCK, (8, 8), "float32", 32.0, 256)
    assert footprint(facts_with((packed, packed), geometry)).bytes_per_value == 1.0
    assert footprint(facts_with((packed, wide), geometry)).bytes_per_value == 4.0


def test_scales_are_counted_as_bytes_of_the_layer():
    geometry = Geometry(tokens=1, width=8, layers=1, layer_values=64)
    bare = TensorFact("a", Role.BLOCK, (8, 8), "int8", 8.0, 64)
    scaled = TensorFact("a", Role.BLOCK, (8, 8), "int8", 8.0, 64, 32)
    assert (
        footprint(facts_with((scaled,), geometry)).streaming - footprint(facts_with((bare,), geometry)).streaming == 32
    )


def test_without_a_geometry_or_a_block_there_is_no_footprint():
    assert footprint(facts_with((), Geometry(1, 1, 1, 1))) is None
    assert footprint(facts_with((TensorFact("a", Role.BLOCK, (8, 8), "int8", 8.0, 64),), None)) is None
