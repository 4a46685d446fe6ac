"""Quantities in, texts out: a threshold is never guessed, and a text never contradicts a verdict."""

from __future__ import annotations

import math
import re
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fidelity_gate.policy.quantities import QuantityError, parse_quantity
from fidelity_gate.units import UNITS_OF, format_against, format_exact, format_value

MIB = 2**20


@pytest.mark.parametrize(
    ("written", "unit", "value"),
    [
        ("8 MiB", "bytes", 8 * MIB),
        ("8MiB", "bytes", 8 * MIB),
        ("8 MB", "bytes", 8_000_000),
        ("2.5 kB", "bytes", 2_500),
        ("0.5 KiB", "bytes", 512),
        ("1 GiB", "bytes", 1024 * MIB),
        ("512 B", "bytes", 512),
        ("30 ms", "seconds", 0.03),
        ("30 us", "seconds", 0.00003),
        ("1 ns", "seconds", 1e-9),
        ("1.5 s", "seconds", 1.5),
        ("500 GFLOP", "flop", 500e9),
        ("1.5 TFLOP", "flop", 1.5e12),
        ("25 MFLOP", "flop", 25e6),
        ("3kFLOP", "flop", 3000),
        ("7 FLOP", "flop", 7),
        ("500 mJ", "joules", 0.5),
        ("3 J", "joules", 3),
        ("187 uJ", "joules", 0.000187),
        ("5 nJ", "joules", 5e-9),
        ("97 %", "fraction", 0.97),
        ("57%", "fraction", 0.57),
        (0.97, "fraction", 0.97),
        ("0.97", "", 0.97),
        (1e-6, "", 1e-6),
        (-1, "", -1.0),
    ],
)
def test_a_quantity_is_exactly_what_was_written(written: str | float, unit: str, value: float) -> None:
    assert parse_quantity(written, unit) == value


REFUSED = [
    *("8", "8 mb", "8 Mb", "8 MIB", "8 KB", "8 kib", "8 M", "8 bytes", "8 ms", "8 %", "4,5MB", "8MB ", " 8MB", "8  MB"),
    *("+8 MB", "08 MB", ".5 MB", "5. MB", "1_000 MB", "0x8 MB", "1e3 MB", "8 MB\n", "8\tMB", "8\u00a0MB", "\uff18 MB"),
    *("", "MB", "8 MB MB", "8 MB 3 kB", "nan MB", "inf MB", "- 8 MB", "1:30", "true", "8 \u039cB", "8 us"),
    "9" * 5000 + " MB",
]


@pytest.mark.parametrize("written", REFUSED, ids=ascii)
def test_what_is_not_exactly_a_number_and_a_unit_is_refused(written: str) -> None:
    with pytest.raises(QuantityError) as caught:
        parse_quantity(written, "bytes")
    assert caught.value.hint


@pytest.mark.parametrize("written", ["0.97 ", "97 %", "0,97", "1e309", "nan", "inf", ".5", "0.97 MB", "1e-400", "0x1"])
def test_a_cosine_is_a_bare_number(written: str) -> None:
    with pytest.raises(QuantityError):
        parse_quantity(written, "")


@pytest.mark.parametrize(
    ("written", "hint"), [("8 mb", "MB or MiB"), ("8 KB", "kB or KiB"), ("8 m", "MB or MiB"), ("8 x", "known: B, kB")]
)
def test_a_wrong_unit_names_the_nearest_ones(written: str, hint: str) -> None:
    with pytest.raises(QuantityError) as caught:
        parse_quantity(written, "bytes")
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("written", "unit", "hint"),
    [
        ("500", "flop", "500 GFLOP"),
        ("500", "joules", "500 mJ"),
        ("500 GFLOPS", "flop", "did you mean GFLOP?"),
        ("500 GFLOPs", "flop", "did you mean GFLOP?"),
        ("500 gflop", "flop", "did you mean GFLOP?"),
        ("500 MJ", "joules", "did you mean mJ?"),
        ("500 µJ", "joules", "did you mean uJ?"),
        ("500 mWh", "joules", "known: nJ, uJ, mJ, J"),
    ],
)
def test_compute_and_energy_need_a_unit_and_are_never_guessed(written: str, unit: str, hint: str) -> None:
    with pytest.raises(QuantityError) as caught:
        parse_quantity(written, unit)
    assert hint in caught.value.hint


