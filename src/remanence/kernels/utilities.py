"""Learnt utilities of memories: how a reward moves them, and how they are weighed against similarity.

    Q <- Q + alpha (r - Q)                       so that Q_n = (1 - alpha)^n Q_0 + alpha sum_i (1 - alpha)^(n-i) r_i
    score = (1 - lambda) s^ + lambda Q^          Q^: standard scores among the candidates, within ±3

After MemRL (S. Zhang et al., "MemRL: self-evolving agents via runtime reinforcement learning on episodic memory",
2026): a constant-step Monte-Carlo estimate of what a memory is worth.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import InvalidInput

Values = NDArray[np.float64]
CLIP = 3.0
_BLOCK = 256


def moved(value: float, reward: float, alpha: float, floor: float | None = None) -> float:
    """A utility after one reward; at least `floor`. Raises `InvalidInput` for a step outside (0, 1]."""
    if not 0 < alpha <= 1:
        raise InvalidInput(f"alpha={alpha} must be above 0 and at most 1")
    after = value + alpha * (reward - value)
    return after if floor is None else max(after, floor)


def standard_scores(values: Values) -> Values:
    """Values [n] less their mean, by their standard deviation; zeros where all are equal."""
    deviations: Values = values - values.mean()
    std = float(np.sqrt(np.mean(deviations**2)))
    # Equal values may differ by the rounding of their mean.
    if std <= 1e-9 * max(1.0, float(np.abs(values).max(initial=0.0))):
        return np.zeros_like(deviations)
    scores: Values = deviations / std
    return scores


def blended(similarities: Values, utilities: Values, weight: float) -> tuple[Values, Values]:
    """Scores [n] of candidates with normalised `similarities` [n] and raw `utilities` [n], and the utilities' own
    standard scores. `weight` is lambda: 0 for similarity alone. Raises `InvalidInput` for a weight outside [0, 1]."""
    if not 0 <= weight <= 1:
        raise InvalidInput(f"weight={weight} must lie between 0 (similarity alone) and 1 (utility alone)")
    scores = np.clip(standard_scores(utilities), -CLIP, CLIP)
    return (1 - weight) * similarities + weight * scores, scores


def spread(vectors: NDArray[np.float32]) -> tuple[float, float]:
    """Mean and standard deviation of the cosines of all pairs of unit vectors [n, d]; (0, 1) if none differ."""
    if len(vectors) < 2:
        return 0.0, 1.0
    pairs = (vectors @ vectors.T)[np.triu_indices(len(vectors), 1)].astype(np.float64)
    std = float(pairs.std())
    return (float(pairs.mean()), std) if std > 1e-6 else (0.0, 1.0)


def file_under(
    new: NDArray[np.float32], old: NDArray[np.float32], groups: Sequence[str], own: Sequence[str], least: float
) -> list[str]:
    """The group of each of `new` unit vectors [m, d], taken one after the other: that of the nearest vector before it
    (`old` [n, d] with their `groups`, then the new ones) if its cosine is at least `least`, else a group of its `own`.
    Of equally near ones the first counts."""
    known = np.concatenate([old, new])
    found = [*groups]
    for begin in range(0, len(new), _BLOCK):
        cosines = new[begin : begin + _BLOCK] @ known.T
        for row, line in enumerate(cosines):
            before = len(old) + begin + row
            nearest = int(np.argmax(line[:before])) if before else -1
            found.append(found[nearest] if before and line[nearest] >= least else own[begin + row])
    return found[len(old) :]


def naive_file_under(
    new: NDArray[np.float32], old: NDArray[np.float32], groups: Sequence[str], own: Sequence[str], least: float
) -> list[str]:
    """`file_under`, pair by pair."""
    known = [(vector, group) for vector, group in zip(old.tolist(), groups, strict=True)]
    out = []
    for vector, name in zip(new.tolist(), own, strict=True):
        best, group = least, name
        first = True
        for other, of in known:
            cosine = sum(a * b for a, b in zip(vector, other, strict=True))
            if cosine >= best and (first or cosine > best):
                best, group, first = cosine, of, False
        known.append((vector, group))
        out.append(group)
    return out
