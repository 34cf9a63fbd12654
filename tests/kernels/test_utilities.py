from __future__ import annotations

import random

import numpy as np
import pytest

from remanence.core.errors import InvalidInput
from remanence.kernels.utilities import blended, file_under, moved, naive_file_under, spread, standard_scores


@pytest.mark.parametrize("seed", range(5))
def test_a_utility_is_the_sum_that_the_recursion_unrolls_to(seed: int) -> None:
    rng = random.Random(seed)
    rewards = [rng.uniform(-1, 1) for _ in range(12)]
    start, alpha = rng.uniform(-1, 1), rng.uniform(0.05, 1)
    value = start
    for reward in rewards:
        value = moved(value, reward, alpha)
    n = len(rewards)
    expected = (1 - alpha) ** n * start + alpha * sum((1 - alpha) ** (n - i) * r for i, r in enumerate(rewards, 1))
    assert value == pytest.approx(expected)
    # A step that shrinks with the visits (a plain mean) is another algorithm.
    assert value != pytest.approx(float(np.mean(rewards)))


def test_bounds_of_a_move() -> None:
    assert moved(0.5, 0.0, 1.0) == 0.0
    assert moved(0.0, -1.0, 0.3) == pytest.approx(-0.3)
    assert moved(0.0, -1.0, 0.3, floor=0.0) == 0.0
    for alpha in (0.0, -0.1, 1.1):
        with pytest.raises(InvalidInput, match=f"alpha={alpha}"):
            moved(0, 1, alpha)


def test_standard_scores() -> None:
    scores = standard_scores(np.array([1.0, 2.0, 6.0]))
    assert scores.mean() == pytest.approx(0)
    assert scores.std() == pytest.approx(1)
    assert standard_scores(np.full(7, 0.1)).tolist() == [0.0] * 7


def test_lambda_0_is_similarity_and_equal_utilities_do_not_matter() -> None:
    similarities, utilities = np.array([2.0, 1.0, -1.0]), np.array([-1.0, 0.0, 1.0])
    assert blended(similarities, utilities, 0.0)[0].tolist() == similarities.tolist()
    assert np.argsort(-blended(similarities, np.full(3, 0.7), 0.5)[0]).tolist() == [0, 1, 2]
    assert np.argsort(-blended(similarities, utilities, 1.0)[0]).tolist() == [2, 1, 0]
    one_good = np.array([*[0.0] * 99, 1.0])
    assert blended(np.zeros(100), one_good, 1.0)[0].max() == 3.0
    with pytest.raises(InvalidInput, match="weight=2"):
        blended(similarities, utilities, 2)


def test_spread_is_over_all_pairs() -> None:
    vectors = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    mean, std = spread(vectors)
    assert mean == pytest.approx(1 / 3)
    assert std == pytest.approx(np.std([1, 0, 0]))
    assert spread(vectors[:1]) == spread(vectors[:2]) == (0.0, 1.0)


@pytest.mark.parametrize("seed", range(5))
def test_filing_equals_the_naive_form(seed: int) -> None:
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((6, 8))
    raw = (centres[rng.integers(6, size=40)] + 0.4 * rng.standard_normal((40, 8))).astype(np.float32)
    unit = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    old, new = unit[:15], unit[15:]
    groups, own = [f"g{i % 5}" for i in range(15)], [f"n{i}" for i in range(25)]
    found = file_under(new, old, groups, own, 0.8)
    assert found == naive_file_under(new, old, groups, own, 0.8)
    assert sum(name in own for name in found) < 25
    assert file_under(new, old[:0], [], own, 2.0) == own
    whole = file_under(unit, old[:0], [], [f"n{i}" for i in range(40)], 0.8)
    first = file_under(unit[:20], old[:0], [], [f"n{i}" for i in range(20)], 0.8)
    assert whole == first + file_under(unit[20:], unit[:20], first, [f"n{i}" for i in range(20, 40)], 0.8)
