"""Vectors in the buckets of a rotation hash: look into the likeliest ones first, compare exactly within them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from remanence.kernels.lsh import RotationHash, members


class BucketTable:
    """Vectors [n, d] under `ids`, in `buckets` buckets (an even number) of the hash of this `seed`.

    Those without a direction lie in one more bucket, the last.
    """

    def __init__(self, ids: Sequence[str], vectors: NDArray[np.float32], buckets: int, seed: int) -> None:
        self.ids = ids
        self.vectors = vectors
        self.hash = RotationHash.seeded(vectors.shape[1], buckets, seed)
        self._numbers = np.full(len(ids), buckets, np.intp)
        directed = np.flatnonzero(vectors.any(axis=1))
        self._numbers[directed] = self.hash.hash(vectors[directed])
        self._members = members(self._numbers, buckets + 1)

    @property
    def bucket_of(self) -> Mapping[str, int]:
        """The bucket of each vector by id."""
        return dict(zip(self.ids, self._numbers.tolist(), strict=True))

    def bucket(self, number: int) -> list[str]:
        """Ids of what lies in a bucket, in order."""
        return [self.ids[row] for row in self._members[number].tolist()]

    def near(self, query: NDArray[np.float32], probes: int, least: int) -> NDArray[np.intp]:
        """Rows of what lies in the `probes` likeliest buckets of a query [d], and in further ones until there are
        `least`; ascending."""
        last = self.hash.buckets
        order = [*self.hash.probes(query[None], last)[0].tolist(), last] if query.any() else [last, *range(last)]
        found: list[NDArray[np.intp]] = []
        for place, bucket in enumerate(order):
            if place >= probes and sum(map(len, found)) >= least:
                break
            found.append(self._members[bucket])
        return np.sort(np.concatenate(found))
