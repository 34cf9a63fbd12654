"""Scenes: who joins which, in the order of coming, and the same at once and bit by bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from remanence.core.errors import InvalidInput
from remanence.kernels.scene_router import Rules, Scenes, assign, farthest_first

DIM = 8


def unit(*values: float) -> NDArray[np.float32]:
    row = np.zeros(DIM, np.float32)
    row[: len(values)] = values
    scaled: NDArray[np.float32] = row / np.float32(np.linalg.norm(row))
    return scaled


def clouds(seed: int, size: int, topics: int = 4) -> NDArray[np.float32]:
    """Statements around a few subjects."""
    rng = np.random.default_rng(seed)
    centers = np.eye(DIM)[rng.integers(0, topics, size)]
    rows = centers + rng.normal(0, 0.15, (size, DIM))
    scaled: NDArray[np.float32] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    return scaled


def test_the_score_is_the_cosine_to_the_centroid_and_a_bonus_for_being_of_the_same_time() -> None:
    scenes = Scenes(DIM)
    scenes.join(1, unit(1), 0)
    scenes.join(1, unit(0, 1), 10)
    new = unit(1)
    assert scenes.scores(new, 5)[0] == pytest.approx(np.sqrt(0.5) + 0.08)
    assert scenes.scores(new, 10 + 22.5)[0] == pytest.approx(np.sqrt(0.5) + 0.04)
    assert scenes.scores(new, 10 + 45)[0] == pytest.approx(np.sqrt(0.5))
    assert scenes.scores(new, -1000)[0] == pytest.approx(np.sqrt(0.5))


def test_what_is_near_joins_what_is_far_begins_and_what_lies_between_is_of_both() -> None:
    scenes = Scenes(DIM)
    assert scenes.route(unit(1), 0) == (1,)
    assert scenes.route(unit(0, 1), 0) == (2,)
    assert scenes.route(unit(1, 0.1), 0) == (1,)
    assert scenes.route(unit(1, 1.1), 0) == (2, 1)
    assert scenes.route(unit(0, 0, 1), 0) == (3,)


def test_nearness_in_time_decides_where_nearness_in_meaning_does_not() -> None:
    scenes = Scenes(DIM)
    scenes.join(1, unit(1), 0)
    scenes.join(2, unit(1), 300)
    assert scenes.route(unit(1), 290)[0] == 2
    assert scenes.route(unit(1), 10)[0] == 1


def test_crowded_scenes_are_harder_to_join_and_full_ones_closed() -> None:
    rules = Rules(crowded=2, full=3)
    middling = unit(1, 1.3)  # a cosine of 0.61 to the first axis
    scenes = Scenes(DIM, rules)
    scenes.join(1, unit(1), 1000)
    assert scenes.route(middling, 0) == (1,)
    scenes = Scenes(DIM, rules)
    for _ in range(2):
        scenes.join(1, unit(1), 1000)
    assert scenes.route(middling, 0) == (2,)
    assert scenes.route(unit(1), 1000)[0] == 1
    assert scenes.route(unit(1), 1000) == (3,)


def test_scenes_that_are_alike_become_one_unless_that_would_be_too_large() -> None:
    for full, became in ((200, {2: 1}), (3, {})):
        scenes = Scenes(DIM, Rules(full=full))
        for number, vector in ((1, unit(1)), (1, unit(1)), (2, unit(1, 0.1)), (2, unit(1, 0.1)), (3, unit(0, 1))):
            scenes.join(number, vector, 0)
        assert scenes.merge() == became
        assert scenes.numbers == [1, *([2] if not became else []), 3]


def test_before_there_are_enough_statements_there_are_no_scenes() -> None:
    vectors = clouds(0, 30)
    assert assign(vectors[:23], [0.0] * 23, [()] * 23) == [()] * 23
    found = assign(vectors[:24], [0.0] * 24, [()] * 24)
    assert all(len(one) == 1 for one in found)
    assert len(set(found)) <= 12


@given(st.integers(0, 50), st.lists(st.integers(1, 30), min_size=1, max_size=8))
def test_at_once_and_bit_by_bit_are_the_same(seed: int, sizes: list[int]) -> None:
    rules = Rules(every=20, merge=0.8)
    size = sum(sizes)
    vectors, days = clouds(seed, size), [float(at % 37) for at in range(size)]
    at_once = assign(vectors, days, [()] * size, rules)
    known: list[tuple[int, ...]] = []
    for more in sizes:
        known += [()] * more
        known = assign(vectors[: len(known)], days[: len(known)], known, rules)
    assert known == at_once


def test_subjects_are_told_apart() -> None:
    rng = np.random.default_rng(3)
    subject = rng.integers(0, 4, 200)
    rows = np.eye(DIM)[subject] + rng.normal(0, 0.1, (200, DIM))
    vectors = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    found = assign(vectors, [0.0] * 200, [()] * 200, Rules(first=4))
    scenes_of = [{scene for at in np.flatnonzero(subject == which) for scene in found[at]} for which in range(4)]
    for one in range(4):
        for other in range(one):
            assert not scenes_of[one] & scenes_of[other]


def test_members_taken_together_are_members_that_came_one_after_the_other() -> None:
    vectors, days = clouds(1, 40), list(map(float, range(40)))
    members = [(1 + at % 3, 7) if at % 5 == 0 else (1 + at % 3,) for at in range(40)]
    slow = Scenes(DIM)
    for row, numbers in enumerate(members):
        for number in numbers:
            slow.join(number, vectors[row], days[row])
    fast = Scenes.of(members, vectors, days)
    assert fast.numbers == slow.numbers
    assert np.array_equal(fast.scores(unit(1), 50), slow.scores(unit(1), 50))
    assert fast.route(unit(0, 0, 0, 0, 0, 0, 0, 1), 0) == slow.route(unit(0, 0, 0, 0, 0, 0, 0, 1), 0) == (8,)


def test_farthest_first_goes_where_nothing_is_chosen_yet() -> None:
    vectors = np.stack([unit(1), unit(1, 0.1), unit(0, 1), unit(-1), unit(0.1, 1)])
    assert farthest_first(vectors, 3) == [0, 3, 2]
    assert farthest_first(vectors, 9) == [0, 3, 2, 1, 4]
    assert farthest_first(vectors[:0], 3) == []


def test_rules_that_make_no_sense_are_refused() -> None:
    with pytest.raises(InvalidInput, match="full=0"):
        Rules(full=0)
    with pytest.raises(InvalidInput, match="horizon"):
        Rules(horizon=0)
