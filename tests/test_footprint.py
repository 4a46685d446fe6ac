"""The paper's footprint figures, from configurations alone (Table 15, section 4), and what a file really stores."""

from __future__ import annotations

import pytest
import torch

from fidelity_gate.analysis.footprint import backbone_bytes, footprint, paper_footprint
from fidelity_gate.errors import UnsafeContent
from fidelity_gate.models.checkpoint_worker import ties
from fidelity_gate.models.families.trm import Trm
from fidelity_gate.models.opening import open_model
from fidelity_gate.records import Geometry, ModelFacts, ModelSpec, Role, TensorFact
from fidelity_gate.zoo.catalog import entry

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


# ---------------------------------------------------------------- tied and repeated tensors


def test_a_layer_tied_to_another_is_streamed_whole_and_resident_once():
    geometry = Geometry(tokens=1, width=8, layers=2, layer_values=64)
    first = TensorFact("a", Role.BLOCK, (8, 8), "float32", 32.0, 256)
    second = TensorFact("b", Role.BLOCK, (8, 8), "float32", 32.0, 256)
    tied = TensorFact("b", Role.BLOCK, (8, 8), "float32", 32.0, 0, tied_to="a")
    apart, shared = (footprint(facts_with((first, other), geometry)) for other in (second, tied))
    assert shared.streaming == apart.streaming
    assert shared.host_compressed == apart.host_compressed
    assert apart.full_load - shared.full_load == 256


def test_names_of_the_same_bytes_are_ties_and_slices_of_one_storage_are_none():
    whole = torch.arange(24.0).reshape(4, 6)
    named = {
        "a": whole,
        "b": whole,
        "c": whole.T,
        "first half": whole[:2],
        "second half": whole[2:],
        "every other": whole[::2],
        "copy": whole.clone(),
        "empty": whole[:0],
    }
    assert ties(named) == {"b": "a", "c": "a"}


def saved(tmp_path, change):
    tensors = {name: torch.from_numpy(array) for name, array in open_model(zoo("trm-addition")).dense().items()}
    change(tensors)
    torch.save(tensors, tmp_path / "step_1")
    return ModelSpec("reference", str(tmp_path / "step_1"), open_model(zoo("trm-addition")).facts.architecture)


def zoo(name):
    return ModelSpec("reference", str(entry(name).weights))


def test_a_tensor_saved_once_under_two_names_is_counted_once(tmp_path):
    def tie(tensors):
        tensors["lm_head.weight"] = tensors["embed_tokens.embedding_weight"]

    facts = open_model(saved(tmp_path, tie)).facts
    by_name = {tensor.name: tensor for tensor in facts.tensors}
    second = by_name["lm_head.weight"]
    assert (second.stored_bytes, second.tied_to) == (0, "embed_tokens.embedding_weight")
    assert by_name[second.tied_to].stored_bytes == 4 * second.values
    assert sum(tensor.stored_bytes for tensor in facts.tensors) < facts.size_bytes


def test_a_tensor_that_repeats_few_values_is_refused_and_never_counted_as_many(tmp_path):
    def repeat(tensors):
        name = "L_level.layers.0.mlp.down_proj.weight"
        tensors[name] = tensors[name][:1].expand(tensors[name].shape)

    with pytest.raises(UnsafeContent, match="by repeating"):
        open_model(saved(tmp_path, repeat))
