from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from remanence.kernels.fusion import (
    USUAL_ROWS,
    Profile,
    linear,
    linear_naive,
    logistic,
    read_profiles,
    reciprocal_rank_fusion,
    smallness,
)


def test_reciprocal_ranks_by_hand() -> None:
    fused = reciprocal_rank_fusion([[7, 8, 9], [8, 10]])
    assert [item for item, _ in fused] == [8, 7, 10, 9]
    assert [score for _, score in fused] == pytest.approx([1 / 62 + 1 / 61, 1 / 61, 1 / 62, 1 / 63])


def test_ties_go_by_first_appearance() -> None:
    assert [item for item, _ in reciprocal_rank_fusion([[5, 1], [3, 2]])] == [5, 3, 1, 2]
    assert [item for item, _ in reciprocal_rank_fusion([[1, 2], [2, 1]])] == [1, 2]


def test_a_small_constant_trusts_the_first_place() -> None:
    rankings = [[1, 2, 3], [4, 2, 3], [5, 2, 3]]
    assert reciprocal_rank_fusion(rankings)[0][0] == 2
    # With k = 0 a first place is worth as much as two second places, and comes first.
    assert [item for item, _ in reciprocal_rank_fusion([[1, 2], [3, 2]], k=0)] == [1, 2, 3]


def test_one_ranking_keeps_its_order() -> None:
    assert [item for item, _ in reciprocal_rank_fusion([[4, 2, 9, 1]])] == [4, 2, 9, 1]


def test_nothing_to_fuse() -> None:
    assert reciprocal_rank_fusion([]) == []
    assert reciprocal_rank_fusion([[], []]) == []


@given(st.data(), st.integers(0, 12), st.integers(1, 6))
def test_linear_equals_naive(data: st.DataObject, rows: int, columns: int) -> None:
    values = st.floats(-100, 100, width=32)
    features = data.draw(arrays.arrays(np.float32, (rows, columns), elements=values))
    weights = data.draw(arrays.arrays(np.float64, columns, elements=st.floats(-100, 100)))
    found = linear(features, weights)
    assert found.dtype == np.float64
    assert found == pytest.approx(linear_naive(features, weights.tolist()), rel=1e-9, abs=1e-9)


def test_linear_sums_in_double_precision() -> None:
    features = np.array([[2.0**24, 1.0, -(2.0**24)]], np.float32)
    assert linear(features, np.ones(3, np.float32)).tolist() == [1.0]


def test_logistic_by_hand() -> None:
    assert logistic(0, 1, 0) == 0.5
    assert logistic(math.log(3), 1, 0) == pytest.approx(0.75)
    assert logistic(1, 2, -2) == 0.5
    assert logistic(3, -1, 0) == pytest.approx(1 - logistic(3, 1, 0))


@pytest.mark.parametrize("score", [1e3, 1e308, math.inf])
def test_logistic_saturates(score: float) -> None:
    assert logistic(score, 1, 0) == 1.0
    assert 0 < logistic(-score, 1, 0) < 1e-200


@given(st.floats(-500, 500), st.floats(-500, 500))
def test_logistic_keeps_the_order(one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert 0 < logistic(low, 1, 0) <= logistic(high, 1, 0) <= 1


PROFILES = {
    "turn": {"weights": {"b": 2.0, "a": -1.0, "unused": 9.0}, "bias": 0.5, "small": 0.25},
    "document": {"weights": {"a": 1, "b": 0}, "bias": -1},
    "note": "anything else in the file",
}


@pytest.fixture
def profiles(tmp_path: Path) -> dict[str, Profile]:
    path = tmp_path / "weights.json"
    path.write_text(json.dumps(PROFILES), encoding="utf-8")
    return read_profiles(path, {"turn": ("a", "b"), "document": ("b", "a")})


def test_profiles_are_read_in_the_order_of_the_channels(profiles: dict[str, Profile]) -> None:
    turn, document = profiles["turn"], profiles["document"]
    assert list(profiles) == ["turn", "document"]
    assert (turn.channels, turn.weights.tolist(), turn.bias, turn.small) == (("a", "b"), [-1, 2], 0.5, 0.25)
    assert (document.weights.tolist(), document.bias, document.small) == ([0, 1], -1, 0)
    assert document.weights.dtype == np.float64


def test_a_profile_by_hand(profiles: dict[str, Profile]) -> None:
    features = np.array([[1, 2], [0, 0], [3, -1]], np.float32)
    turn = profiles["turn"]
    assert turn.logits(features, USUAL_ROWS).tolist() == [3.5, 0.5, -4.5]
    assert turn.shares(features[0]) == {"a": -1.0, "b": 4.0}
    few = turn.logits(features, 2)
    assert few == pytest.approx(np.array([3.5, 0.5, -4.5]) + 0.25 * math.log(300))
    for rows in (0, 1, 2, 599, USUAL_ROWS, 10**6):
        logits = turn.logits(features, rows)
        for line, logit in zip(features, logits, strict=True):
            assert sum(turn.shares(line).values()) + turn.offset(rows) == pytest.approx(logit)
    assert turn.logits(features[:0], 5).tolist() == []


def test_a_curve_counts_by_its_logarithm(tmp_path: Path) -> None:
    path = tmp_path / "weights.json"
    written = {"turn": {"weights": {"a": 2.0, "b": -1.0}, "bias": 0.5, "curves": {"a": 0.1}}}
    path.write_text(json.dumps(written), encoding="utf-8")
    profile = read_profiles(path, {"turn": ("b", "a")})["turn"]
    features = np.array([[3, 0], [3, 0.1], [3, 0.3], [3, 1]], np.float32)
    expected = [2 * math.log(1 + x / 0.1) - 3 + 0.5 for x in (0, 0.1, 0.3, 1)]
    assert profile.logits(features, USUAL_ROWS) == pytest.approx(expected)
    assert features.tolist() == np.array([[3, 0], [3, 0.1], [3, 0.3], [3, 1]], np.float32).tolist(), "a copy is bent"
    for line, logit in zip(features, expected, strict=True):
        assert sum(profile.shares(line).values()) + profile.offset(USUAL_ROWS) == pytest.approx(logit)
    assert profile.bent(features[:0]).shape == (0, 2)


def test_a_profile_without_curves_copies_nothing(profiles: dict[str, Profile]) -> None:
    features = np.ones((3, 2), np.float32)
    assert profiles["turn"].bent(features) is features


def test_smallness() -> None:
    assert smallness(0) == smallness(1) == math.log(600)
    assert smallness(300) == pytest.approx(math.log(2))
    assert smallness(600) == smallness(601) == smallness(10**9) == 0


def test_a_channel_without_a_weight_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "weights.json"
    path.write_text(json.dumps(PROFILES), encoding="utf-8")
    with pytest.raises(KeyError, match="'c'"):
        read_profiles(path, {"turn": ("a", "c")})
