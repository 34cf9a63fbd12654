from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from remanence.core.errors import InvalidInput
from remanence.kernels.packing import Packable, estimate_tokens, naive_pack, pack

ITEMS = st.lists(
    st.builds(
        Packable,
        score=st.floats(min_value=-1, max_value=10, allow_nan=False),
        cost=st.integers(min_value=0, max_value=20),
        time=st.integers(min_value=0, max_value=5),
    ),
    max_size=9,
)


def value(items: list[Packable], chosen: list[int]) -> float:
    return math.fsum(items[i].score for i in chosen)


@settings(max_examples=200)
@given(ITEMS, st.integers(min_value=-1, max_value=60))
def test_at_least_half_of_the_optimum_within_budget_in_order_of_time(items: list[Packable], budget: int) -> None:
    chosen, best = pack(items, budget), naive_pack(items, budget)
    assert sum(items[i].cost for i in chosen) <= max(budget, 0)
    assert len(set(chosen)) == len(chosen)
    assert [(items[i].time, i) for i in chosen] == sorted((items[i].time, i) for i in chosen)
    assert all(items[i].score > 0 for i in chosen)
    assert value(items, best) / 2 - 1e-9 <= value(items, chosen) <= value(items, best) + 1e-9


def test_all_is_taken_when_all_fits() -> None:
    items = [Packable(1.0, 5, time=2), Packable(0.5, 5, time=1), Packable(0.1, 5, time=3)]
    assert pack(items, 15) == naive_pack(items, 15) == [1, 0, 2]
    assert pack(items, 4) == []
    assert pack([], 100) == []


def test_each_of_the_three_choices_is_needed() -> None:
    small = [Packable(1.0, 10, 0), Packable(0.9, 1, 1), Packable(0.9, 1, 2)]
    assert pack(small, 10) == [1, 2]  # best score first would take one item worth 1.0
    large = [Packable(0.2, 1, 0), Packable(1.0, 10, 1)]
    assert pack(large, 10) == [1]  # best score per token first would take one item worth 0.2
    even = [Packable(1.0, 10, 0), Packable(1.0, 9, 1), Packable(1.0, 9, 2)]
    assert value(even, pack(even, 18)) == 2.0


def test_what_fits_no_longer_is_passed_over_and_later_ones_taken() -> None:
    items = [Packable(3.0, 5, 0), Packable(2.0, 6, 1), Packable(1.0, 5, 2)]
    assert pack(items, 10) == [0, 2]


def test_free_worthless_and_unknown_items() -> None:
    items = [Packable(0.5, 0, 0), Packable(0.0, 0, 1), Packable(-1.0, 0, 2), Packable(math.nan, 0, 3)]
    assert pack(items, 0) == [0]
    with pytest.raises(InvalidInput, match="item 1 costs -3"):
        pack([Packable(1.0, 1, 0), Packable(1.0, -3, 0)], 10)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("   \n\t", 0),
        ("I live in Bergen.", 5),
        ("internationalisation", 4),
        ("2023-05-07", 6),
        ("我的猫很可爱。", 7),
        ("собака", 6),
        ("😂😂", 2),
        ("snake_case", 3),
        ("\ud800\x00", 2),
    ],
)
def test_estimate(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens


@settings(max_examples=100)
@given(st.text(max_size=50), st.text(max_size=50))
def test_estimate_grows_with_the_text(a: str, b: str) -> None:
    assert max(estimate_tokens(a), estimate_tokens(b)) <= estimate_tokens(f"{a} {b}")
    assert estimate_tokens(f"{a} {b}") == estimate_tokens(a) + estimate_tokens(b)
    assert estimate_tokens(a) <= len(a)
