"""Pairs of vectors to be written once and asked for: how many values come back by their keys.

Two worlds. In `recall_probe` every key is written once; keys are independent, or share a common part, which is where
memories differ: on independent keys a plain sum is hard to beat. In `overwrite_probe` every key gets new values again
and again, and the newest is wanted: a memory that only fits all pairs answers with what is stale.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from remanence.core.errors import InvalidInput

__all__ = ["Overwrites", "Pairs", "overwrite_probe", "recall_probe"]

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pairs:
    """Unit keys [N, K] and unit values [N, V], to be written in this order; each key is asked for afterwards."""

    keys: Array
    values: Array

    def accuracy(self, answers: Array) -> float:
        """The share of answers [N, V] whose nearest value, by dot product, is the right one."""
        nearest = (_fitting(answers, self.values) @ self.values.T).argmax(1)
        return float((nearest == np.arange(len(self.values))).mean())

    def cosine(self, answers: Array) -> float:
        """Mean cosine between answers [N, V] and right values; an answer of nothing counts 0."""
        return float((_unit(_fitting(answers, self.values)) * self.values).sum(1).mean())


@dataclass(frozen=True, slots=True)
class Overwrites:
    """Keys [n, K], written n r times in the order of `order` [n r] with fresh values [n r, V]."""

    keys: Array
    order: npt.NDArray[np.int64]
    """Number of the key of each write."""
    values: Array
    """Value of each write, unit vectors."""

    @property
    def written(self) -> Array:
        """The key of each write, [n r, K]."""
        return self.keys[self.order]

    def scores(self, answers: Array) -> tuple[float, float]:
        """For answers [n, V] to all keys: the share whose nearest value of all ever written is the newest of its key,
        and the share for which it is an older one of the same key."""
        nearest = (_fitting(answers, self.keys[:, :1] * self.values[:1]) @ self.values.T).argmax(1)
        newest = np.zeros(len(self.keys), dtype=np.int64)
        newest[self.order] = np.arange(len(self.order))
        right = nearest == newest
        same = self.order[nearest] == np.arange(len(self.keys))
        return float(right.mean()), float((same & ~right).mean())


def recall_probe(seed: int, *, pairs: int, dimension: int = 32, correlation: float = 0.0) -> Pairs:
    """Pairs of unit vectors; keys are norm(sqrt(1 - rho) e + sqrt(rho) s) with one s for all of them.

    Args:
        seed: decides everything.
        pairs: N, at least 1.
        dimension: K = V, at least 1.
        correlation: rho in [0, 1).

    """
    if pairs < 1 or dimension < 1:
        raise InvalidInput(f"pairs and dimension must be at least 1; got {pairs} and {dimension}")
    if not 0 <= correlation < 1:
        raise InvalidInput(f"correlation must lie in [0, 1), not {correlation}; at 1 all keys are one")
    rng = np.random.default_rng([seed, pairs, dimension])
    own, shared = _units(rng, pairs, dimension), _units(rng, 1, dimension)
    keys = _unit(np.sqrt(1 - correlation) * own + np.sqrt(correlation) * shared)
    return Pairs(keys, _units(rng, pairs, dimension))


def overwrite_probe(seed: int, *, keys: int, rewrites: int, dimension: int = 32) -> Overwrites:
    """Independent unit keys, all written once in each of `rewrites` rounds, in a new order, always with new values."""
    if keys < 1 or rewrites < 1 or dimension < 1:
        raise InvalidInput(f"keys, rewrites and dimension must be at least 1; got {keys}, {rewrites}, {dimension}")
    rng = np.random.default_rng([seed, keys, rewrites, dimension])
    order = np.concatenate([rng.permutation(keys) for _ in range(rewrites)])
    return Overwrites(_units(rng, keys, dimension), order, _units(rng, keys * rewrites, dimension))


def _units(rng: np.random.Generator, count: int, dimension: int) -> Array:
    return _unit(rng.standard_normal((count, dimension)))


def _unit(vectors: Array) -> Array:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Array = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
    return unit


def _fitting(answers: Array, wanted: Array) -> Array:
    if answers.shape != wanted.shape:
        raise InvalidInput(f"answers must be {wanted.shape}, one for each key; got {answers.shape}")
    return answers
