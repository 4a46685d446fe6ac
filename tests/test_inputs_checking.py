"""Probes that a verdict may rest on, and those it may not."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fidelity_gate.errors import InputsRefused, UnsafeContent
from fidelity_gate.inputs import tokens
from fidelity_gate.inputs.checking import check_probes, overlap, row_digests, rows_text, take
from fidelity_gate.inputs.making import digest_of, make_probes, square_grid
from fidelity_gate.records import Probes

ROWS = np.arange(1, 37, dtype=np.int32).reshape(4, 9)
NOTHING = -100


def probes(**changes: object) -> Probes:
    return replace(make_probes(ROWS, ROWS + 1, source="eval.npz", grid=(3, 3)), **changes)


def with_cell(array: np.ndarray, row: int, cell: int, value: int) -> np.ndarray:
    changed = array.copy()
    changed[row, cell] = value
    return changed


def test_good_probes_pass() -> None:
    check_probes(probes(), vocab=37, seq_len=9, minimum=4)
    check_probes(probes(labels=None))


REFUSED = {
    "float inputs": (probes(inputs=np.where(ROWS == 15, np.nan, ROWS)), "inputs: row 1, cell 5 is nan"),
    "fractions": (probes(inputs=ROWS + 0.25), "not a whole number"),
    "object inputs": (probes(inputs=ROWS.astype(object)), "holds Python objects"),
    "0-d": (probes(inputs=np.array(1)), "is a single value"),
    "no probes": (probes(inputs=ROWS[:0]), "holds no probes"),
    "no tokens": (probes(inputs=ROWS[:, :0]), "without tokens"),
    "another length": (probes(inputs=ROWS[:, :8], grid=None), "probes have 8 tokens, the model takes 9"),
    "another grid": (probes(grid=(3, 4)), "grid: a grid of 3x4 has 12 cells, the probes have 9"),
    "too few": (
        probes(inputs=ROWS[:3]),
        "3 probes, at least 4 are required .give more probes, or lower minimum_probes",
    ),
    "an unknown token": (
        probes(inputs=with_cell(ROWS, 2, 0, 37)),
        r"token 37 is out of the model's vocabulary \(first in row 2\) \(0 to 36\)",
    ),
    "a negative token": (probes(inputs=with_cell(ROWS, 2, 0, -1)), r"token -1 is negative \(row 2\)"),
    "a repeated probe": (
        probes(inputs=ROWS[[0, 1, 0, 1]]),
        r"rows 2, 3 repeat earlier probes \(row 2 is row 0\)",
    ),
    "one probe again and again": (probes(inputs=ROWS[[0, 0, 0, 0]]), r"rows 1, 2, 3 repeat"),
    "a constant probe": (
        probes(inputs=np.where(np.arange(4)[:, None] == 3, 5, ROWS)),
        "row 3: every token of a probe is the same",
    ),
    "all constant": (probes(inputs=np.full((4, 9), 1)), "rows 0, 1, 2, 3: every token"),
    "fewer labels": (probes(labels=ROWS[:3]), "labels: has 3 rows, the inputs have 4"),
    "shorter labels": (
        probes(labels=ROWS[:, :3]),
        r"labels: has 3 labels a probe for 9 tokens \(say which tokens they speak about",
    ),
    "labels unlike their answer": (probes(answer_slice=(0, 3)), "labels: has 9 labels a probe for 3 tokens"),
    "an answer behind the end": (probes(labels=ROWS[:, :3], answer_slice=(7, 10)), "answer: ends at 10"),
    "NaN labels": (probes(labels=ROWS * np.nan), "labels: row 0, cell 0 is nan"),
    "labels that all do not count": (probes(labels=np.full((4, 9), NOTHING)), "rows 0, 1, 2, 3: no label counts"),
    "a probe whose labels do not count": (
        probes(labels=np.where(np.arange(4)[:, None] == 2, NOTHING, ROWS)),
        "row 2: no label counts",
    ),
    "negative labels": (
        probes(labels=with_cell(ROWS, 0, 0, -1)),
        r"labels: label -1 is negative \(if such cells do not count: ignore_label: -1\)",
    ),
    "fewer identifiers": (probes(identifiers=np.zeros(3, np.int32)), "identifiers: has 3 rows"),
    "negative identifiers": (probes(identifiers=np.full(4, -1)), "identifiers: -1 is negative"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_probes_that_a_verdict_may_not_rest_on_are_refused(case: str) -> None:
    bad, message = REFUSED[case]
    with pytest.raises(InputsRefused, match=message) as caught:
        check_probes(bad, vocab=37, seq_len=9, minimum=4)
    assert str(caught.value).startswith("eval.npz: ")
    assert len(str(caught.value)) <= 200


def test_one_input_under_two_identifiers_is_two_probes() -> None:
    check_probes(probes(inputs=ROWS[[0, 1, 0, 1]], identifiers=np.array([0, 0, 1, 1])))


def test_labels_may_speak_about_a_span_of_the_tokens() -> None:
    check_probes(probes(labels=ROWS[:, 6:], answer_slice=(6, 9)))


def test_giants_are_refused_before_they_are_touched() -> None:
    giant = np.broadcast_to(np.int32(1), (2**15, tokens.MOST_CELLS // 2**15 + 1))
    with pytest.raises(UnsafeContent, match="cells"):
        check_probes(probes(inputs=giant))


def test_rows_are_named_but_not_by_the_thousand() -> None:
    assert rows_text([3]) == "row 3"
    assert rows_text([3, 7]) == "rows 3, 7"
    assert rows_text(list(range(90))) == "rows 0, 1, 2, 3, 4 and 85 more"


# ---------------------------------------------------------------- views


def test_a_batch_is_a_view_with_its_own_digest() -> None:
    whole = probes(identifiers=np.arange(4, dtype=np.int32), ignore_label=0, answer_slice=(0, 9))
    batch = take(whole, 1, 3)
    assert np.shares_memory(batch.inputs, whole.inputs)
    assert batch.labels is not None
    assert np.array_equal(batch.labels, ROWS[1:3] + 1)
    assert np.array_equal(batch.identifiers, [1, 2])
    assert (batch.ignore_label, batch.grid, batch.answer_slice) == (0, (3, 3), (0, 9))
    assert batch.digest == digest_of(ROWS[1:3], ROWS[1:3] + 1, batch.identifiers, 0)
    assert take(probes(labels=None), 0, 4).labels is None


@pytest.mark.parametrize(("start", "stop"), [(0, 5), (2, 2), (3, 2), (-1, 2), (4, 5)])
def test_rows_that_are_not_there_cannot_be_taken(start: int, stop: int) -> None:
    with pytest.raises(InputsRefused, match=rf"probes: no probes {start}:{stop} \(there are 4, counted from 0\)"):
        take(probes(), start, stop)


@pytest.mark.parametrize(("length", "grid"), [(81, (9, 9)), (900, (30, 30)), (3, None), (80, None), (1, None)])
def test_a_square_number_of_tokens_is_a_grid(length: int, grid: tuple[int, int] | None) -> None:
    assert square_grid(length) == grid


# ---------------------------------------------------------------- row digests

TABLES = arrays.arrays(
    np.int32, st.tuples(st.integers(1, 6), st.integers(1, 5)), elements=st.integers(-(2**31), 2**31 - 1)
)


@given(TABLES)
@settings(deadline=None)
def test_a_row_has_the_digest_of_its_little_endian_bytes(table: np.ndarray) -> None:
    expected = [hashlib.sha256(row.astype("<i4").tobytes()).hexdigest()[:32] for row in table]
    assert list(row_digests(table)) == expected
    assert list(row_digests(np.asfortranarray(table).astype(">i4"))) == expected


@given(TABLES, st.permutations(range(6)))
@settings(deadline=None)
def test_equal_rows_have_equal_digests_wherever_they_stand(table: np.ndarray, order: list[int]) -> None:
    order = [row for row in order if row < len(table)]
    assert row_digests(table[order]) == tuple(row_digests(table)[row] for row in order)
    distinct = len({row.tobytes() for row in table})
    assert len(set(row_digests(table))) == distinct


SMALL = arrays.arrays(np.int32, st.tuples(st.integers(1, 8), st.just(2)), elements=st.integers(0, 2))


@given(SMALL, SMALL)
@settings(deadline=None)
def test_overlap_finds_exactly_the_rows_that_are_in_both(one: np.ndarray, other: np.ndarray) -> None:
    expected = [index for index, row in enumerate(one) if any(np.array_equal(row, there) for there in other)]
    assert list(overlap(row_digests(one), row_digests(other))) == expected