@pytest.mark.parametrize("written", ["30 µs", "30 μs", "30 US"])
def test_a_microsecond_is_written_us(written: str) -> None:
    with pytest.raises(QuantityError) as caught:
        parse_quantity(written, "seconds")
    assert "us" in caught.value.hint


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (9.511 * MIB, "bytes", "9.511 MiB (9.973 MB)"),
        (812, "bytes", "812 B"),
        (0, "bytes", "0 B"),
        (0.0114123, "seconds", "11.41 ms"),
        (187.04e9, "flop", "187 GFLOP"),
        (2.9927e12, "flop", "2.993 TFLOP"),
        (0, "flop", "0 FLOP"),
        (0.187, "joules", "187 mJ"),
        (2.9927, "joules", "2.993 J"),
        (4.7e-6, "joules", "4.7 uJ"),
        (0.9725, "fraction", "97.25 %"),
        (1.0, "fraction", "100 %"),
        (-0.02, "fraction", "-2 %"),
        (0.9712345, "", "0.9712"),
        (0.97, "", "0.9700"),
        (0.999999, "", "1.0000"),
        (1.0, "", "1"),
        (3e-9, "", "3e-09"),
        (12, "", "12"),
        (math.nan, "", "not a number"),
        (math.inf, "bytes", "infinite"),
    ],
)
def test_measured_numbers_are_rounded_for_people(value: float, unit: str, text: str) -> None:
    assert format_value(value, unit) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (8 * MIB, "bytes", "8 MiB (8.389 MB)"),
        (8e6, "bytes", "8 MB (7.629 MiB)"),
        (512 * 1024, "bytes", "512 KiB (524.3 kB)"),
        (0.03, "seconds", "30 ms"),
        (500e9, "flop", "500 GFLOP"),
        (0.5, "joules", "500 mJ"),
        (0.57, "fraction", "57 %"),
        (0.970001, "", "0.970001"),
    ],
)
def test_thresholds_are_shown_with_every_digit(value: float, unit: str, text: str) -> None:
    assert format_exact(value, unit) == text


def number_in(text: str) -> Decimal:
    found = re.match(r"-?[0-9.]+(e[-+][0-9]+)?", text)
    assert found
    return Decimal(found[0])


def unit_in(text: str) -> str:
    return text.partition(" ")[2].partition(" ")[0]


LIMITS = st.one_of(
    st.floats(-1e15, 1e15, allow_subnormal=False), st.sampled_from([0.97, 0.9, 8.0 * MIB, 8e6, 0.03, 1.0, 0.0])
)


@settings(max_examples=300)
@given(
    LIMITS,
    st.one_of(st.floats(-1e15, 1e15, allow_subnormal=False), st.integers(-3, 3)),
    st.sampled_from(["", *UNITS_OF]),
)
def test_the_text_of_a_comparison_says_what_the_numbers_say(limit: float, other: float, unit: str) -> None:
    # An integer stands for that many steps of a float beside the limit: the hardest cases.
    observed = other
    if isinstance(other, int):
        observed = limit
        for _ in range(abs(other)):
            observed = math.nextafter(observed, math.inf if other > 0 else -math.inf)
    left, right = format_against(observed, limit, unit)
    assert unit_in(left) == unit_in(right)
    if observed == limit:
        assert number_in(left) == number_in(right)
    else:
        assert (number_in(left) < number_in(right)) == (observed < limit)
        assert (number_in(left) > number_in(right)) == (observed > limit)


@given(st.sampled_from(["B", "kB", "MB", "GB", "KiB", "MiB", "GiB"]), st.integers(0, 10**6), st.integers(0, 999))
def test_a_threshold_read_back_from_its_text_is_the_same(name: str, whole: int, thousandths: int) -> None:
    value = parse_quantity(f"{whole}.{thousandths:03d} {name}", "bytes")
    text = format_exact(value, "bytes").partition(" (")[0]
    assert parse_quantity(text, "bytes") == value


@pytest.mark.parametrize("unit", ["bytes", "seconds", "fraction", "flop", "joules", ""])
def test_any_two_finite_numbers_have_texts_that_compare_as_they_do(unit):
    extremes = (5e-324, 1e-30, 0.5, 1e17, 1e300, 1.7e308)
    for observed in extremes:
        for limit in extremes:
            shown, bound = format_against(observed, limit, unit)
            assert (shown != bound) or observed == limit
