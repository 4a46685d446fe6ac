"""Embedding tables: the paper's figures, scales counted, and the cosine that a low rank costs on real values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fidelity_gate.analysis import low_rank
from fidelity_gate.analysis.embeddings import embedding_tables, projected_tables, with_cosine
from fidelity_gate.analysis.low_rank import row_cosines
from fidelity_gate.records import Granularity, Role, TensorFact

MIB = 2**20
PAPER_ROWS, PAPER_WIDTH = 50_911, 512


def table_of(shape=(PAPER_ROWS, PAPER_WIDTH), rank=16, **changes):
    values = int(np.prod(shape))
    told = {"stored_as": "float32", "bits": 32.0, "payload_bytes": 4 * values} | changes
    (table,) = embedding_tables((TensorFact("puzzle_emb.weights", Role.EMBEDDING, shape, **told),), rank)
    return table


def low_rank_plus_noise(rows, width, rank, noise, seed=0):
    """Return a table whose rows lie in `rank` directions, but for `noise` of their length."""
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal((rows, rank), np.float32) @ rng.standard_normal((rank, width), np.float32)
    signal *= np.float32(1 / np.sqrt(rank))
    signal += np.float32(noise) * rng.standard_normal((rows, width), np.float32)
    return signal


# ---------------------------------------------------------------- bytes


def test_the_papers_figures_of_its_puzzle_embedding():
    table = table_of()
    assert table.float32_bytes / MIB == pytest.approx(99.4, abs=0.05)
    assert table.stored_bytes == table.float32_bytes
    assert (table.int8_bytes - table.int8_scale_bytes) / MIB == pytest.approx(24.9, abs=0.05)
    assert table.svd_bytes / 1e6 == pytest.approx(3.2, abs=0.1)  # 3.29 MB, 3.14 MiB; the paper prints 3.2 MB
    assert table.row_bytes == 2048


def test_scales_are_counted_where_the_paper_leaves_them_out():
    table = table_of()
    assert table.int8_scale_bytes == 4 * PAPER_ROWS
    assert table.int8_bytes / MIB == pytest.approx(25.05, abs=0.01)


def test_a_quantized_table_is_counted_as_it_is_stored():
    table = table_of(
        (100, 64), stored_as="int8 per channel symmetric", bits=8.0, payload_bytes=6400, overhead_bytes=400,
        granularity=Granularity.CHANNEL,
    )  # fmt: skip
    assert (table.stored_bytes, table.overhead_bytes, table.row_bytes) == (6800, 400, 68)
    assert table.bits == 8.5
    assert table.float32_bytes == 25_600


def test_a_row_of_packed_values_takes_whole_bytes():
    assert (
        table_of((3, 5), stored_as="int4 per tensor symmetric", bits=4.0, payload_bytes=8, overhead_bytes=4).row_bytes
        == 4
    )


def test_the_rank_is_an_option():
    assert table_of(rank=64).svd_bytes == 4 * 64 * (PAPER_ROWS + PAPER_WIDTH)


def test_a_tied_table_takes_its_bytes_and_says_whose_they_are():
    table = table_of((12, 64), payload_bytes=0, tied_to="lm_head.weight")
    assert (table.stored_bytes, table.row_bytes, table.tied_to) == (3072, 256, "lm_head.weight")


def test_only_tables_of_rows_are_embeddings():
    facts = (
        TensorFact("L_level.w", Role.BLOCK, (4, 4), "float32", 32.0, 64),
        TensorFact("initial", Role.EMBEDDING, (4,), "float32", 32.0, 16),
        TensorFact("empty", Role.EMBEDDING, (0, 4), "float32", 32.0, 0),
    )
    assert embedding_tables(facts) == ()


def test_an_architecture_alone_gives_the_same_bytes():
    shapes = {
        "puzzle_emb.weights": ((PAPER_ROWS, PAPER_WIDTH), Role.EMBEDDING),
        "lm_head.weight": ((12, 512), Role.HEAD),
    }
    assert projected_tables(shapes) == (table_of(),)


# ---------------------------------------------------------------- the cosine that a low rank costs


def test_the_papers_cosine_follows_from_a_low_rank_plus_noise_table_of_its_size():
    values = low_rank_plus_noise(PAPER_ROWS, PAPER_WIDTH, 16, noise=0.36)
    found = with_cosine(table_of(), values)
    assert found.svd_cosine == pytest.approx(0.94, abs=0.01)
    assert found.svd_lowest < found.svd_cosine
    assert found.zero_rows == 0


def by_definition(table, rank):
    """Return the cosines of the rows with those of the reconstruction from numpy's own decomposition."""
    left, values, right = np.linalg.svd(table.astype(np.float64), full_matrices=False)
    near = (left[:, :rank] * values[:rank]) @ right[:rank]
    with np.errstate(invalid="ignore", divide="ignore"):
        return (near * table).sum(1) / np.linalg.norm(near, axis=1) / np.linalg.norm(table, axis=1)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 50), st.integers(0, 99))
def test_the_cosines_are_those_of_the_reconstruction(rows, width, rank, seed):
    table = low_rank_plus_noise(rows, width, 3, noise=0.5, seed=seed)
    assert row_cosines(table, rank) == pytest.approx(by_definition(table, rank), abs=2e-3)


def test_a_table_of_that_rank_loses_nothing():
    assert row_cosines(low_rank_plus_noise(300, 40, 8, noise=0.0), 8).min() == pytest.approx(1.0, abs=1e-6)


def test_a_wide_table_and_its_long_side_do_not_matter():
    table = low_rank_plus_noise(20, 400, 5, noise=0.4)
    assert row_cosines(table, 5) == pytest.approx(by_definition(table, 5), abs=1e-4)


def test_the_randomized_method_is_close_to_the_exact_one_and_always_the_same(monkeypatch):
    table = low_rank_plus_noise(9_000, 200, 16, noise=0.36)
    exact = row_cosines(table, 16)
    monkeypatch.setattr(low_rank, "MOST_EXACT", 100)
    near = row_cosines(table, 16)
    assert not np.array_equal(near, exact)
    assert np.nanmean(near) == pytest.approx(np.nanmean(exact), abs=1e-4)
    assert np.array_equal(near, row_cosines(table, 16))


def test_a_row_of_zeros_has_no_direction_and_is_counted_apart():
    values = low_rank_plus_noise(50, 20, 4, noise=0.3)
    values[7] = 0
    found, rest = with_cosine(table_of((50, 20), rank=4), values), np.delete(values, 7, axis=0)
    assert found.zero_rows == 1
    assert found.svd_cosine == pytest.approx(np.mean(by_definition(rest, 4)), abs=1e-4)


def test_a_table_of_zeros_has_no_cosine():
    found = with_cosine(table_of((5, 4), rank=2), np.zeros((5, 4), np.float32))
    assert (found.svd_cosine, found.svd_lowest, found.zero_rows) == (None, None, 5)


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_the_size_of_the_values_changes_nothing(size):
    table = low_rank_plus_noise(60, 20, 4, noise=0.3)
    assert row_cosines(table * np.float32(size), 4) == pytest.approx(row_cosines(table, 4), abs=1e-5)
