"""Smooth signals, and what they were some time ago: how far back a memory of a stream can tell.

A signal is a sum of sines with random periods, none shorter than `shortest`, and random phases, of unit variance. It is
defined at every moment, so that it can be sampled at any interval, and its past is known exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from remanence.core.errors import InvalidInput

__all__ = ["Delays", "delay_decode"]

Array = npt.NDArray[np.float64]
_SINES = 8


@dataclass(frozen=True, slots=True)
class Delays:
    """Signals [B, T], what they were some delays ago [B, T, n], and the first sample at which all of that was read."""

    signals: Array
    past: Array
    first: int

    def errors(self, told: Array) -> Array:
        """Root mean square errors [n] of what was told of the past [B, T, n], as shares of the signals' deviation."""
        if told.shape != self.past.shape:
            raise InvalidInput(f"what was told must be {self.past.shape}; got {told.shape}")
        off = (told - self.past)[:, self.first :]
        found: Array = np.sqrt(np.square(off).mean((0, 1))) / self.past[:, self.first :].std((0, 1))
        return found


def delay_decode(
    seed: int,
    *,
    delays: Sequence[float],
    sequences: int = 8,
    length: int = 512,
    shortest: float = 50.0,
    interval: float = 1.0,
) -> Delays:
    """Signals that begin to be read at time 0.

    Args:
        seed: decides everything.
        delays: how long ago is asked for, from 0 on, in the unit of time of `shortest`.
        sequences: B.
        length: T, samples of each.
        shortest: shortest period; the longest is eight times that.
        interval: time between two samples; the same seed gives the same signals, whatever it is.

    Raises `InvalidInput` where nothing would be left to ask after the longest delay.

    """
    if sequences < 1 or not shortest > 0 or not interval > 0 or not delays or min(delays) < 0:
        raise InvalidInput(
            "sequences must be at least 1, shortest and interval above 0, and delays some numbers from 0 on; got "
            f"{sequences}, {shortest}, {interval}, {list(delays)}"
        )
    first = int(np.ceil(max(delays) / interval))
    if first >= length:
        raise InvalidInput(f"after a delay of {max(delays)} nothing is left of {length} samples at {interval}")
    rng = np.random.default_rng([seed, sequences])
    rates = 2 * np.pi / (shortest * 8 ** rng.random((sequences, _SINES)))
    phases = 2 * np.pi * rng.random((sequences, _SINES))
    times = interval * np.arange(length)
    asked = times[:, None] - np.asarray([0.0, *delays])
    angles = rates[:, None, None] * asked[None, ..., None] + phases[:, None, None]
    whole = np.sin(angles).sum(-1) * np.sqrt(2 / _SINES)
    return Delays(whole[..., 0], whole[..., 1:], first)
