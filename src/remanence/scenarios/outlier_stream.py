"""A stream of vectors of which most can be predicted from the last one, and a few that have nothing to do with it.

    z_t = rho Q z_{t-1} + sqrt(1 - rho^2) e_t,   x_t = z_t, or a vector of its own at a few places

Q is orthogonal, so that what comes is near to nothing that was: the stream is predictable and yet never stands still.
Asked for are the planted vectors, long after; their lengths and steps to their neighbours are as those of all others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from remanence.core.errors import InvalidInput

__all__ = ["OutlierStream", "outlier_stream"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class OutlierStream:
    """Vectors [T, D], the places [n] of the planted ones, ascending, and noisy queries for them [n, D]."""

    vectors: Array
    places: npt.NDArray[np.int64]
    queries: Array

    def accuracy(self, answers: Array) -> float:
        """The share of answers [n, D] whose nearest vector of the whole stream, by cosine, is the one asked for."""
        if answers.shape != self.queries.shape:
            raise InvalidInput(f"answers must be {self.queries.shape}, one for each query; got {answers.shape}")
        directions = self.vectors / np.linalg.norm(self.vectors, axis=1, keepdims=True)
        return float(((answers @ directions.T).argmax(1) == self.places).mean())


def outlier_stream(
    seed: int,
    *,
    length: int = 512,
    outliers: int = 10,
    recent: int = 80,
    dimension: int = 16,
    persistence: float = 0.97,
    noise: float = 0.3,
) -> OutlierStream:
    """A stream of vectors of mean squared length 1.

    Args:
        seed: decides everything.
        length, dimension: T and D.
        outliers: n, how many are planted; no two side by side, none among the first tenth.
        recent: how many of the last vectors are not planted.
        persistence: rho in [0, 1).
        noise: length of what is added to a planted vector, over its own, in its query.

    """
    first = max(length // 10, 1)
    if min(length, outliers, dimension) < 1 or recent < 0 or length - first - recent < 2 * outliers:
        raise InvalidInput(
            "length, outliers and dimension must be at least 1, and outliers fit between the first tenth and the "
            f"recent; got {length}, {outliers}, {dimension} and {recent}"
        )
    if not 0 <= persistence < 1 or noise < 0:
        raise InvalidInput(f"persistence must lie in [0, 1) and noise be at least 0; got {persistence} and {noise}")
    rng = np.random.default_rng([seed, length, outliers, dimension])
    turn, upper = np.linalg.qr(rng.standard_normal((dimension, dimension)))
    # Else Q would not be uniform: columns would rather turn back.
    turn = turn * np.sign(np.diag(upper))
    steps = rng.standard_normal((length, dimension)) / np.sqrt(dimension)
    vectors = np.empty_like(steps)
    vectors[0] = steps[0]
    for t in range(1, length):
        vectors[t] = persistence * turn @ vectors[t - 1] + np.sqrt(1 - persistence**2) * steps[t]
    # Numbers without neighbours: drawn from fewer, then spread by one for each before it.
    places = np.sort(rng.choice(length - first - recent - outliers + 1, outliers, replace=False)) + np.arange(outliers)
    planted = rng.standard_normal((outliers, dimension)) / np.sqrt(dimension)
    vectors[first + places] = planted
    off = rng.standard_normal((outliers, dimension))
    off *= noise * np.linalg.norm(planted, axis=1, keepdims=True) / np.linalg.norm(off, axis=1, keepdims=True)
    return OutlierStream(vectors, first + places, planted + off)
