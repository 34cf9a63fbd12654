from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from remanence.bench import metrics
from remanence.core.errors import InvalidInput

IDS = [f"d{n}" for n in range(12)]
rankings = st.lists(st.sampled_from(IDS), max_size=25)
golds = st.frozensets(st.sampled_from(IDS), min_size=1)


def test_recall_is_the_share_of_gold_not_a_hit() -> None:
    assert metrics.recall_at(["a", "x", "b"], {"a", "b", "c", "d"}, 3) == 0.5
    assert metrics.recall_at(["a", "x", "b"], {"a", "b"}, 1) == 0.5
    assert metrics.recall_at([], {"a"}, 5) == 0.0


def test_a_repeated_document_counts_once() -> None:
    assert metrics.recall_at(["a", "a", "a"], {"a", "b"}, 3) == 0.5
    assert metrics.ndcg_at(["a", "a"], {"a", "b"}, 2) == pytest.approx(1 / (1 + 1 / math.log2(3)))


def test_ndcg_by_hand() -> None:
    assert metrics.ndcg_at(["a", "b"], {"a", "b"}, 10) == 1.0
    assert metrics.ndcg_at(["x", "a"], {"a"}, 10) == pytest.approx(1 / math.log2(3))
    # With more gold than places the best possible list fills the places.
    assert metrics.ndcg_at(["a"], {"a", "b", "c"}, 1) == 1.0
    assert metrics.ndcg_at(["x"] * 10 + ["a"], {"a"}, 10) == 0.0


def test_reciprocal_rank_by_hand() -> None:
    assert metrics.reciprocal_rank(["x", "b", "a"], {"a", "b"}) == 0.5
    assert metrics.reciprocal_rank(["x"], {"a"}) == 0.0


def test_newest_first() -> None:
    assert metrics.newest_first(["x", "new", "old"], "new", {"old"}) == 1.0
    assert metrics.newest_first(["new"], "new", {"old"}) == 1.0
    assert metrics.newest_first(["old", "new"], "new", {"old"}) == 0.0
    assert metrics.newest_first(["x"], "new", {"old"}) == 0.0


@given(st.lists(st.tuples(rankings, golds), min_size=1, max_size=8))
def test_fast_scores_equal_the_plain_forms(pairs: list[tuple[list[str], frozenset[str]]]) -> None:
    fast = metrics.score_rankings([ranked for ranked, _ in pairs], [gold for _, gold in pairs])
    for row, (ranked, gold) in enumerate(pairs):
        for k in metrics.CUTOFFS:
            assert fast[f"recall@{k}"][row] == pytest.approx(metrics.recall_at(ranked, gold, k))
        assert fast["ndcg@10"][row] == pytest.approx(metrics.ndcg_at(ranked, gold, 10))
        assert fast["mrr"][row] == pytest.approx(metrics.reciprocal_rank(ranked[: metrics.DEPTH], gold))


def test_longer_lists_gain_nothing_in_mrr() -> None:
    ranked = ["x"] * metrics.DEPTH + ["a"]
    assert metrics.score_rankings([ranked], [{"a"}])["mrr"][0] == 0.0


def test_a_question_without_gold_cannot_be_scored() -> None:
    with pytest.raises(InvalidInput, match="gold"):
        metrics.score_rankings([["a"]], [set()])


def pair(size: int, seed: int) -> tuple[metrics.Floats, metrics.Floats]:
    rng = np.random.default_rng(seed)
    return rng.random(size), rng.random(size)


@pytest.mark.parametrize("size", [1, 2, 7, 100])
def test_fast_bootstrap_equals_the_plain_form(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "_CHUNK", 1000)  # several chunks even here
    ours, theirs = pair(size, 1)
    fast = metrics.paired_bootstrap(ours, theirs, rng=np.random.default_rng(5), resamples=333)
    plain = metrics.paired_bootstrap_naive(ours, theirs, rng=np.random.default_rng(5), resamples=333)
    assert (fast.mean, fast.low, fast.high) == pytest.approx((plain.mean, plain.low, plain.high))


