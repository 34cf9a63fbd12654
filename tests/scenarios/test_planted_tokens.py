"""Streams in which a few tokens matter."""

from __future__ import annotations

import numpy as np
import pytest

from remanence.core.errors import InvalidInput
from remanence.scenarios.planted_tokens import planted_tokens


def test_what_is_planted_is_marked_most_and_lies_far_back() -> None:
    world = planted_tokens(0, planted=8, decoys=60, filler=240, delay=200)
    assert world.tokens.shape == (308, 33)
    assert world.places.max() < 108
    assert set(np.argsort(-world.marks)[:8]) == set(world.places)
    assert ((world.marks > 0.5) & (world.marks < 0.9)).sum() == 60
    assert (world.marks == 0).sum() == 240


def test_cues_and_contents_are_unit_vectors() -> None:
    world = planted_tokens(1)
    for part in (world.cues, world.contents):
        np.testing.assert_allclose(np.linalg.norm(part, axis=1), 1)


def test_answers_are_measured() -> None:
    world = planted_tokens(2)
    assert world.cosine(3 * world.contents[world.places]) == pytest.approx(1)
    assert world.cosine(np.zeros((8, 16))) == 0
    assert abs(world.cosine(world.cues[world.places])) < 0.5
    with pytest.raises(InvalidInput, match=r"\(8, 16\)"):
        world.cosine(world.contents)


def test_the_seed_decides() -> None:
    one, again, other = (planted_tokens(seed).tokens for seed in (0, 0, 1))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("wrong", [{"planted": 0}, {"size": 0}, {"decoys": -1}, {"decoys": 10, "filler": 10}])
def test_nonsense_is_told(wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidInput):
        planted_tokens(0, **wrong)
