"""Putting rankings and channel scores together."""

from __future__ import annotations

import math
from collections.abc import Sequence

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
