"""Random rotation hashing: vectors that point the same way share a bucket.

A fixed random matrix R [d, b / 2] gives every vector x a number F(x) = argmax([xR ; -xR]) in 0 .. b - 1 (cross-polytope
hashing: K. Terasawa, Y. Tanaka, WADS 2007; A. Andoni et al., NIPS 2015; used by TiM for its thoughts). Length does not
matter: F(cx) = F(x) for c > 0. The opposite direction has the opposite bucket: F(-x) = (F(x) + b / 2) mod b. A query
also looks into the buckets of the next greatest entries (multi-probe).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from remanence.core.errors import InvalidInput

Buckets = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class RotationHash:
    """F for vectors of `dimension` components and an even number of `buckets`; make it with `seeded`.

    Entries of R are independent normal deviates, so that no direction of space is preferred.
    """

    directions: NDArray[np.float64]
    """[d, b / 2]"""

    @classmethod
    def seeded(cls, dimension: int, buckets: int, seed: int = 0) -> RotationHash:
        """The same hash for the same arguments. Raises `InvalidInput` for no dimension or an odd number of buckets."""
        if dimension < 1:
            raise InvalidInput(f"vectors of {dimension} components point nowhere; give a dimension of at least 1")
        if buckets < 2 or buckets % 2:
            raise InvalidInput(f"{buckets} buckets cannot be split into opposite pairs; give an even number from 2 on")
        return cls(np.random.default_rng(seed).standard_normal((dimension, buckets // 2)))

    @property
    def dimension(self) -> int:
        """Components of a vector."""
        return int(self.directions.shape[0])

    @property
    def buckets(self) -> int:
        """How many buckets there are."""
        return 2 * int(self.directions.shape[1])

    def bucket(self, vector: ArrayLike) -> int:
        """F of one vector [d]."""
        return int(self.probes(np.asarray(vector)[None], 1)[0, 0])

    def hash(self, vectors: ArrayLike) -> Buckets:
        """F of each of `vectors` [n, d]: [n] buckets."""
        found: Buckets = self.probes(vectors, 1)[:, 0]
        return found

    def probes(self, vectors: ArrayLike, count: int) -> Buckets:
        """[n, count] the likeliest buckets of each of `vectors` [n, d], its own first; equal ones by number.

        Raises `InvalidInput` for vectors that do not fit, have no direction or are not finite, and for a `count` beyond
        the number of buckets.
        """
        entries = self._entries(vectors)
        if not 1 <= count <= self.buckets:
            raise InvalidInput(f"{count} probes among {self.buckets} buckets; give a number from 1 to {self.buckets}")
        if count == 1:
            likeliest: Buckets = np.argmax(entries, axis=1)[:, None]
            return likeliest
        found: Buckets = np.argsort(-entries, axis=1, kind="stable")[:, :count]
        return found

    def probes_naive(self, vector: Sequence[float], count: int) -> list[int]:
        """What `probes` gives for one vector, by plain loops."""
        columns = [[float(row) for row in column] for column in self.directions.T]
        along = [math.fsum(x * r for x, r in zip(vector, column, strict=True)) for column in columns]
        entries = along + [-entry for entry in along]
        return sorted(range(len(entries)), key=lambda bucket: (-entries[bucket], bucket))[:count]

    def _entries(self, vectors: ArrayLike) -> NDArray[np.float64]:
        """[n, b] the entries of [xR ; -xR]."""
        rows = np.asarray(vectors, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != self.dimension:
            raise InvalidInput(f"vectors of shape {rows.shape} do not fit a hash of {self.dimension} components")
        greatest = np.abs(rows).max(axis=1, initial=0.0)
        bad = np.flatnonzero(~(np.isfinite(greatest) & (greatest > 0)))
        if len(bad):
            raise InvalidInput(f"vector {bad[0]} is zero or not finite and has no direction; leave it out")
        # Length does not matter, so it may as well not overflow.
        along = (rows / greatest[:, None]) @ self.directions
        return np.concatenate([along, -along], axis=1)


def members(hashed: Buckets, buckets: int) -> list[Buckets]:
    """The positions of the vectors in each bucket, ascending, for `hashed` [n] from `RotationHash.hash`."""
    order = np.argsort(hashed, kind="stable")
    return np.split(order, np.cumsum(np.bincount(hashed, minlength=buckets))[:-1])
