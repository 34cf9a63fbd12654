"""Regression with teachers in turn: what its parts are, and what its error says."""

from __future__ import annotations

import numpy as np
import pytest

from remanence.core.errors import InvalidInput
from remanence.scenarios.regression_stream import regression_stream


def test_targets_are_what_the_teacher_of_the_moment_says() -> None:
    world = regression_stream(0, dimension=5, outputs=3, batch=4, tasks=2, phases=5, phase=7)
    assert world.inputs.shape == (35, 4, 5)
    assert world.targets.shape == (35, 4, 3)
    assert world.task.tolist() == [0] * 7 + [1] * 7 + [0] * 7 + [1] * 7 + [0] * 7
    for t in (0, 7, 34):
        np.testing.assert_allclose(world.targets[t], world.inputs[t] @ world.teachers[world.task[t]].T)


def test_the_error_is_that_of_predictions_without_noise() -> None:
    world = regression_stream(1, dimension=6, outputs=2, batch=20000, phases=1, phase=1, condition=100.0, noise=1.0)
    weights = np.random.default_rng(0).standard_normal((2, 6))
    x = world.inputs[0]
    wrong = ((x @ (weights - world.teachers[0]).T) ** 2).sum() / ((x @ world.teachers[0].T) ** 2).sum()
    assert world.error(weights, 0) == pytest.approx(wrong, rel=0.05)
    assert world.error(world.teachers[0], 0) == 0
    assert world.error(0 * weights, 0) == 1
    assert (x.std(0)[0] / x.std(0)[-1]) ** 2 == pytest.approx(100, rel=0.1)
    noise = world.targets[0] - x @ world.teachers[0].T
    assert noise.std() == pytest.approx(1, rel=0.02)


def test_teachers_of_a_rank_share_a_subspace() -> None:
    teachers = regression_stream(0, dimension=12, outputs=4, tasks=9, phases=9, phase=1, rank=2).teachers
    assert np.linalg.matrix_rank(teachers.reshape(-1, 12)) == 2
    assert np.linalg.matrix_rank(regression_stream(0, outputs=4, tasks=9).teachers.reshape(-1, 20)) == 20


def test_the_seed_decides_everything() -> None:
    one, again, other = (regression_stream(seed, noise=0.1) for seed in (0, 0, 1))
    assert np.array_equal(one.targets, again.targets)
    assert not np.array_equal(one.targets, other.targets)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"batch": 0}, "batch must be at least 1, not 0"),
        ({"rank": 21}, "rank 21 is more than the 20"),
        ({"noise": -1.0}, "got -1.0 and 1.0"),
        ({"condition": 0.5}, "got 0.0 and 0.5"),
    ],
)
def test_strange_worlds_are_refused(wrong: dict[str, float], told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        regression_stream(0, **wrong)  # type: ignore[arg-type]
