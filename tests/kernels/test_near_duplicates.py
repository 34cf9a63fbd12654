from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remanence.core.errors import InvalidInput
from remanence.kernels.near_duplicates import fold, naive_fold

TERMS = st.lists(st.lists(st.sampled_from("abcdefghij"), max_size=10), max_size=12)


@settings(max_examples=400)
@given(TERMS, st.sampled_from([0.1, 0.3, 1 / 3, 0.5, 0.6, 2 / 3, 0.7, 0.75, 0.8, 0.9, 1.0]))
def test_fast_form_equals_naive_form(texts: list[list[str]], threshold: float) -> None:
    assert fold(texts, threshold) == naive_fold(texts, threshold)


@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.9, 0.95, 1.0])
def test_fast_form_equals_naive_form_on_edited_copies(threshold: float) -> None:
    rng = random.Random(7)
    words = [f"w{i}" for i in range(400)]
    texts: list[list[str]] = []
    for _ in range(150):
        text = list(rng.choice(texts)) if texts and rng.random() < 0.6 else rng.sample(words, rng.randint(1, 40))
        for _ in range(rng.choice([0, 0, 1, 1, 2, 4])):
            text[rng.randrange(len(text))] = rng.choice(words)
        texts.append(text)
    folded = fold(texts, threshold)
    assert folded == naive_fold(texts, threshold)
    assert any(index != representative for index, representative in enumerate(folded))


def test_first_one_represents() -> None:
    a = "we moved to bergen in may and like it".split()
    assert fold([a, a[::-1], ["other"], [*a, "a"], [*a, "x", "y"]]) == [0, 0, 2, 0, 4]


def test_the_threshold_is_reached_exactly() -> None:
    ten = [str(i) for i in range(10)]
    assert fold([ten, ten[:9]], 0.9) == [0, 0]
    assert fold([ten, ten[:8]], 0.9) == [0, 1]
    assert fold([ten[:8], ten], 0.8) == [0, 0]


def test_similarity_is_measured_to_representatives_not_along_chains() -> None:
    chain = ["abcdefghij", "abcdefghi", "abcdefgh"]
    assert fold(chain, 0.9) == [0, 0, 2]


def test_equal_sets_fold_at_one_and_empty_ones_together() -> None:
    assert fold(["ab", "ba", "abc", "", ""], 1.0) == [0, 0, 2, 3, 3]
    assert fold([]) == []


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.1, float("nan")])
def test_impossible_thresholds_are_refused(threshold: float) -> None:
    for form in (fold, naive_fold):
        with pytest.raises(InvalidInput, match="threshold"):
            form([["a"]], threshold)
