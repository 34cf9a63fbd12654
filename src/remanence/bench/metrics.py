"""How good a ranking is, how sure one may be of a difference, how long it took.

Each measure has a plain form for one ranking and a fast form over many; tests hold them equal. Gains are binary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from remanence.core.errors import InvalidInput

CUTOFFS = (1, 5, 10, 20)
NDCG_CUTOFF = 10
DEPTH = max(*CUTOFFS, NDCG_CUTOFF)

_CHUNK = 1 << 22  # resampled indices held at once: 32 MB

Floats = NDArray[np.float64]


def recall_at(ranked: Sequence[str], gold: AbstractSet[str], k: int) -> float:
    """The share of the gold documents among the first `k`. A document that is listed twice counts once."""
    _require_gold(gold)
    return len(gold & set(ranked[:k])) / len(gold)


def ndcg_at(ranked: Sequence[str], gold: AbstractSet[str], k: int) -> float:
    """Discounted gain of the first `k` over the best that any ranking could reach (Järvelin and Kekäläinen, 2002).

    A gold document at rank r (from 1) is worth 1 / log2(r + 1); a second mention of it is worth nothing.
    """
    _require_gold(gold)
    gain, seen = 0.0, set[str]()
    for rank, identity in enumerate(ranked[:k], start=1):
        if identity in gold and identity not in seen:
            gain += 1 / math.log2(rank + 1)
            seen.add(identity)
    return gain / sum(1 / math.log2(rank + 1) for rank in range(1, min(k, len(gold)) + 1))


def reciprocal_rank(ranked: Sequence[str], gold: AbstractSet[str]) -> float:
    """1 / rank of the first gold document, 0 when none is listed."""
    _require_gold(gold)
    return next((1 / rank for rank, identity in enumerate(ranked, start=1) if identity in gold), 0.0)


def newest_first(ranked: Sequence[str], newest: str, older: AbstractSet[str]) -> float:
    """1.0 when the current version is listed and no superseded version stands above it, else 0.0."""
    for identity in ranked:
        if identity == newest:
            return 1.0
        if identity in older:
            return 0.0
    return 0.0


def score_rankings(
    rankings: Sequence[Sequence[str]], golds: Sequence[AbstractSet[str]], cutoffs: Sequence[int] = CUTOFFS
) -> dict[str, Floats]:
    """`recall@k`, `ndcg@10` and `mrr` of many rankings at once: name → values [len(rankings)].

    `mrr` counts the first `DEPTH` places only, so that systems which return longer lists gain nothing by it.
    """
    depth = max(*cutoffs, DEPTH)
    hits = np.zeros((len(rankings), depth), dtype=bool)
    for row, (ranked, gold) in enumerate(zip(rankings, golds, strict=True)):
        _require_gold(gold)
        missing = set(gold)
        for rank, identity in enumerate(ranked[:depth]):
            if identity in missing:
                missing.remove(identity)
                hits[row, rank] = True
    sizes = np.array([len(gold) for gold in golds], dtype=np.float64)
    found = hits.cumsum(axis=1)
    scores: dict[str, Floats] = {f"recall@{k}": found[:, k - 1] / sizes for k in cutoffs}
    discounts = 1 / np.log2(np.arange(2, NDCG_CUTOFF + 2))
    ideal = discounts.cumsum()[np.minimum(sizes, NDCG_CUTOFF).astype(np.intp) - 1]
    scores[f"ndcg@{NDCG_CUTOFF}"] = hits[:, :NDCG_CUTOFF] @ discounts / ideal
    reached = hits[:, :DEPTH]
    scores["mrr"] = np.where(reached.any(axis=1), 1 / (reached.argmax(axis=1) + 1.0), 0.0)
    return scores


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean difference and the bounds between which resampled means fall with probability `level`."""

    mean: float
    low: float
    high: float
    level: float
    resamples: int

    @property
    def significant(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0


def paired_bootstrap(
    ours: Floats, theirs: Floats, *, rng: np.random.Generator, resamples: int = 10_000, level: float = 0.95
) -> Interval:
    """Percentile interval of mean(ours − theirs) when the questions are drawn again with replacement.

    Both arrays are [questions], in the same order: pairing takes the difficulty of the questions out (Efron and
    Tibshirani, 1993, chapter 13). Raises `InvalidInput` for arrays of different lengths or of none.
    """
    difference = _difference(ours, theirs)
    size = len(difference)
    means = np.empty(resamples)
    step = max(1, _CHUNK // size)
    for start in range(0, resamples, step):
        stop = min(start + step, resamples)
        means[start:stop] = difference[rng.integers(0, size, (stop - start, size))].mean(axis=1)
    return _interval(float(difference.mean()), means, level)


def paired_bootstrap_naive(
    ours: Floats, theirs: Floats, *, rng: np.random.Generator, resamples: int = 10_000, level: float = 0.95
) -> Interval:
    """`paired_bootstrap`, one resample at a time."""
    difference = _difference(ours, theirs)
    means = [difference[rng.integers(0, len(difference), len(difference))].mean() for _ in range(resamples)]
    return _interval(float(difference.mean()), np.array(means), level)


def cluster_bootstrap(
    ours: Floats,
    theirs: Floats,
    clusters: Sequence[str],
    *,
    rng: np.random.Generator,
    resamples: int = 10_000,
    level: float = 0.95,
) -> Interval:
    """As `paired_bootstrap`, but whole corpora are drawn: what to expect on other conversations.

    Questions about one conversation succeed and fail together, so this interval is the honest one when conversations
    are few. `clusters` names the corpus of each question. Raises `InvalidInput` when there is only one.
    """
    difference = _difference(ours, theirs)
    sums, sizes = _by_cluster(difference, clusters)
    drawn = rng.integers(0, len(sums), (resamples, len(sums)))
    return _interval(float(difference.mean()), sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1), level)


def cluster_bootstrap_naive(
    ours: Floats,
    theirs: Floats,
    clusters: Sequence[str],
    *,
    rng: np.random.Generator,
    resamples: int = 10_000,
    level: float = 0.95,
) -> Interval:
    """`cluster_bootstrap`, one resample at a time."""
    difference = _difference(ours, theirs)
    names = sorted(set(clusters))
    _require_clusters(names, len(clusters), len(difference))
    members = [[value for value, name in zip(difference, clusters, strict=True) if name == one] for one in names]
    means = []
    for _ in range(resamples):
        picked = [value for at in rng.integers(0, len(names), len(names)) for value in members[at]]
        means.append(sum(picked) / len(picked))
    return _interval(float(difference.mean()), np.array(means), level)


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds per call."""

    calls: int
    mean: float
    p50: float
    p95: float
    p99: float
    slowest: float


def latency(seconds: Sequence[float]) -> Latency:
    """Summarise call times given in seconds; percentiles interpolate linearly. Raises `InvalidInput` for none."""
    times = np.asarray(seconds, dtype=np.float64) * 1000
    if not times.size:
        raise InvalidInput("no call times were given; time at least one call")
    p50, p95, p99 = np.percentile(times, (50, 95, 99))
    return Latency(times.size, float(times.mean()), float(p50), float(p95), float(p99), float(times.max()))


def percentile_naive(values: Sequence[float], percent: float) -> float:
    """The point below which `percent` per cent of the values lie, between two neighbours in proportion."""
    ordered = sorted(values)
    position = (len(ordered) - 1) * percent / 100
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (position - below)


def _interval(mean: float, means: Floats, level: float) -> Interval:
    tail = (1 - level) / 2 * 100
    low, high = np.percentile(means, (tail, 100 - tail))
    return Interval(mean, float(low), float(high), level, len(means))


def _difference(ours: Floats, theirs: Floats) -> Floats:
    if ours.shape != theirs.shape or ours.ndim != 1 or not ours.size:
        raise InvalidInput(f"shapes {ours.shape} and {theirs.shape} are not paired; pass two arrays [questions]")
    return ours - theirs


def _by_cluster(difference: Floats, clusters: Sequence[str]) -> tuple[Floats, NDArray[np.intp]]:
    names, index = np.unique(np.asarray(clusters), return_inverse=True)
    _require_clusters(names.tolist(), len(clusters), len(difference))
    return np.bincount(index, weights=difference).astype(np.float64), np.bincount(index)


def _require_clusters(names: Sequence[str], labels: int, questions: int) -> None:
    if labels != questions:
        raise InvalidInput(f"{labels} cluster names for {questions} questions; name the corpus of each question")
    if len(names) < 2:
        raise InvalidInput(f"only one corpus, {list(names)}: drawing corpora says nothing; use paired_bootstrap")


def _require_gold(gold: AbstractSet[str]) -> None:
    if not gold:
        raise InvalidInput("a question without gold documents cannot be scored; leave it out")
