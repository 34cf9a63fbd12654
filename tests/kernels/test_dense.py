from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from remanence.core.errors import InvalidInput
from remanence.kernels.dense import scan, scan_naive, top, top_naive
from remanence.kernels.quantize import quantize

CODES = st.integers(-127, 127) | st.sampled_from([-127, 0, 127])
SCALES = st.sampled_from([0.0, 1.0, 1 / 127, 3e-5, 1e-30, 7.25])
# Few values, so that ties are the rule.
SCORES = st.lists(st.sampled_from([0.0, -0.0, 1.0, -1.0, 0.5, -np.inf, np.inf, 1e-30]), max_size=40)


@given(st.data(), st.integers(0, 20), st.integers(1, 70))
def test_scan_equals_naive_bit_for_bit(data: st.DataObject, rows: int, dim: int) -> None:
    codes = data.draw(arrays.arrays(np.int8, (rows, dim), elements=CODES))
    scales = np.array(data.draw(st.lists(SCALES, min_size=rows, max_size=rows)), np.float32)
    query = data.draw(arrays.arrays(np.int8, dim, elements=CODES))
    scale = data.draw(SCALES)
    found = scan(codes, scales, query, scale)
    expected = scan_naive(codes, scales, query, scale)
    assert found.dtype == expected.dtype == np.float32
    assert found.tobytes() == expected.tobytes()


@pytest.mark.parametrize("dim", [1, 7, 63, 64, 65, 255, 256, 384, 1024, 4096])
def test_scan_of_every_width(dim: int) -> None:
    rng = np.random.default_rng(dim)
    codes = rng.integers(-127, 128, (300, dim), np.int8)
    codes[::7] = 0
    codes[1], codes[2] = 127, -127
    scales = rng.random(300, np.float32)
    for query in (codes[1], codes[2], codes[3], np.zeros(dim, np.int8)):
        assert scan(codes, scales, query, 0.25).tobytes() == scan_naive(codes, scales, query, 0.25).tobytes()
    assert scan(codes, np.ones(300, np.float32), codes[1], 1.0)[2] == -127 * 127 * dim


def test_scan_of_part_of_a_larger_matrix() -> None:
    # What an index hands over is the filled part of an array with room at the end.
    rng = np.random.default_rng(0)
    codes = rng.integers(-127, 128, (50, 32), np.int8)
    scales = rng.random(50, np.float32)
    for part in (slice(0, 30), slice(5, 6), slice(0, 50, 2)):
        found = scan(codes[part], scales[part], codes[40], 0.5)
        assert found.tobytes() == scan_naive(codes[part], scales[part], codes[40], 0.5).tobytes()


def test_scan_leaves_its_arguments_alone() -> None:
    codes, scales = quantize(np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32))
    before = codes.copy(), scales.copy()
    scan(codes, scales, codes[0], float(scales[0]))[:] = 9
    assert np.array_equal(codes, before[0])
    assert np.array_equal(scales, before[1])


def test_scan_of_unit_vectors_is_their_cosine() -> None:
    vectors = np.random.default_rng(0).normal(size=(40, 256)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    codes, scales = quantize(vectors)
    assert scan(codes, scales, codes[0], float(scales[0])) == pytest.approx(vectors @ vectors[0], abs=0.01)


@pytest.mark.parametrize(
    ("codes", "query"),
    [
        (np.zeros((3, 4), np.int8), np.zeros(5, np.int8)),
        (np.zeros((0, 4), np.int8), np.zeros(5, np.int8)),
        (np.zeros(4, np.int8), np.zeros(4, np.int8)),
        (np.zeros((3, 4), np.int8), np.zeros((1, 4), np.int8)),
    ],
)
def test_a_query_that_does_not_fit(codes: np.ndarray, query: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match="does not fit a matrix of shape"):
        scan(codes, np.zeros(len(codes), np.float32), query, 1.0)


@given(
    SCORES, st.integers(-3, 45), st.sampled_from([np.float32, np.float64]), st.sampled_from([-np.inf, -1.0, 0.0, 0.7])
)
def test_top_equals_naive(scores: list[float], k: int, dtype: type[np.floating], above: float) -> None:
    array = np.array(scores, dtype)
    found = top(array, k, above)
    assert found.tolist() == top_naive(array, k, above).tolist()
    assert found.dtype == np.intp


def test_top_by_hand() -> None:
    scores = np.array([1, 3, 3, -np.inf, 2, 3], np.float32)
    assert top(scores, 2).tolist() == [1, 2]
    assert top(scores, 4).tolist() == [1, 2, 5, 4]
    assert top(scores, 100).tolist() == [1, 2, 5, 4, 0]
    assert top(np.full(3, -np.inf), 2).tolist() == []
    assert top(scores, 100, above=2).tolist() == [1, 2, 5]
    assert top(scores, 1, above=3).tolist() == []


RNG = np.random.default_rng(0)
MANY = {
    "random": RNG.normal(size=5_000),
    "ties": RNG.integers(0, 50, 5_000),
    "all equal": np.ones(5_000),
    "rising": np.arange(5_000),
    "falling": -np.arange(5_000),
    "zero but few": np.where(np.arange(5_000) % 613 == 7, 1.0, 0.0),
    "hidden": np.where(RNG.random(5_000) < 0.99, -np.inf, 1.0),
    "in step": np.where(np.arange(5_000) % 16 == 0, 2.0, RNG.random(5_000)),
    "out of step": np.where(np.arange(5_000) % 16 == 1, 2.0, RNG.random(5_000)),
    "eights": np.where(np.arange(5_000) % 8 == 0, RNG.random(5_000), 5.0),
}


@pytest.mark.parametrize("name", MANY)
def test_top_of_many(name: str) -> None:
    # A sample of the scores may say where to look, but it must not decide.
    scores = MANY[name].astype(np.float32)
    for k in (1, 2, 10, 78, 79, 208, 209, 2_500, 4_999, 5_000, 5_001):
        for above in (-np.inf, 0.0, float(np.quantile(scores[scores > -np.inf], 0.9))):
            assert top(scores, k, above).tolist() == top_naive(scores, k, above).tolist()
