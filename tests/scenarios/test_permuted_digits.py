from __future__ import annotations

import numpy as np
import pytest

from remanence.core.errors import InvalidInput
from remanence.scenarios.permuted_digits import SIDE, permuted_digits


def test_a_permutation_loses_nothing() -> None:
    rows, mixed = permuted_digits(1, permuted=False), permuted_digits(1)
    assert rows.pixels.shape == (256, SIDE * SIDE)
    assert np.array_equal(rows.pixels, rows.pictures.reshape(256, -1))
    assert np.array_equal(mixed.pictures, rows.pictures)
    assert not np.array_equal(mixed.pixels, rows.pixels)
    assert sorted(mixed.order) == list(range(SIDE * SIDE))


def test_digits_can_be_told_from_their_pictures() -> None:
    known, asked = permuted_digits(1, count=2000), permuted_digits(2, count=200)
    assert np.array_equal(known.order, asked.order)
    distances = (asked.pixels**2).sum(1)[:, None] - 2 * asked.pixels @ known.pixels.T + (known.pixels**2).sum(1)
    assert (known.digits[distances.argmin(1)] == asked.digits).mean() > 0.97
    # The mean brightness alone does not tell them.
    assert np.ptp([known.pixels[known.digits == one].mean() for one in range(10)]) < 0.15


def test_without_noise_a_picture_shows_its_digit() -> None:
    world = permuted_digits(0, count=50, noise=0.0)
    ones = world.pictures[world.digits == 1]
    assert {int((one > 0).sum()) for one in ones} == {10}


def test_seeded() -> None:
    assert np.array_equal(permuted_digits(3).pixels, permuted_digits(3).pixels)
    assert not np.array_equal(permuted_digits(3).pixels, permuted_digits(4).pixels)
    assert not np.array_equal(permuted_digits(3).order, permuted_digits(3, order_seed=1).order)


@pytest.mark.parametrize("wrong", [{"count": 0}, {"noise": -1.0}, {"noise": float("nan")}])
def test_what_cannot_be_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidInput, match="count must be"):
        permuted_digits(0, **wrong)  # type: ignore[arg-type]
