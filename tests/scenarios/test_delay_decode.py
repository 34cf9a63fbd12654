"""Signals and their exact past."""

from __future__ import annotations

import numpy as np
import pytest

from remanence.core.errors import InvalidInput
from remanence.scenarios.delay_decode import delay_decode


def test_the_past_is_what_the_signal_was() -> None:
    world = delay_decode(0, delays=(0, 5, 40), sequences=3, length=200)
    assert world.first == 40
    np.testing.assert_allclose(world.past[..., 0], world.signals, atol=1e-12)
    np.testing.assert_allclose(world.past[:, 40:, 1], world.signals[:, 35:-5], atol=1e-12)
    np.testing.assert_allclose(world.past[:, 40:, 2], world.signals[:, :-40], atol=1e-12)


def test_another_interval_samples_the_same_signals() -> None:
    fine, coarse = (delay_decode(4, delays=(10,), length=200 // step, interval=step) for step in (1, 2))
    np.testing.assert_allclose(fine.signals[:, ::2], coarse.signals, atol=1e-12)
    np.testing.assert_allclose(fine.past[:, ::2], coarse.past, atol=1e-12)


def test_signals_are_smooth_and_of_unit_variance() -> None:
    """Next to nothing lies above the highest frequency."""
    world = delay_decode(1, delays=(0,), sequences=20, length=4000, shortest=50)
    power = np.square(np.abs(np.fft.rfft(world.signals * np.hanning(4000)))).mean(0)
    assert power[4000 // 50 + 4 :].sum() < 1e-4 * power.sum()
    assert world.signals.var() == pytest.approx(1, abs=0.1)


def test_errors_are_shares_of_the_deviation() -> None:
    world = delay_decode(2, delays=(0, 10), length=300)
    assert world.errors(world.past).tolist() == [0, 0]
    means = np.broadcast_to(world.past[:, world.first :].mean((0, 1)), world.past.shape)
    assert world.errors(means) == pytest.approx([1, 1])
    with pytest.raises(InvalidInput, match="told"):
        world.errors(world.past[:1])


def test_the_seed_decides() -> None:
    one, again, other = (delay_decode(seed, delays=(3,)).signals for seed in (0, 0, 1))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(
    "wrong",
    [{"delays": ()}, {"delays": (-1.0,)}, {"shortest": 0.0}, {"interval": 0.0}, {"sequences": 0}, {"delays": (512.0,)}],
)
def test_nonsense_is_told(wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidInput):
        delay_decode(0, **{"delays": (1.0,), **wrong})  # type: ignore[arg-type]
