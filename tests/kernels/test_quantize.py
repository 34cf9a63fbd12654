from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from remanence.core.errors import InvalidInput
from remanence.kernels.quantize import dequantize, quantize, quantize_naive

MATRICES = st.integers(1, 6).flatmap(
    lambda dim: st.lists(
        st.lists(st.floats(-1e6, 1e6, width=32), min_size=dim, max_size=dim), min_size=0, max_size=5
    ).map(lambda rows: np.asarray(rows, dtype=np.float32).reshape(len(rows), dim))
)


@given(MATRICES)
def test_fast_form_equals_naive_form(vectors: NDArray[np.float32]) -> None:
    codes, scales = quantize(vectors)
    naive_codes, naive_scales = quantize_naive(vectors)
    assert codes.dtype == np.int8
    assert scales.dtype == np.float32
    np.testing.assert_allclose(scales, naive_scales, rtol=1e-6)
    # A value exactly between two codes may go either way, since the forms round 1/scale differently.
    assert int(np.abs(codes.astype(int) - naive_codes.astype(int)).max(initial=0)) <= 1


@given(MATRICES)
def test_error_is_at_most_half_a_step(vectors: NDArray[np.float32]) -> None:
    codes, scales = quantize(vectors)
    error = np.abs(dequantize(codes, scales) - vectors)
    assert (error <= scales[:, None] * 0.5001 + 1e-30).all()


def test_full_range_is_used_symmetrically() -> None:
    vectors = np.array([[1.0, -1.0, 0.5], [-3.0, 2.0, 0.0]], dtype=np.float32)
    codes, scales = quantize(vectors)
    assert codes.tolist() == [[127, -127, 64], [-127, 85, 0]]
    np.testing.assert_allclose(scales, [1 / 127, 3 / 127], rtol=1e-6)
    # -128 would overflow when negated; opposite vectors must get opposite codes.
    assert (quantize(-vectors)[0] == -codes).all()


def test_each_row_has_its_own_scale() -> None:
    # One scale for the matrix would round the small row to zero.
    vectors = np.array([[1e6, -1e6], [1e-3, 2e-3]], dtype=np.float32)
    codes, _ = quantize(vectors)
    assert codes[1].tolist() == [64, 127]


def test_zero_rows_and_empty_matrices() -> None:
    codes, scales = quantize(np.zeros((2, 4), dtype=np.float32))
    assert not codes.any()
    assert scales.tolist() == [0.0, 0.0]
    assert (dequantize(codes, scales) == 0).all()
    assert quantize(np.zeros((0, 4), dtype=np.float32))[0].shape == (0, 4)
    assert quantize(np.zeros((3, 0), dtype=np.float32))[1].tolist() == [0.0] * 3


@pytest.mark.parametrize("peak", [1e-45, 1e-38, 1e-30, 1.0, 1e30, 3.4e38])
def test_extreme_rows_stay_finite(peak: float) -> None:
    vectors = np.array([[peak, -peak / 2]], dtype=np.float32)
    codes, scales = quantize(vectors)
    back = dequantize(codes, scales)
    assert np.isfinite(back).all()
    assert np.abs(back - vectors).max() <= max(peak * 0.005, 3e-36)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_refused(bad: float) -> None:
    vectors = np.ones((3, 2), dtype=np.float32)
    vectors[1, 1] = bad
    for form in (quantize, quantize_naive):
        with pytest.raises(InvalidInput, match="row 1 holds NaN or an infinite value"):
            form(vectors)


def test_shapes_are_checked() -> None:
    with pytest.raises(InvalidInput, match=r"\[n, d\], got shape \(3,\)"):
        quantize(np.ones(3, dtype=np.float32))
    with pytest.raises(InvalidInput, match="one scale per row"):
        dequantize(np.zeros((2, 3), dtype=np.int8), np.zeros(3, dtype=np.float32))


def test_cosines_survive() -> None:
    vectors = np.random.default_rng(3).normal(size=(200, 256)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    back = dequantize(*quantize(vectors))
    assert np.abs(back @ back.T - vectors @ vectors.T).max() < 0.005
