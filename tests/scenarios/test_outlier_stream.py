from __future__ import annotations

import numpy as np
import pytest

from remanence.core.errors import InvalidInput
from remanence.scenarios.outlier_stream import OutlierStream, outlier_stream


def predicted(world: OutlierStream) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.float64]], float]:
    """How far each vector is from the best linear prediction from the one before, squared, and the mean elsewhere."""
    old, new = world.vectors[:-1], world.vectors[1:]
    near = np.union1d(world.places, world.places + 1)
    fine = ~np.isin(np.arange(1, len(world.vectors)), near)
    fit = np.linalg.lstsq(old[fine], new[fine], rcond=None)[0]
    off = np.concatenate([[0.0], ((new - old @ fit) ** 2).sum(1)])
    return off, float(off[1:][fine].mean())


def test_most_vectors_are_predicted_from_the_last_and_the_planted_ones_are_not() -> None:
    world = outlier_stream(0)
    off, usual = predicted(world)
    assert usual == pytest.approx(1 - 0.97**2, rel=0.2)
    assert off[world.places].mean() > 10 * usual


def test_lengths_and_steps_do_not_give_the_planted_ones_away() -> None:
    lengths, steps = np.zeros(2), np.zeros(2)
    for seed in range(20):
        world = outlier_stream(seed)
        planted = np.isin(np.arange(512), world.places)
        squares = (world.vectors**2).sum(1)
        step = np.concatenate([[2.0], ((world.vectors[1:] - world.vectors[:-1]) ** 2).sum(1)])
        lengths += [squares[planted].mean(), squares[~planted].mean()]
        steps += [step[planted].mean(), step[~planted].mean()]
    assert lengths / 20 == pytest.approx([1, 1], abs=0.1)
    assert steps[0] == pytest.approx(steps[1], rel=0.1)


def test_places_are_apart_old_and_not_at_the_start() -> None:
    for seed in range(50):
        places = outlier_stream(seed, length=200, outliers=40, recent=80).places
        assert len(places) == 40
        assert (np.diff(places) > 1).all()
        assert places[0] >= 20
        assert places[-1] < 120


def test_right_answers_score_one_and_queries_are_as_noisy_as_asked() -> None:
    world = outlier_stream(1)
    assert world.accuracy(world.vectors[world.places]) == 1.0
    assert world.accuracy(world.vectors[world.places + 1]) == 0.0
    off = np.linalg.norm(world.queries - world.vectors[world.places], axis=1)
    assert off / np.linalg.norm(world.vectors[world.places], axis=1) == pytest.approx(np.full(10, 0.3))
    with pytest.raises(InvalidInput, match=r"answers must be \(10, 16\)"):
        world.accuracy(world.vectors)


def test_the_seed_decides() -> None:
    one, again, other = (outlier_stream(seed) for seed in (1, 1, 2))
    assert np.array_equal(one.vectors, again.vectors)
    assert np.array_equal(one.queries, again.queries)
    assert not np.array_equal(one.vectors, other.vectors)


@pytest.mark.parametrize(
    "wrong",
    [{"outliers": 0}, {"dimension": 0}, {"length": 99}, {"recent": -1}, {"persistence": 1.0}, {"noise": -0.1}],
)
def test_streams_that_cannot_be_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InvalidInput):
        outlier_stream(0, **wrong)  # type: ignore[arg-type]
