"""The forgetting curve: exact values, and a month in which it must beat simpler ways of making room."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from remanence.core.errors import InvalidInput
from remanence.kernels.forgetting import (
    Trace,
    forgotten,
    half_life,
    keep_best,
    naive_retention,
    recall,
    retention,
    sampled,
    survival,
)

DAYS = st.floats(0, 1e4)
STRENGTHS = st.floats(0.1, 1e3)


def upside_down(days: float, strength: float, scale: float = 5.0) -> float:
    """What `math.exp(-t / 5*S)` means: the stronger, the sooner gone."""
    return math.exp(-days / scale * strength)


def test_nothing_is_gone_at_once() -> None:
    assert retention([0, 0, -3], [1, 7, 1]).tolist() == [1, 1, 1]


@given(DAYS, DAYS, STRENGTHS)
def test_it_falls_with_time(a: float, b: float, strength: float) -> None:
    early, late = retention(sorted((a, b)), [strength, strength]).tolist()
    assert early >= late


@given(DAYS, STRENGTHS, STRENGTHS)
def test_it_rises_with_strength(days: float, a: float, b: float) -> None:
    weak, strong = retention([days, days], sorted((a, b))).tolist()
    assert weak <= strong


def test_the_reversed_formula_is_told_apart() -> None:
    assert naive_retention(3, 2, 5) > naive_retention(3, 1, 5)
    assert upside_down(3, 2) < upside_down(3, 1)
    assert naive_retention(3, 1, 5) == upside_down(3, 1)


@given(DAYS, STRENGTHS, st.floats(0.1, 100))
def test_fast_and_naive_agree(days: float, strength: float, scale: float) -> None:
    (fast,) = retention([days], [strength], scale).tolist()
    assert fast == pytest.approx(naive_retention(days, strength, scale), rel=1e-12, abs=1e-300)


@pytest.mark.parametrize("strength", [1, 2, 5, 30])
def test_half_of_it_is_gone_after_strength_times_ln_2(strength: float) -> None:
    assert half_life(strength) == pytest.approx(strength * math.log(2))
    assert naive_retention(half_life(strength), strength) == pytest.approx(0.5)
    assert naive_retention(half_life(strength, 30), strength, 30) == pytest.approx(0.5)


def test_survival_grows_with_each_daily_recall_by_the_same() -> None:
    trace, survivals = Trace(0), []
    for day in range(1, 8):
        survivals.append(survival(trace.strength))
        trace = recall(trace, day)
    assert trace == Trace(7, 8)
    assert np.allclose(np.diff(survivals), survival(1))
    assert survival(1) == pytest.approx(math.log(10))


def test_a_recall_in_the_past_strengthens_and_does_not_turn_back() -> None:
    assert recall(Trace(5, 2), 3) == Trace(5, 3)


def test_the_threshold_is_where_survival_ends() -> None:
    end = survival(3)
    kept = retention([end * 0.999, end * 1.001], [3, 3])
    assert forgotten(kept).tolist() == [False, True]


def test_drawing_keeps_with_the_probability_of_retention() -> None:
    retained = np.full(20_000, 0.7)
    gone = sampled(retained, random.Random(1))
    assert abs(float(gone.mean()) - 0.3) < 0.01
    assert (gone == sampled(retained, random.Random(1))).all()
    assert (gone != sampled(retained, random.Random(2))).any()
    assert not sampled(np.ones(1000), random.Random(3)).any()


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: retention([1], [0]),
        lambda: retention([1], [-1]),
        lambda: retention([1], [math.nan]),
        lambda: retention([math.nan], [1]),
        lambda: retention([1], [1], 0),
        lambda: forgotten(np.ones(1), 0),
        lambda: forgotten(np.ones(1), 1),
        lambda: survival(0),
        lambda: survival(1, 2),
        lambda: keep_best(np.ones(1), -1),
    ],
)
def test_what_is_no_strength_scale_or_threshold_is_refused(wrong: Callable[[], object]) -> None:
    with pytest.raises(InvalidInput):
        wrong()


def test_the_best_are_kept_in_order() -> None:
    assert keep_best(np.array([0.2, 0.9, 0.2, 0.5]), 3).tolist() == [1, 2, 3]
    assert keep_best(np.array([0.2, 0.9]), 5).tolist() == [0, 1]
    assert keep_best(np.array([0.2, 0.9]), 0).tolist() == []


# A month: new things every day, old ones asked for again with Zipf's frequencies, room for a tenth of them


Policy = Callable[[list[int], dict[int, Trace], dict[int, list[int]], int, random.Random], int]


def oldest(kept: list[int], traces: dict[int, Trace], asked: dict[int, list[int]], day: int, rng: random.Random) -> int:
    return min(kept)


def anyone(kept: list[int], traces: dict[int, Trace], asked: dict[int, list[int]], day: int, rng: random.Random) -> int:
    return rng.choice(kept)


def by_curve(
    kept: list[int], traces: dict[int, Trace], asked: dict[int, list[int]], day: int, rng: random.Random
) -> int:
    left = retention([day - traces[one].last for one in kept], [traces[one].strength for one in kept])
    (gone,) = set(range(len(kept))) - set(keep_best(left, len(kept) - 1).tolist())
    return kept[gone]


def reversed_curve(
    kept: list[int], traces: dict[int, Trace], asked: dict[int, list[int]], day: int, rng: random.Random
) -> int:
    return min(kept, key=lambda one: (upside_down(day - traces[one].last, traces[one].strength), -one))


def oracle(kept: list[int], traces: dict[int, Trace], asked: dict[int, list[int]], day: int, rng: random.Random) -> int:
    def next_use(one: int) -> int:
        return next((later for later in asked[one] if later > day), 1 << 30)

    return max(kept, key=lambda one: (next_use(one), -one))


def month(policy: Policy, seed: int, capacity: int = 30, days: int = 30, fresh: int = 10) -> float:
    """Share of questions about something old that finds it still there."""
    world, luck = random.Random(seed), random.Random(seed + 1)
    # How often a thing is asked for is its own, and unknown when it is learnt.
    rank = list(range(1, days * fresh + 1))
    world.shuffle(rank)
    weight = [1 / place**1.1 for place in rank]
    asked: dict[int, list[int]] = {one: [] for one in range(days * fresh)}
    questions: list[list[int]] = []
    for day in range(days):
        known = list(range(day * fresh))
        today = world.choices(known, [weight[one] for one in known], k=20) if known else []
        questions.append(today)
        for one in today:
            asked[one].append(day)
    kept: list[int] = []
    traces: dict[int, Trace] = {}
    found = total = 0
    for day in range(days):
        for one in questions[day]:
            total += 1
            if one in kept:
                found += 1
                traces[one] = recall(traces[one], day)
        for one in range(day * fresh, (day + 1) * fresh):
            kept.append(one)
            traces[one] = Trace(day)
            if len(kept) > capacity:
                kept.remove(policy(kept, traces, asked, day, luck))
    return found / total


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_month_with_the_curve(seed: int) -> None:
    curve, first_out, chance, best, wrong = (
        month(policy, seed) for policy in (by_curve, oldest, anyone, oracle, reversed_curve)
    )
    assert first_out + 0.1 < curve < best
    assert chance + 0.1 < curve
    assert wrong < curve
