"""Encodings: really packed, exact round trips, and nothing decoded that is not exactly what it claims."""

from __future__ import annotations

from dataclasses import replace

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fidelity_gate.errors import ModelRefused
from fidelity_gate.records import Role, StoredTensor
from fidelity_gate.storage.encodings import ENCODINGS, NF4_CODE
from fidelity_gate.storage.integers import SCALE_FLOOR, IntegerScheme, round_trip
from fidelity_gate.storage.packing import pack, packed_size, padding_is_zero, unpack
from fidelity_gate.storage.quantized import check, dense_of, dense_tensor, fact_of, integer_tensor

SCHEMES = [
    IntegerScheme(bits, axis, symmetric) for bits in (2, 3, 4, 8) for axis in (None, 0) for symmetric in (True, False)
]
MATRICES = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=1, max_dims=3, max_side=9),
    elements=st.floats(-(2.0**100), 2.0**100, width=32),
)


def weights(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def int_tensor(scheme: IntegerScheme, values: np.ndarray) -> StoredTensor:
    return integer_tensor("w", Role.BLOCK, values, scheme)


def bnb_rows(values: np.ndarray) -> StoredTensor:
    scb = np.abs(values).max(axis=1)
    data = np.rint(values * (127 / np.where(scb > 0, scb, 1))[:, None]).astype(np.int8)
    parts = {"data": data, "scb": scb, "threshold": np.zeros(1, np.float32)}
    return StoredTensor("w", Role.BLOCK, values.shape, "int8-bnb", 0, True, parts)


def nf4_blocks(values: np.ndarray) -> StoredTensor:
    flat = values.reshape(-1)
    absmax = np.array([np.abs(flat[at : at + 64]).max() for at in range(0, flat.size, 64)], dtype=np.float32)
    scaled = flat / np.repeat(absmax, 64)[: flat.size]
    codes = np.abs(scaled[:, None] - NF4_CODE).argmin(axis=1).astype(np.uint8)
    codes = np.append(codes, np.zeros(flat.size % 2, np.uint8))
    parts = {"data": codes[::2] << 4 | codes[1::2], "absmax": absmax, "code": NF4_CODE.copy()}
    return StoredTensor("w", Role.BLOCK, values.shape, "nf4-bnb", None, True, parts)


# ---------------------------------------------------------------- packing


@given(bits=st.integers(1, 8), data=st.data())
def test_packing_is_lossless_and_as_small_as_the_bits_allow(bits: int, data: st.DataObject) -> None:
    codes = np.array(data.draw(st.lists(st.integers(0, 2**bits - 1), max_size=40)), dtype=np.uint8)
    packed = pack(codes, bits)
    assert packed.size == packed_size(codes.size, bits) == -(-codes.size * bits // 8)
    assert np.array_equal(unpack(packed, bits, codes.size), codes)
    assert padding_is_zero(packed, bits, codes.size)


def test_four_bit_values_lie_two_in_a_byte_with_the_first_in_the_low_nibble() -> None:
    assert pack(np.array([0x1, 0x2, 0x3], np.uint8), 4).tolist() == [0x21, 0x03]


def test_eight_three_bit_values_take_three_bytes() -> None:
    assert pack(np.arange(8, dtype=np.uint8), 3).tolist() == [0b10_001_000, 0b1_100_011_0, 0b111_110_10]


def test_two_bit_values_lie_four_in_a_byte() -> None:
    assert pack(np.array([1, 2, 3, 0], np.uint8), 2).tolist() == [0b00_11_10_01]


# ---------------------------------------------------------------- integers


@settings(max_examples=60)
@given(values=MATRICES, scheme=st.sampled_from(SCHEMES))
def test_decoding_gives_what_the_arithmetic_without_packing_gives(values: np.ndarray, scheme: IntegerScheme) -> None:
    stored = int_tensor(scheme, values)
    assert dense_of(stored).tobytes() == round_trip(values, scheme).tobytes()
    assert dense_of(stored).shape == values.shape


@settings(max_examples=60)
@given(values=MATRICES, scheme=st.sampled_from(SCHEMES))
def test_no_value_is_further_off_than_half_a_step(values: np.ndarray, scheme: IntegerScheme) -> None:
    stored = int_tensor(scheme, values)
    scale = stored.parts["scale"].astype(np.float64).reshape(-1, *(1,) * (values.ndim - 1))
    allowed = scale * (0.5 if scheme.symmetric else 1.0) * (1 + 1e-5)  # a rounded zero point shifts the range a little
    tiny = np.abs(values) < SCALE_FLOOR * 1000  # such channels become zero
    assert ((np.abs(dense_of(stored) - values.astype(np.float64)) <= allowed) | tiny).all()


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_zero_stays_exactly_zero(scheme: IntegerScheme) -> None:
    values = weights(4, 6)
    values[1] = np.abs(values[1]) + 3  # all positive: the range must still reach down to zero
    values[:, 2] = 0
    assert (dense_of(int_tensor(scheme, values))[:, 2] == 0).all()


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_an_all_zero_channel_decodes_to_zeros(scheme: IntegerScheme) -> None:
    values = weights(3, 5)
    values[1] = 0
    assert (dense_of(int_tensor(scheme, values))[1] == 0).all()


@pytest.mark.parametrize("scheme", SCHEMES, ids=str)
def test_denormal_and_huge_weights_survive(scheme: IntegerScheme) -> None:
    values = np.array([[1e-42, -1e-42, 0], [1e38, -1e38, 0]], dtype=np.float32)
    decoded = dense_of(int_tensor(scheme, values))
    assert np.abs(decoded[0]).max() <= SCALE_FLOOR
    assert 0.5e38 < decoded[1, 0] < 1.5e38


def test_weights_next_to_the_end_of_float32_are_refused() -> None:
    with pytest.raises(ModelRefused, match="beyond"):
        int_tensor(IntegerScheme(2, 0, symmetric=False), np.array([[3e38, -1]], dtype=np.float32))


def test_halves_round_to_even() -> None:
    values = np.array([7.0, 0.5, 1.5, 2.5, -0.5, -1.5], dtype=np.float32)
    decoded = dense_of(int_tensor(IntegerScheme(4, None, symmetric=True), values))
    assert decoded.tolist() == [7, 0, 2, 2, 0, -2]


def test_the_symmetric_range_is_minus_seven_to_seven() -> None:
    stored = int_tensor(IntegerScheme(4, None, symmetric=True), np.array([-7.0, 7.0, 1.0], dtype=np.float32))
    assert dense_of(stored).tolist() == [-7, 7, 1]
    assert float(stored.parts["scale"][0]) == 1.0


@pytest.mark.parametrize(("bits", "fraction"), [(8, 1 / 4), (4, 1 / 8), (3, 3 / 32), (2, 1 / 16)])
def test_the_bytes_shrink_as_the_name_says(bits: int, fraction: float) -> None:
    values = weights(64, 48)
    fact = fact_of(int_tensor(IntegerScheme(bits, 0, symmetric=False), values))
    assert fact.payload_bytes == values.nbytes * fraction
    assert fact.bits == bits
    assert fact.overhead_bytes == 64 * 4 + 64
    assert fact.stored_as == f"int{bits} per channel asymmetric"


def test_a_finer_grid_is_never_worse_on_average() -> None:
    values = weights(64, 64)
    errors = [
        float(np.abs(round_trip(values, IntegerScheme(b, 0, symmetric=False)) - values).mean()) for b in (2, 4, 8)
    ]
    assert errors == sorted(errors, reverse=True)


def test_shrinking_the_range_clips_the_ends_and_refines_the_middle() -> None:
    values = np.array([[10.0, 0.4, -0.4, 0.3]], dtype=np.float32)
    scheme = IntegerScheme(4, 0, symmetric=True)
    shrunk = dense_of(integer_tensor("w", Role.BLOCK, values, scheme, shrink=np.array([0.05])))
    assert shrunk[0, 0] == pytest.approx(0.5)
    assert np.abs(shrunk[0, 1:] - values[0, 1:]).max() < 0.04


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused(bad: float) -> None:
    values = weights(2, 2)
    values[0, 1] = bad
    with pytest.raises(ModelRefused, match=r"w: .*NaN or infinite"):
        int_tensor(IntegerScheme(4, 0, symmetric=True), values)
    with pytest.raises(ModelRefused, match="NaN or infinite"):
        dense_tensor("w", Role.BLOCK, values)


def test_an_empty_tensor_is_refused() -> None:
    with pytest.raises(ModelRefused, match="empty"):
        int_tensor(IntegerScheme(4, 0, symmetric=True), np.zeros((0, 3), np.float32))


# ---------------------------------------------------------------- dense


@pytest.mark.parametrize(
    ("dtype", "bits", "tolerance"), [("float32", 32, 0), ("float16", 16, 1e-3), ("bfloat16", 16, 8e-3)]
)
def test_dense_tensors_keep_shape_and_values(dtype: str, bits: int, tolerance: float) -> None:
    values = weights(5, 3, 2)
    stored = dense_tensor("w", Role.EMBEDDING, values, dtype)
    assert fact_of(stored).bits == bits
    assert fact_of(stored).stored_as == dtype
    assert np.abs(dense_of(stored) - values).max() <= tolerance * np.abs(values).max()


def test_bfloat16_rounds_to_nearest_even() -> None:
    halfway = np.array([1 + 2**-8, 1 + 3 * 2**-8], dtype=np.float32)
    assert dense_of(dense_tensor("w", Role.BLOCK, halfway, "bfloat16")).tolist() == [1.0, 1 + 4 * 2**-8]


def test_a_weight_beyond_float16_is_refused_by_name() -> None:
    with pytest.raises(ModelRefused, match=r"w: a value of size 70000 does not fit float16"):
        dense_tensor("w", Role.BLOCK, np.array([70000.0, 1.0], dtype=np.float32), "float16")


def test_scalars_and_empty_tensors_can_be_dense() -> None:
    assert fact_of(dense_tensor("w", Role.OTHER, np.float32(3.0))).bits == 32
    assert fact_of(dense_tensor("w", Role.OTHER, np.zeros((0, 4), np.float32))).bits == 32


def test_decoded_arrays_are_the_callers_own() -> None:
    for stored in (dense_tensor("w", Role.BLOCK, weights(2, 3)), int_tensor(SCHEMES[0], weights(2, 3))):
        first = dense_of(stored)
        first[:] = 99
        assert (dense_of(stored) != 99).all()


# ---------------------------------------------------------------- the bitsandbytes encodings


def test_llm_int8_rows_decode_to_code_times_row_maximum_over_127() -> None:
    values = weights(6, 10)
    values[2] = 0
    stored = bnb_rows(values)
    assert np.abs(dense_of(stored) - values).max() <= np.abs(values).max() / 127 * 0.51
    assert fact_of(stored).bits == 8
    assert fact_of(stored).overhead_bytes == 6 * 4 + 4
    assert fact_of(stored).stored_as == "int8 rows (LLM.int8, threshold 0)"


@pytest.mark.parametrize("shape", [(4, 64), (3, 7), (1, 1), (5, 33)])
def test_nf4_decodes_the_high_nibble_first(shape: tuple[int, int]) -> None:
    values = weights(*shape)
    stored = nf4_blocks(values)
    assert np.abs(dense_of(stored) - values).max() <= 0.16 * np.abs(values).max()
    assert fact_of(stored).payload_bytes == -(-values.size // 2)


# ---------------------------------------------------------------- what is refused

INT4 = int_tensor(IntegerScheme(4, 0, symmetric=False), weights(3, 5))
INT4_SYMMETRIC = int_tensor(IntegerScheme(4, None, symmetric=True), weights(3, 5))
BNB, NF4 = bnb_rows(weights(3, 5)), nf4_blocks(weights(3, 5))


def with_part(stored: StoredTensor, part: str, values: np.ndarray) -> StoredTensor:
    return replace(stored, parts={**stored.parts, part: values})


def without(stored: StoredTensor, part: str) -> StoredTensor:
    return replace(stored, parts={name: array for name, array in stored.parts.items() if name != part})


REFUSED = {
    "unknown encoding": replace(INT4, encoding="int5"),
    "another axis": replace(INT4, axis=1),
    "a missing part": without(INT4, "zero"),
    "an extra part": with_part(INT4, "absmax", np.ones(3, np.float32)),
    "zero points of a symmetric tensor": replace(INT4, symmetric=True),
    "scales of another number of channels": with_part(INT4, "scale", np.ones(4, np.float32)),
    "scales per channel where one is declared": replace(INT4, axis=None),
    "scales in another type": with_part(INT4, "scale", np.ones(3, np.float64)),
    "a zero scale": with_part(INT4, "scale", np.zeros(3, np.float32)),
    "a negative scale": with_part(INT4, "scale", np.full(3, -1, np.float32)),
    "a NaN scale": with_part(INT4, "scale", np.full(3, np.nan, np.float32)),
    "an infinite scale": with_part(INT4, "scale", np.full(3, np.inf, np.float32)),
    "a denormal scale": with_part(INT4, "scale", np.full(3, 1e-42, np.float32)),
    "a zero point out of range": with_part(INT4, "zero", np.full(3, 16, np.uint8)),
    "too few bytes": with_part(INT4, "data", INT4.parts["data"][:-1]),
    "too many bytes": with_part(INT4, "data", np.append(INT4.parts["data"], np.uint8(0))),
    "bytes under another shape": replace(INT4, shape=(3, 7)),
    "padding bits": with_part(INT4, "data", INT4.parts["data"] | np.uint8(0x80)),
    "a value outside the symmetric range": with_part(
        INT4_SYMMETRIC, "data", INT4_SYMMETRIC.parts["data"] & np.uint8(0x0F)
    ),
    "a quantized scalar": replace(INT4_SYMMETRIC, shape=()),
    "an empty quantized tensor": replace(INT4_SYMMETRIC, shape=(0, 5)),
    "dense with an axis": replace(dense_tensor("w", Role.BLOCK, weights(2, 2)), axis=0),
    "dense in float64": StoredTensor("w", Role.BLOCK, (2,), "dense", None, True, {"data": np.ones(2)}),
    "dense in integers": StoredTensor("w", Role.BLOCK, (2,), "dense", None, True, {"data": np.ones(2, np.int32)}),
    "dense NaN": StoredTensor(
        "w", Role.BLOCK, (1,), "dense", None, True, {"data": np.full(1, np.nan, ml_dtypes.bfloat16)}
    ),
    "LLM.int8 of a vector": replace(BNB, shape=(15,)),
    "LLM.int8 with a negative row": with_part(BNB, "scb", np.full(3, -1, np.float32)),
    "LLM.int8 with -128": with_part(BNB, "data", np.full((3, 5), -128, np.int8)),
    "LLM.int8 with values in a zero row": with_part(BNB, "scb", np.zeros(3, np.float32)),
    "LLM.int8 with a negative threshold": with_part(BNB, "threshold", np.full(1, -1, np.float32)),
    "LLM.int8 per tensor": replace(BNB, axis=None),
    "NF4 with another code book": with_part(NF4, "code", NF4_CODE * np.float32(1.01)),
    "NF4 with an infinite block": with_part(NF4, "absmax", np.full(1, np.inf, np.float32)),
    "NF4 with padding": with_part(NF4, "data", NF4.parts["data"] | np.uint8(1)),
    "NF4 with an axis": replace(NF4, axis=0),
    "NF4 with a missing block": with_part(NF4, "absmax", np.ones(0, np.float32)),
}


@pytest.mark.parametrize("stored", REFUSED.values(), ids=REFUSED.keys())
def test_a_tensor_that_is_not_what_it_claims_is_refused_by_name(stored: StoredTensor) -> None:
    with pytest.raises(ModelRefused) as refusal:
        check(stored, "file.safetensors")
    assert str(refusal.value).startswith("file.safetensors: w: ")
    with pytest.raises(ModelRefused):
        dense_of(stored)


@pytest.mark.parametrize("stored", [INT4, INT4_SYMMETRIC, BNB, NF4], ids=lambda stored: stored.encoding)
def test_what_the_refusals_start_from_is_accepted(stored: StoredTensor) -> None:
    check(stored)
    assert dense_of(stored).shape == (3, 5)


def test_every_encoding_is_exercised_here() -> None:
    made = {INT4.encoding, BNB.encoding, NF4.encoding, "dense", *(f"int{scheme.bits}" for scheme in SCHEMES)}
    assert made == set(ENCODINGS)
