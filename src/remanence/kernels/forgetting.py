"""The forgetting curve: what is not recalled fades, and each recall makes it fade more slowly.

    R = exp(-t / S)

t is the time since the last recall, S the strength: 1 when something is learnt, and one more after each recall, which
also sets t back to 0 (W. Zhong et al., "MemoryBank", AAAI 2024, after H. Ebbinghaus, 1885). Half of it is gone after
``S ln 2``. Times are in days, times `scale` where one unit of strength is to last longer than a day.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import InvalidInput

__all__ = [
    "THRESHOLD",
    "Trace",
    "forgotten",
    "half_life",
    "keep_best",
    "naive_retention",
    "recall",
    "retention",
    "sampled",
    "survival",
]

THRESHOLD = 0.1
"""Retention below which something counts as forgotten, unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Trace:
    """What is known of one memory's use: day of the last recall (or of learning), and strength."""

    last: float
    strength: float = 1.0


def retention(
    days: Sequence[float] | NDArray[np.float64], strength: Sequence[float] | NDArray[np.float64], scale: float = 1.0
) -> NDArray[np.float64]:
    """How much is left after `days` without a recall, from 1 down to 0.

    Args:
        days: [n] since the last recall; a time that lies ahead, as after a clock was set back, counts as none.
        strength: [n], above 0.
        scale: Days that one unit of strength lasts; above 0.

    Raises:
        InvalidInput: A strength or the scale is not above 0, or a number is NaN.
    """
    times = np.asarray(days, dtype=np.float64)
    strengths = np.asarray(strength, dtype=np.float64)
    if np.isnan(times).any():
        raise InvalidInput("days since the last recall are NaN; give numbers")
    if not (strengths > 0).all():
        raise InvalidInput(f"strength {strengths[~(strengths > 0)][0]} must be above 0")
    _check_scale(scale)
    return np.exp(-np.maximum(times, 0.0) / (strengths * scale))


def naive_retention(days: float, strength: float, scale: float = 1.0) -> float:
    """`retention` of one memory, as the formula has it."""
    return math.exp(-max(days, 0.0) / (strength * scale))


def half_life(strength: float, scale: float = 1.0) -> float:
    """Days after which half is left."""
    return survival(strength, 0.5, scale)


def survival(strength: float, threshold: float = THRESHOLD, scale: float = 1.0) -> float:
    """Days without a recall until retention falls to `threshold`. Proportional to strength.

    Raises:
        InvalidInput: Strength or scale is not above 0, or the threshold not between 0 and 1.
    """
    if not strength > 0:
        raise InvalidInput(f"strength {strength} must be above 0")
    _check_scale(scale)
    _check_threshold(threshold)
    return -strength * scale * math.log(threshold)


def recall(trace: Trace, day: float) -> Trace:
    """A memory after it was recalled: one stronger, and fresh. A day before the last recall does not turn it back."""
    return Trace(max(trace.last, day), trace.strength + 1)


def forgotten(retained: NDArray[np.float64], threshold: float = THRESHOLD) -> NDArray[np.bool_]:
    """[n] Which memories are let go: those of which less than `threshold` is left."""
    _check_threshold(threshold)
    return retained < threshold


def sampled(retained: NDArray[np.float64], rng: random.Random) -> NDArray[np.bool_]:
    """[n] Which memories are let go by chance: each is kept with the probability of its retention. One draw each."""
    draws = np.array([rng.random() for _ in range(len(retained))], dtype=np.float64)
    return draws >= retained


def keep_best(retained: NDArray[np.float64], capacity: int) -> NDArray[np.int64]:
    """Indices of the `capacity` memories of which most is left, ascending; of equal ones the later are kept.

    Raises:
        InvalidInput: The capacity is negative.
    """
    if capacity < 0:
        raise InvalidInput(f"capacity {capacity} must be 0 or more")
    order = np.lexsort((-np.arange(len(retained)), -retained))
    kept: NDArray[np.int64] = np.sort(order[:capacity]).astype(np.int64)
    return kept


def _check_scale(scale: float) -> None:
    if not scale > 0:
        raise InvalidInput(f"scale {scale} must be above 0: days that one unit of strength lasts")


def _check_threshold(threshold: float) -> None:
    if not 0 < threshold < 1:
        raise InvalidInput(f"threshold {threshold} must lie between 0 and 1")