def test_fast_cluster_bootstrap_equals_the_plain_form() -> None:
    ours, theirs = pair(40, 2)
    clusters = [f"c{n % 7 % 4}" for n in range(40)]
    fast = metrics.cluster_bootstrap(ours, theirs, clusters, rng=np.random.default_rng(5), resamples=200)
    plain = metrics.cluster_bootstrap_naive(ours, theirs, clusters, rng=np.random.default_rng(5), resamples=200)
    assert (fast.mean, fast.low, fast.high) == pytest.approx((plain.mean, plain.low, plain.high))


def test_pairing_takes_the_difficulty_of_questions_out() -> None:
    # Questions differ wildly, the systems by a constant: an interval of two independent means would hold zero.
    difficulty = np.random.default_rng(0).random(50)
    interval = metrics.paired_bootstrap(difficulty + 0.01, difficulty, rng=np.random.default_rng(1), resamples=500)
    assert interval.low == pytest.approx(0.01)
    assert interval.high == pytest.approx(0.01)
    assert interval.significant


def test_equal_systems_do_not_differ() -> None:
    ours, _ = pair(30, 3)
    interval = metrics.paired_bootstrap(ours, ours, rng=np.random.default_rng(1), resamples=100)
    assert (interval.mean, interval.low, interval.high, interval.significant) == (0, 0, 0, False)


def test_interval_has_the_width_that_theory_gives() -> None:
    difference = np.random.default_rng(4).normal(0.3, 1.0, 400)
    interval = metrics.paired_bootstrap(difference, np.zeros(400), rng=np.random.default_rng(5))
    half = 1.96 * difference.std() / math.sqrt(400)
    assert interval.low == pytest.approx(difference.mean() - half, abs=0.1 * half)
    assert interval.high == pytest.approx(difference.mean() + half, abs=0.1 * half)
    assert interval.resamples == 10_000


def test_questions_that_move_together_widen_the_cluster_interval() -> None:
    effect = np.repeat(np.random.default_rng(6).normal(0, 1, 6), 50)
    clusters = [f"c{n // 50}" for n in range(300)]
    rng = np.random.default_rng(7)
    apart = metrics.paired_bootstrap(effect, np.zeros(300), rng=rng, resamples=500)
    together = metrics.cluster_bootstrap(effect, np.zeros(300), clusters, rng=rng, resamples=500)
    assert together.high - together.low > 3 * (apart.high - apart.low)


def test_same_seed_same_interval() -> None:
    ours, theirs = pair(50, 8)
    results = [metrics.paired_bootstrap(ours, theirs, rng=np.random.default_rng(9)) for _ in range(2)]
    assert results[0] == results[1]


def test_what_cannot_be_compared_is_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(InvalidInput, match=r"\(3,\) and \(2,\)"):
        metrics.paired_bootstrap(np.zeros(3), np.zeros(2), rng=rng)
    with pytest.raises(InvalidInput, match="paired"):
        metrics.paired_bootstrap(np.zeros(0), np.zeros(0), rng=rng)
    with pytest.raises(InvalidInput, match="only one corpus"):
        metrics.cluster_bootstrap(np.zeros(3), np.zeros(3), ["a"] * 3, rng=rng)
    with pytest.raises(InvalidInput, match="2 cluster names for 3 questions"):
        metrics.cluster_bootstrap(np.zeros(3), np.zeros(3), ["a", "b"], rng=rng)


@given(st.lists(st.floats(0, 10), min_size=1, max_size=60))
def test_latency_percentiles_equal_the_plain_form(seconds: list[float]) -> None:
    summary = metrics.latency(seconds)
    for value, percent in ((summary.p50, 50), (summary.p95, 95), (summary.p99, 99), (summary.slowest, 100)):
        assert value == pytest.approx(1000 * metrics.percentile_naive(seconds, percent))
    assert summary.calls == len(seconds)


def test_no_calls_no_latency() -> None:
    with pytest.raises(InvalidInput, match="no call times"):
        metrics.latency([])
