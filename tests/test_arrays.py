import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fidelity_gate import arrays

torch = pytest.importorskip("torch")

RNG = np.random.default_rng(0)


def cosines(a, b):
    return arrays.token_cosines(arrays.token_products(a, b), arrays.token_products(a, a), arrays.token_products(b, b))


def both(array):
    return [array, torch.from_numpy(array)]


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 7, 5), (32, 97, 128)])
def test_identical_tensors_have_a_cosine_of_exactly_one(dtype, shape):
    array = (RNG.normal(size=shape) * 100).astype(dtype)
    for kind in both(array):
        assert (cosines(kind, kind) == 1.0).all()
        assert (cosines(kind, arrays.kept(kind)) == 1.0).all()


def test_a_bfloat16_tensor_is_identical_to_itself_and_near_its_float32():
    exact = torch.randn(4, 9, 32)
    coarse = exact.to(torch.bfloat16)
    assert (cosines(coarse, coarse.clone()) == 1.0).all()
    assert cosines(exact, coarse).min() > 0.9999
    assert arrays.host(coarse).dtype == np.float32
    assert arrays.dtype_of(coarse) == "bfloat16"


def test_layout_in_memory_does_not_change_a_bit():
    array = RNG.normal(size=(6, 33, 65)).astype(np.float32)
    flipped = np.asfortranarray(array)
    assert (cosines(array, flipped) == 1.0).all()
    strided = torch.from_numpy(array).transpose(1, 2).contiguous().transpose(1, 2)
    assert not strided.is_contiguous()
    assert (cosines(torch.from_numpy(array), strided) == 1.0).all()


def test_a_zero_stride_tensor_is_summed_as_what_it_shows():
    row = torch.randn(1, 1, 8)
    wide = row.expand(5, 3, 8)
    assert (cosines(wide, wide.clone()) == 1.0).all()


@pytest.mark.parametrize("scale", [1e-38, 1e-20, 1.0, 1e20, 1e38])
def test_extreme_scales_neither_overflow_nor_vanish(scale):
    array = (RNG.uniform(0.5, 1.0, size=(2, 3, 64)) * scale).astype(np.float32)
    for kind in both(array):
        assert (cosines(kind, kind) == 1.0).all()
        assert np.allclose(cosines(kind, -kind), -1.0)


def test_cosines_agree_with_float64_numpy_and_with_torch():
    a, b = RNG.normal(size=(2, 20, 11, 48)).astype(np.float32)
    exact = np.einsum("bld,bld->bl", a.astype(float), b.astype(float))
    exact /= np.linalg.norm(a.astype(float), axis=-1) * np.linalg.norm(b.astype(float), axis=-1)
    assert np.allclose(cosines(a, b), exact, rtol=0, atol=1e-14)
    assert np.allclose(cosines(torch.from_numpy(a), torch.from_numpy(b)), exact, rtol=0, atol=1e-14)


def test_a_zero_vector_has_a_cosine_of_zero_and_never_nan():
    a = RNG.normal(size=(2, 3, 4)).astype(np.float32)
    b = a.copy()
    b[1, 2] = 0
    for left, right in ((a, b), (b, a), (b, b)):
        for kinds in zip(both(left), both(right), strict=True):
            found = cosines(*kinds)
            assert found[1, 2] == 0.0
            assert (np.delete(found.reshape(-1), 5) == 1.0).all()


def test_a_nan_stays_a_nan():
    a = np.ones((1, 2, 3), np.float32)
    b = a.copy()
    b[0, 1, 1] = np.nan
    found = cosines(a, b)
    assert found[0, 0] == 1.0
    assert np.isnan(found[0, 1])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100), st.integers(1, 40))
def test_a_cosine_lies_between_minus_one_and_one_and_ignores_scale(seed, scale, width):
    a, b = np.random.default_rng(seed).normal(size=(2, 2, 3, width))
    found = cosines(a, b)
    assert (np.abs(found) <= 1.0).all()
    assert np.allclose(found, cosines(a, b * scale), atol=1e-12)


def test_many_rows_are_summed_as_few_are():
    a, b = RNG.normal(size=(2, 300, 40, 64)).astype(np.float32)
    whole = cosines(torch.from_numpy(a), torch.from_numpy(b))
    assert (whole[17:19] == cosines(torch.from_numpy(a[17:19]), torch.from_numpy(b[17:19]))).all()


@pytest.mark.parametrize("make", [np.asarray, torch.from_numpy])
def test_the_small_helpers_mean_the_same_for_torch_and_numpy(make):
    array = np.array([[[1.0, -7.0], [2.0, 3.0]], [[0.0, np.inf], [1.0, 1.0]]], np.float32)
    kind = make(array)
    assert arrays.shape_of(kind) == (2, 2, 2)
    assert arrays.dtype_of(kind) == "float32"
    assert arrays.is_real(kind)
    assert not arrays.is_real(make(np.array([1])))
    assert arrays.largest_magnitudes(kind).tolist() == [7.0, np.inf]
    assert arrays.finite_probes(kind).tolist() == [True, False]
    assert arrays.choices(kind).tolist() == [[0, 1], [1, 0]]
    assert arrays.same_bits(kind, arrays.kept(kind))
    assert not arrays.same_bits(kind, kind[:1])
    assert not arrays.same_bits(kind, make(array.astype(np.float64)))
    assert arrays.gap_to_row(kind[:1], kind[:1]).tolist() == [0.0]
    assert arrays.gap_to_row(make(np.array([[2.0, 0.0]])), make(np.array([[1.0, 4.0]]))).tolist() == [1.0]


def test_a_torch_tensor_and_an_array_are_never_the_same():
    array = np.ones(3, np.float32)
    assert not arrays.same_bits(array, torch.from_numpy(array))
    assert not arrays.is_array([1.0])


def test_threads_and_gradients_are_restored_even_after_an_error():
    before = torch.get_num_threads()
    seen = []

    def breaks():
        with arrays.quiet(1):
            seen.extend((torch.get_num_threads(), torch.is_inference_mode_enabled()))
            raise KeyError

    with pytest.raises(KeyError):
        breaks()
    assert seen == [1, True]
    assert torch.get_num_threads() == before
    assert not torch.is_inference_mode_enabled()


def test_numpy_alone_never_loads_torch():
    code = (
        "import sys, numpy as np; from fidelity_gate import arrays; a = np.ones((1, 2, 3));"
        "arrays.token_products(a, a); arrays.finite_probes(a);\n"
        "with arrays.quiet(1): pass\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
