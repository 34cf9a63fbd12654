"""Putting rankings and channel scores together."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def reciprocal_rank_fusion(rankings: Sequence[Sequence[int]], k: int = 60) -> list[tuple[int, float]]:
    """Items by the sum of 1 / (k + rank), rank from 1; ties by first appearance.

    Source: G. Cormack, C. Clarke, S. Buettcher, "Reciprocal Rank Fusion outperforms Condorcet …" (SIGIR 2009).
    """
    totals: dict[int, float] = {}
    for ranking in rankings:
        for rank, item in enumerate(ranking, 1):
            totals[item] = totals.get(item, 0.0) + 1 / (k + rank)
    return sorted(totals.items(), key=lambda pair: -pair[1])


def linear_naive(features: NDArray[np.floating], weights: Sequence[float]) -> list[float]:
    """Weighted sum of the columns of `features` [n, f], one row at a time."""
    return [math.fsum(float(x) * w for x, w in zip(row, weights, strict=True)) for row in features]


def linear(features: NDArray[np.floating], weights: NDArray[np.floating]) -> NDArray[np.float64]:
    """`linear_naive`, vectorised. Shapes [n, f], [f]; result [n]."""
    scores: NDArray[np.float64] = features.astype(np.float64) @ weights.astype(np.float64)
    return scores


def logistic(score: float, slope: float, intercept: float) -> float:
    """Platt scaling: a score as a probability. Saturates instead of overflowing."""
    x = max(-500.0, min(500.0, slope * score + intercept))
    return 1 / (1 + math.exp(-x))


def logit_of(probability: float) -> float:
    """The log-odds of a probability; finite for 0 and 1 too."""
    p = min(max(probability, 1e-9), 1 - 1e-9)
    return math.log(p / (1 - p))


USUAL_ROWS = 600
"""Records in a scope for which a profile's bias holds as it is."""


def smallness(rows: int) -> float:
    """How many e-folds a scope is below the usual size: one record of two is a likelier answer than one of six
    hundred, and rare words are not rare yet."""
    return max(0.0, math.log(USUAL_ROWS / max(rows, 1)))


@dataclass(frozen=True, slots=True)
class Profile:
    """A learnt formula: log-odds = weights · bent(channels) + bias + small * smallness."""

    channels: tuple[str, ...]
    weights: NDArray[np.float64]
    """[len(channels)]"""
    bias: float
    small: float = 0.0
    curves: Mapping[str, float] = field(default_factory=dict)
    """Channels whose value x, 0 or more, counts as log(1 + x / c), and their c > 0: the more there is of such evidence,
    the less the same again adds."""

    def bent(self, features: NDArray[np.floating]) -> NDArray[np.floating]:
        """`features` [..., len(channels)] with the curves applied."""
        if not self.curves:
            return features
        bent = features.copy()
        for channel, scale in self.curves.items():
            at = self.channels.index(channel)
            bent[..., at] = np.log1p(features[..., at] / scale)
        return bent

    def offset(self, rows: int) -> float:
        """What does not depend on the channels, in a scope of so many rows."""
        return self.bias + self.small * smallness(rows)

    def logits(self, features: NDArray[np.floating], rows: int) -> NDArray[np.float64]:
        """Log-odds of each line of `features` [n, len(channels)]."""
        return linear(self.bent(features), self.weights) + self.offset(rows)

    def shares(self, features: NDArray[np.floating]) -> dict[str, float]:
        """What each channel adds, for one line [len(channels)]."""
        return dict(zip(self.channels, (self.bent(features) * self.weights).tolist(), strict=True))


def read_profiles(path: Path, channels: Mapping[str, Sequence[str]]) -> dict[str, Profile]:
    """The profiles of a JSON file by name, their weights in the order of `channels[name]`."""
    numbers = json.loads(path.read_text(encoding="utf-8"))
    return {
        name: Profile(
            tuple(order),
            np.array([numbers[name]["weights"][channel] for channel in order], np.float64),
            float(numbers[name]["bias"]),
            float(numbers[name].get("small", 0.0)),
            numbers[name].get("curves", {}),
        )
        for name, order in channels.items()
    }
