from __future__ import annotations

import pytest

from remanence.bench.datasets import Corpus, Question
from remanence.bench.runner import Run, best, run
from tests.bench.samples import small


class Recording:
    """Returns documents in the order of the corpus and remembers what happened to it."""

    name = "recording"

    def __init__(self) -> None:
        self.events: list[str] = []
        self._ids: list[str] = []

    def build(self, corpus: Corpus) -> None:
        self.events.append(f"build {corpus.id}")
        self._ids = [document.id for document in corpus.documents]

    def rank(self, question: Question, k: int) -> list[str]:
        self.events.append(f"rank {question.id}")
        return self._ids[:k]


def test_each_corpus_is_built_once_before_its_questions() -> None:
    ranker = Recording()
    done = run(small(), ranker)
    assert ranker.events == ["build one", "rank q0", "rank q1", "build two", "rank q2", "rank q3", "rank q4"]
    assert done.rankings == [["a", "b", "c", "d"]] * 2 + [["a", "b", "c"]] * 3
    assert len(done.seconds) == 5
    assert min(done.seconds) > 0 < done.build_seconds


def test_overall_leaves_out_what_has_no_answer() -> None:
    done = run(small(), Recording())
    assert done.clusters() == ["one", "one", "two"]
    assert done.values("recall@1").tolist() == [1.0, 0.0, 0.0]
    assert done.categories() == ["overall", "easy", "hard", "trick"]
    # A question without gold is asked, and timed, but not scored.
    assert done.values("recall@5", "trick").tolist() == [1.0]
    assert done.summary("easy")["mrr"] == pytest.approx(0.75)


def test_depth_bounds_what_a_ranker_may_return() -> None:
    done = run(small(), Recording(), depth=2)
    assert done.summary()["recall@20"] == pytest.approx(2 / 3)  # q1 wants the third and fourth
    assert done.rankings[0] == ["a", "b"]


def test_newest_first_is_counted_over_updates_only() -> None:
    assert run(small(), Recording()).newest_first() == (1, 0.0)
    reversed_order = Run("r", small(), [["c"], ["c"], ["b", "a"], ["c"], []], [0.1] * 5, 0.0)
    assert reversed_order.newest_first() == (1, 1.0)


def test_best_is_chosen_per_metric() -> None:
    data = small()
    early = Run("early", data, [["a"], ["x"], ["x"], ["x"], []], [0.1] * 5, 0.0)
    broad = Run("broad", data, [["x", "a"], ["x", "c", "d"], ["x", "b"], ["x"], []], [0.1] * 5, 0.0)
    assert best([early, broad], "recall@1") is early
    assert best([early, broad], "recall@5") is broad
